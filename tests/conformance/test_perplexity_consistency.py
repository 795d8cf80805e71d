"""RPC (2502.00511): its mixture on synthetic data, what it prunes, and votes with the probabilities of distinct texts.

Data come from known mixtures of Weibull distributions by inverse cumulative distribution, l (-ln(1 - u))^(1/k).
Pruned is i where the posterior of the component with the greater mean, l Gamma(1 + 1/k), is < 1/2 and p_i < mean(p).
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pytest

import ttsc
from ttsc.backends.scripted import ScriptedEngine
from ttsc.compiler.values.mixtures import fitted, upper_shares

TRUE = ((0.6, 12.0, 0.9), (0.4, 4.0, 0.45))
"""Weight, shape and scale of each component; the first has the greater mean."""


def drawn(n: int, seed: int) -> list[float]:
    draw = random.Random(seed)
    found = []
    for _ in range(n):
        _, shape, scale = TRUE[draw.random() >= TRUE[0][0]]
        found.append(scale * math.pow(-math.log(1 - draw.random()), 1 / shape))
    return found


def density(x: float, shape: float, scale: float) -> float:
    return shape / scale * math.pow(x / scale, shape - 1) * math.exp(-math.pow(x / scale, shape))


def true_posterior(x: float) -> float:
    upper, lower = (weight * density(x, shape, scale) for weight, shape, scale in TRUE)
    return upper / (upper + lower)


def log_likelihood(values: Sequence[float], weight: float, shapes: Sequence[float], scales: Sequence[float]) -> float:
    shares = (weight, 1 - weight)
    return sum(
        math.log(sum(w * density(x, k, s) for w, k, s in zip(shares, shapes, scales, strict=True))) for x in values
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_the_parameters_are_recovered(seed: int) -> None:
    mixture = fitted(drawn(3000, seed))
    assert mixture is not None
    found = sorted(
        zip((mixture.weight, 1 - mixture.weight), mixture.shapes, mixture.scales, strict=True), key=lambda c: -c[2]
    )
    for (weight, shape, scale), (true_weight, true_shape, true_scale) in zip(found, TRUE, strict=True):
        assert weight == pytest.approx(true_weight, abs=0.04)
        assert shape == pytest.approx(true_shape, rel=0.12)
        assert scale == pytest.approx(true_scale, rel=0.03)


def test_the_fit_is_a_maximum_within_the_bounds() -> None:
    """No step in any one parameter makes the data more likely, and the truth is no likelier than what was found."""
    values = drawn(400, 3)
    mixture = fitted(values)
    assert mixture is not None
    assert 0.2 <= mixture.weight <= 0.8
    top = log_likelihood(values, mixture.weight, mixture.shapes, mixture.scales)
    truth = log_likelihood(values, TRUE[0][0], [TRUE[0][1], TRUE[1][1]], [TRUE[0][2], TRUE[1][2]])
    assert top >= truth
    for i in range(5):
        for factor in (0.99, 1.01):
            at = [mixture.weight, *mixture.shapes, *mixture.scales]
            at[i] *= factor
            assert log_likelihood(values, at[0], at[1:3], at[3:]) <= top + 1e-3


def test_what_is_pruned_is_what_the_true_mixture_prunes() -> None:
    values = drawn(3000, 4)
    middle = sum(values) / len(values)
    pairs = [
        (share < 0.5 and x < middle, true_posterior(x) < 0.5 and x < middle)
        for x, share in zip(values, upper_shares(values), strict=True)
    ]
    assert sum(found != true for found, true in pairs) / len(pairs) < 0.02
    assert 0.2 < sum(true for _, true in pairs) / len(pairs) < 0.5


@pytest.mark.parametrize("values", [[], [0.5], [0.2, 0.9] * 3, [0.4] * 50])
def test_without_a_fit_nothing_is_pruned(values: list[float]) -> None:
    assert upper_shares(values) == [1.0] * len(values)


def test_a_probability_of_zero_is_finite() -> None:
    assert all(0 <= share <= 1 for share in upper_shares([0.0, *drawn(30, 5)]))


# --- the strategies, on paths with the probabilities that are said here ---------------------------------------------


@cache
def strategy(name: str) -> ttsc.CompiledProgram:
    return ttsc.compile(f"std:{name}")


def voted(name: str, paths: Sequence[tuple[str, float]], seed: int = 0, **parameters: Any) -> Any:
    """The answer when sample i is the text `paths[i]` of this probability per token."""
    given: dict[int, str] = {}
    known: Mapping[str, float] = dict(paths)

    def reply(prompt: str, seed: int, sampling: Any) -> str:
        return given.setdefault(seed, paths[len(given)][0])

    def logprob(before: str, span: str) -> float:
        return math.log(known[span.removesuffix("<|end|>")])

    engine = ScriptedEngine(reply, scores=logprob)
    return strategy(name).run(question="?", n=len(paths), max_tokens=64, engine=engine, seed=seed, **parameters).value


def path(i: int, answer: str, words: int = 1) -> str:
    """A text of its own, whose length says nothing of its weight."""
    return f"path {i}" + " so" * words + " \\boxed{" + answer + "}"


def test_weights_are_per_token_and_texts_count_once() -> None:
    """5: .5 once, though it was drawn three times. 4: .3 + .3 in long texts. 6: .55."""
    paths = [(path(0, "5"), 0.5)] * 3 + [(path(i, "4", 10 * i), 0.3) for i in (1, 2)] + [(path(3, "6"), 0.55)]
    assert voted("perplexity_consistency", paths) == "4"
    assert voted("perplexity_consistency", paths, rescored=True) == "4"
    assert voted("self_consistency", paths) == "5"


def test_who_gives_no_answer_is_no_class() -> None:
    assert voted("perplexity_consistency", [("I am sure.", 0.9), ("Quite sure.", 0.9), (path(0, "4"), 0.2)]) == "4"


def test_a_tie_is_credited_to_each_by_chance() -> None:
    """A drawn one of two is right as often as the published credit of 1/2 says: within 4 standard errors."""
    paths = [(path(0, "5"), 0.5), (path(1, "4"), 0.5)]
    wins = sum(voted("perplexity_consistency", paths, seed) == "4" for seed in range(60))
    assert abs(wins - 30) < 4 * math.sqrt(60 / 4)


def test_improbable_paths_do_not_vote() -> None:
    """Of 40 paths the improbable ones agree and have the greater sum of weights; without them the others win."""
    draw = random.Random(6)
    good = [(path(i, "4"), draw.uniform(0.84, 0.93)) for i in range(14)]
    bad = [(path(i, "5"), draw.uniform(0.40, 0.55)) for i in range(14, 46)]
    paths = good + bad
    draw.shuffle(paths)
    assert sum(p for _, p in bad) > sum(p for _, p in good)
    assert voted("perplexity_consistency", paths) == "5"
    assert voted("pruned_perplexity_consistency", paths) == "4"
    assert voted("prune_improbable", paths) == "4"


def test_what_is_above_the_mean_stays() -> None:
    """The safeguard: a path in the lower component is kept if it is more probable than the mean of all."""
    values = drawn(200, 7)
    middle = sum(values) / len(values)
    shares = upper_shares(values)
    paths = [(path(i, "5" if value < middle else "4"), value) for i, value in enumerate(values[:60])]
    assert any(share < 0.5 for share in shares)
    assert voted("pruned_perplexity_consistency", paths) == "4"
