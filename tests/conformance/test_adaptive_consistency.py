"""Adaptive-Consistency (2305.11860): when it stops, from the integral that defines its rule; after how many samples.

P = int_.5^1 x^a (1 - x)^b dx / int_0^1 x^a (1 - x)^b dx, for a and b votes of the first and the second answer; it stops
at P >= 0.95.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from math import comb, sqrt
from typing import Any

import pytest

import ttsc
from ttsc.backends.scripted import ScriptedEngine
from ttsc.compiler.ir.rules import Sequential
from ttsc.runtime.decisions import decision_for

PUBLISHED = {0: 4, 1: 6, 2: 8, 3: 9, 4: 11, 5: 12, 6: 14, 7: 15}


@cache
def chance(a: int, b: int) -> Fraction:
    """P, by the antiderivative of x^a (1 - x)^b, term by term."""

    def up_to(x: Fraction) -> Fraction:
        return sum(((-1) ** k * comb(b, k) * x ** (a + k + 1) / (a + k + 1) for k in range(b + 1)), Fraction(0))

    return (up_to(Fraction(1)) - up_to(Fraction(1, 2))) / up_to(Fraction(1))


def stops(votes: Counter[str]) -> bool:
    first, second = ([count for _, count in votes.most_common(2)] + [0, 0])[:2]
    return chance(first, second) >= Fraction(95, 100)


def leader(answers: Sequence[str]) -> str:
    """The commonest; of several the one that came first."""
    return max(dict.fromkeys(answers), key=Counter(answers).__getitem__)


def certain(answers: Sequence[str], k: int) -> bool:
    """Whether whatever else is answered instead of the rest, the leader of the first k wins."""
    first = leader(answers[:k])
    others = {*answers[:k], "none of these"} - {first}
    return all(leader([*answers[:k], *[other] * (len(answers) - k)]) == first for other in others)


def expected_samples(shares: Sequence[float], most: int) -> float:
    """Of independent answers with these shares, over all ways the counts can go."""
    open_: dict[tuple[int, ...], float] = {(0,) * len(shares): 1.0}
    total = 0.0
    for _ in range(most):
        total += sum(open_.values())
        following: dict[tuple[int, ...], float] = {}
        for counts, weight in open_.items():
            for i, share in enumerate(shares):
                now = (*counts[:i], counts[i] + 1, *counts[i + 1 :])
                if not stops(Counter({str(k): count for k, count in enumerate(now)})):
                    following[now] = following.get(now, 0.0) + weight * share
        open_ = following
    return total


@cache
def strategy() -> ttsc.CompiledProgram:
    return ttsc.compile("std:adaptive_consistency")


def sampled(answers: Sequence[str], n: int = 40, **parameters: Any) -> Any:
    """A run in which sample i answers the i-th of these, the last again and again."""
    given: dict[int, str] = {}

    def reply(prompt: str, seed: int, sampling: Any) -> str:
        return given.setdefault(seed, "\\boxed{" + answers[min(len(given), len(answers) - 1)] + "}")

    return strategy().run(question="?", n=n, engine=ScriptedEngine(reply), **parameters)


def test_the_table_is_that_of_the_integral() -> None:
    for second, first in PUBLISHED.items():
        assert chance(first, second) >= Fraction(95, 100) > chance(first - 1, second)


@pytest.mark.parametrize(("second", "first"), PUBLISHED.items())
def test_the_strategy_stops_at_the_table(second: int, first: int) -> None:
    result = sampled([*"54" * second, *"4" * (first - second)])
    assert (result.value, result.usage.requests) == ("4", first + second)


def test_it_draws_as_many_as_the_rule_needs_and_answers_as_it_does() -> None:
    """Random answers: the first prefix at which the rule holds, or at which the rest can't change the majority of all,
    says how many calls and which answer."""
    draw = random.Random(3)
    for _ in range(12):
        answers = draw.choices("4567", (0.5, 0.25, 0.15, 0.1), k=40)
        prefix = next(k for k in range(1, 41) if stops(Counter(answers[:k])) or certain(answers, k))
        result = sampled(answers)
        assert result.usage.requests == prefix
        assert result.value == leader(answers[:prefix])


@pytest.mark.parametrize("shares", [(0.9, 0.1), (0.6, 0.3, 0.1)])
def test_samples_drawn_are_as_many_as_expected(shares: tuple[float, ...]) -> None:
    draw = random.Random(5)
    taken = []
    for _ in range(800):
        decision = decision_for(Sequential("adaptive"), 40)
        for index, answer in enumerate(draw.choices("abc"[: len(shares)], shares, k=40)):
            decision.feed(index, answer)
            if decision.result() is not None:
                break
        taken.append(index + 1)
    mean = sum(taken) / len(taken)
    spread = sqrt(sum((each - mean) ** 2 for each in taken)) / len(taken)
    # At the end of 40 an exact majority may be known some samples before: never more are drawn than the rule says.
    expected = expected_samples(shares, 40)
    assert expected - 4 * spread - 1 < mean < expected + 4 * spread


def test_who_gives_no_answer_counts_only_if_asked() -> None:
    assert sampled(["", "4"]).usage.requests == 5
    assert sampled(["", "4"], count_unparsable=True).usage.requests == 7
