"""Early-stopping self-consistency (ESC, 2401.10480): how many samples its windows take, by its formula.

With n = L/w windows and q = sum_a p_a^w: E[samples] = w (sum_{i=0}^{n-2} q (1-q)^i (i+1) + (1-q)^(n-1) n).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from functools import cache
from math import sqrt
from typing import Any

import pytest

import ttsc
from ttsc.backends.scripted import ScriptedEngine
from ttsc.compiler.ir.rules import Sequential
from ttsc.runtime.decisions import decision_for

EXPECTED = {(0.9, 0.1): 8.5, (0.7, 0.2, 0.1): 22.9, (0.5, 0.3, 0.2): 35.6}
"""Of 40, in windows of 5."""


def expected(shares: Sequence[float], window: int = 5, most: int = 40) -> float:
    n, q = most // window, sum(share**window for share in shares)
    early = sum(q * (1 - q) ** i * (i + 1) for i in range(n - 1))
    return window * (early + (1 - q) ** (n - 1) * n)


@cache
def strategy() -> ttsc.CompiledProgram:
    return ttsc.compile("std:window_consistency")


def sampled(answers: Sequence[str], n: int = 40, **parameters: Any) -> Any:
    """A run in which sample i answers the i-th of these, the last again and again; "" can't be read."""
    given: dict[int, str] = {}

    def reply(prompt: str, seed: int, sampling: Any) -> str:
        answer = answers[min(len(given), len(answers) - 1)]
        return given.setdefault(seed, "\\boxed{" + answer + "}" if answer else "?")

    return strategy().run(question="?", n=n, engine=ScriptedEngine(reply), **parameters)


@pytest.mark.parametrize(("shares", "samples"), EXPECTED.items())
def test_the_formula_gives_the_published_numbers(shares: tuple[float, ...], samples: float) -> None:
    assert round(expected(shares), 1) == samples


@pytest.mark.parametrize("shares", EXPECTED)
def test_windows_take_as_many_samples_as_expected(shares: tuple[float, ...]) -> None:
    draw = random.Random(11)
    taken = []
    for _ in range(800):
        decision = decision_for(Sequential("esc", window=5), 40)
        for index, answer in enumerate(draw.choices("abc"[: len(shares)], shares, k=40)):
            decision.feed(index, answer)
            if decision.result() is not None:
                break
        taken.append(index + 1)
    mean = sum(taken) / len(taken)
    spread = sqrt(sum((each - mean) ** 2 for each in taken)) / len(taken)
    assert abs(mean - expected(shares)) < 4 * spread


def test_the_strategy_draws_window_by_window() -> None:
    """Random answers: the first unanimous window ends it with its answer; without one the majority of all wins."""
    draw = random.Random(4)
    for _ in range(12):
        answers = draw.choices("456", (0.7, 0.2, 0.1), k=40)
        windows = [answers[i : i + 5] for i in range(0, 40, 5)]
        last = next((i for i, window in enumerate(windows) if len(set(window)) == 1), None)
        result = sampled(answers)
        assert result.usage.requests == (40 if last is None else 5 * (last + 1))
        assert result.value == (Counter(answers).most_common(1)[0][0] if last is None else windows[last][0])


def test_the_last_window_alone_decides() -> None:
    assert sampled(["5", "5", "5", "5", "4", *"44444"]).value == "4"


def test_what_cannot_be_read_is_no_answer_unless_it_counts() -> None:
    excluded, counted = sampled([*[""] * 5, "4"]), sampled([*[""] * 5, "4"], count_unparsable=True)
    assert (excluded.value, excluded.usage.requests) == ("4", 10)
    assert (counted.value, counted.usage.requests) == (None, 5)
