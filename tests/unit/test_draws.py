"""Seeded draws: resampling by the published methods, shuffling, settings."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from random import Random

import pytest

from ttsc.compiler.values.draws import draw, problem
from ttsc.compiler.values.pure import EvaluationFailed


@dataclass(frozen=True)
class Candidate:
    text: str
    finished: bool = False


def pool(texts: str) -> tuple[Candidate, ...]:
    """One candidate per letter; capitals are finished."""
    return tuple(Candidate(letter, letter.isupper()) for letter in texts)


def resample(attr: str, texts: str, weights: tuple[float, ...], *args: object, seed: int = 0) -> str:
    found = draw("resample", attr, (pool(texts), weights, *args), Random(seed))
    assert isinstance(found, tuple)
    return "".join(candidate.text for candidate in found)


# --- systematic -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_systematic_keeps_whole_shares_exactly(seed: int) -> None:
    assert resample("systematic resample sum", "abc", (2, 1, 1), 4, seed=seed) == "aabc"
    assert resample("systematic resample sum", "abc", (0.1, 0.1, 0.1), 3, seed=seed) == "abc"
    assert resample("systematic resample sum", "abc", (0, 5, 0), 3, seed=seed) == "bbb"


def test_systematic_rounds_down_or_up() -> None:
    """Shares of 1.5 each: one of the two has the odd copy, as the offset has it."""
    assert {resample("systematic resample sum", "ab", (1, 1), 3, seed=seed) for seed in range(20)} == {"aab", "abb"}


# --- categorical ------------------------------------------------------------------------------------------------------


def test_categorical_frequencies() -> None:
    counts = Counter(resample("categorical resample sum", "abc", (0, 1, 3), 10_000))
    assert counts["a"] == 0 and counts["b"] + counts["c"] == 10_000
    assert abs(counts["c"] - 7_500) < 6 * math.sqrt(10_000 * 0.25 * 0.75)


def test_softmax_of_logits_weighs_by_odds() -> None:
    """A reward of 0.9 has odds of 9, one of 0.5 odds of 1 (particle filtering)."""
    weights = tuple(math.log(p / (1 - p)) for p in (0.9, 0.5))
    counts = Counter(resample("categorical resample softmax", "ab", weights, 10_000))
    assert abs(counts["a"] - 9_000) < 6 * math.sqrt(10_000 * 0.9 * 0.1)


def test_temperature() -> None:
    """1 : 9 under temperature 0.5 is 1 : 81, under 2 it is 1 : 3; the same for the logarithms under softmax."""
    for normalise, weights in (("sum", (1.0, 9.0)), ("softmax", (0.0, math.log(9)))):
        attr = f"systematic resample {normalise}"
        assert Counter(resample(attr, "ab", weights, 82, 0.5)) == {"a": 1, "b": 81}
        assert Counter(resample(attr, "ab", weights, 4, 2.0)) == {"a": 1, "b": 3}


# --- ceiling ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "count", "expected"),
    [
        # Shares at T = 0.2 are as 1, exp(-2), exp(-4), Z = 1.1537: ceil(8 / 1.1537) = 7, then ceil(0.135 / 0.154) = 1.
        ((0.9, 0.5, 0.1), 8, "aaaaaaab"),
        # The same in another order: the best still goes first, the copies come in the pool's order.
        ((0.5, 0.1, 0.9), 8, "accccccc"),
        # Equal: ceil(5/3) = 2, ceil(3/2) = 2, 1.
        ((0.3, 0.3, 0.3), 5, "aabbc"),
        ((0.3, 0.3, 0.3), 4, "aabc"),
        ((0.3, 0.3, 0.3), 2, "ab"),
        ((0.3, 0.3, 0.3), 6, "aabbcc"),
    ],
)
def test_ceiling(weights: tuple[float, ...], count: int, expected: str) -> None:
    assert resample("ceiling resample softmax", "abc", weights, count, 0.2) == expected


# --- finished candidates ----------------------------------------------------------------------------------------------


def test_finished_candidates() -> None:
    assert resample("systematic resample sum", "aBcd", (0, 100, 0, 0), 4) == "BBBB"
    assert resample("ceiling drop sum", "aBcd", (1, 100, 1, 1), 3) == "acd"
    frozen = resample("ceiling freeze sum", "aBcd", (1, 100, 1, 0), 4)
    assert frozen == "aBac", "B keeps its slot, and the three others are shared by a and c"


def test_frozen_candidates_are_never_lost() -> None:
    assert resample("systematic freeze sum", "ABc", (1, 1, 1), 1) == "AB"
    assert resample("systematic freeze sum", "aBC", (1, 1, 1), 2) == "CB", "C had no slot of its own among two"
    assert resample("systematic freeze sum", "AB", (0, 0), 4) == "AB", "nothing is left to copy"
    assert resample("systematic drop sum", "AB", (1, 1), 4) == ""


def test_conditional_keeps_the_reference_first() -> None:
    reference = Candidate("r")
    for seed in range(10):
        found = resample("conditional resample sum", "ab", (1, 0), 3, 1.0, reference, seed=seed)
        assert found == "raa"
    assert resample("conditional resample sum", "ab", (1, 0), 1, 1.0, reference) == "r"
    assert resample("conditional resample sum", "ab", (1, 0), 0, 1.0, reference) == ""
    assert resample("conditional freeze sum", "aBc", (1, 0, 0), 3, 1.0, reference) == "rBa"
    with pytest.raises(EvaluationFailed, match="method=conditional takes a reference"):
        resample("conditional resample sum", "ab", (1, 0), 3)


# --- weights and settings ---------------------------------------------------------------------------------------------


def test_weights_that_are_all_zero_are_equal() -> None:
    assert resample("systematic resample sum", "abc", (0, 0, 0.0), 3) == "abc"


def test_nothing_to_resample() -> None:
    assert resample("systematic resample sum", "", (), 4) == ""
    assert resample("systematic resample sum", "ab", (1, 1), 0) == ""


@pytest.mark.parametrize(
    ("attr", "args", "words"),
    [
        ("systematic resample sum", (pool("ab"), (1.0,), 2), "1 weights for 2 candidates"),
        ("systematic resample sum", (pool("ab"), (1.0, -0.5), 2), "a weight is negative"),
        ("systematic resample sum", (pool("ab"), (1.0, math.nan), 2), "not a finite number"),
        ("systematic resample softmax", (pool("ab"), (1.0, math.inf), 2), "not a finite number"),
        ("systematic resample sum", (pool("ab"), (1.0, 1.0), -1), "negative length"),
        ("systematic resample sum", (pool("ab"), (1.0, 1.0), 2, 0), "temperature must be greater than 0"),
        ("systematic resample sum", (pool("ab"), (1.0, 1.0), 10**9), "list longer"),
        ("systematic resample sum", (pool("ab"), (1.0, True), 2), "no result for list and list and int"),
        ("systematic freeze sum", (("a",), (1.0,), 2), "no result"),
        ("systematic resample", (pool("ab"), (1.0, 1.0), 2), "does not know the settings"),
        ("systematic sum resample", (pool("ab"), (1.0, 1.0), 2), "does not know the settings"),
        ("systematic resample sum", (pool("ab"),), "takes 3 to 5 arguments"),
    ],
)
def test_failures(attr: str, args: tuple[object, ...], words: str) -> None:
    with pytest.raises(EvaluationFailed) as caught:
        draw("resample", attr, args, Random(0))
    assert words in caught.value.message


def test_settings_are_checked_without_drawing() -> None:
    assert problem("resample", "ceiling drop softmax", 4) is None
    assert problem("select", "uct beta drop", 3) is None and problem("shuffle", "", 1) is None
    assert problem("shuffle", "", 2) == "`shuffle` takes 1 argument"
    assert problem("shuffle", "fast", 1) == "`shuffle` does not know the settings `fast`"
    assert problem("roll", "", 1) == "there is no draw `roll`"


def test_shuffle() -> None:
    items = tuple(range(50))
    shuffled = draw("shuffle", "", (items,), Random(1))
    assert isinstance(shuffled, tuple) and sorted(shuffled) == list(items) and shuffled != items
    assert shuffled == draw("shuffle", "", (items,), Random(1)) != draw("shuffle", "", (items,), Random(2))
    with pytest.raises(EvaluationFailed):
        draw("shuffle", "", ("abc",), Random(1))
