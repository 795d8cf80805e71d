"""Votes that stop when they are sure enough: published tables, exact thresholds, what is looked at, what is needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest

from ttsc.compiler.ir.nodes import Sequential
from ttsc.runtime.decisions import NOTHING, Settled, decision_for
from ttsc.runtime.sequential import sprt_margin, stays_ahead, stopping_table

ADAPTIVE = Sequential("adaptive")
PUBLISHED = {0: 4, 1: 6, 2: 8, 3: 9, 4: 11, 5: 12, 6: 14, 7: 15}
"""Adaptive-Consistency at 0.95: for the votes of the second answer, those of the first that end it."""


def look(rule: Sequential, votes: Sequence[object], length: int = 40) -> Any:
    """A decision that was fed these votes, in order."""
    decision = decision_for(rule, length)
    for index, vote in enumerate(votes):
        decision.feed(index, vote)
    return decision


def stops_at(rule: Sequential, votes: Sequence[object], length: int = 40) -> tuple[int, object] | None:
    """After how many votes it stops, and with what."""
    for count in range(len(votes) + 1):
        settled = look(rule, votes[:count], length).result()
        if settled is not None:
            return count, settled.answer
    return None


def test_the_published_stopping_table() -> None:
    table = stopping_table(0.95)
    assert {second: table.least(second) for second in PUBLISHED} == PUBLISHED


@pytest.mark.parametrize("stop", ["adaptive", "beta"])
@pytest.mark.parametrize(("second", "first"), PUBLISHED.items())
def test_it_stops_exactly_at_the_table(stop: Any, second: int, first: int) -> None:
    votes = ["b", "a"] * second + ["a"] * (first - second)
    assert stops_at(Sequential(stop), votes) == (first + second, "a")


def test_the_chance_is_the_incomplete_beta_function() -> None:
    """Against the integral of x**a (1-x)**b from 1/2 to 1, by Simpson's rule, over that from 0 to 1."""

    def integral(a: int, b: int, low: float, high: float, steps: int = 2000) -> float:
        width = (high - low) / steps
        points = [low + i * width for i in range(steps + 1)]
        heights = [x**a * (1 - x) ** b for x in points]
        return width / 3 * (heights[0] + heights[-1] + 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2]))

    for a, b in ((0, 0), (4, 0), (3, 1), (9, 3), (7, 7), (12, 5)):
        expected = integral(a, b, 0.5, 1.0) / integral(a, b, 0.0, 1.0)
        assert math.isclose(float(stays_ahead(a, b)), expected, rel_tol=1e-9)
    assert stays_ahead(4, 0) == Fraction(31, 32)


def test_a_tie_is_a_chance_of_one_half() -> None:
    assert all(stays_ahead(votes, votes) == Fraction(1, 2) for votes in range(20))


@pytest.mark.parametrize(("confidence", "share", "margin"), [(0.95, 0.6, 8), (0.95, 0.75, 3), (0.9, 0.9, 1)])
def test_the_margin_of_a_ratio_test(confidence: float, share: float, margin: int) -> None:
    """9/10 to 1/10 is exactly the odds of a confidence of 0.9: one vote ahead is enough, and not by rounding."""
    assert sprt_margin(confidence, share) == margin
    rule = Sequential("sprt", confidence=confidence, share=share)
    votes = ["b", "a"] * 3 + ["a"] * margin
    assert stops_at(rule, votes) == ((6 + margin, "a") if margin > 1 else (1, "b"))


def test_windows() -> None:
    rule = Sequential("esc", window=3)
    assert stops_at(rule, list("aabaaa")) == (6, "a")
    assert stops_at(rule, list("aaabbb")) == (3, "a")
    assert stops_at(rule, list("abcaabaab"), 9) == (9, "a"), "no window agrees: the majority of all"
    assert stops_at(rule, list("aabaabbbb"), 9) == (9, "b"), "the last window alone counts"
    assert stops_at(rule, list("aabbaaac"), 8) == (8, "a"), "a window that is cut off is none"


def test_an_early_majority_does_not_end_windows() -> None:
    """Five of nine votes are the majority, and yet the last window may say otherwise."""
    rule = Sequential("esc", window=3)
    assert look(rule, list("aabaab"), 9).result() is None
    assert look(rule, list("aabaabbbb"), 9).result().answer == "b"


def test_what_cannot_be_caught_up_with_ends_the_others() -> None:
    decision = look(Sequential("adaptive", confidence=0.999), list("aaa"), 5)
    assert decision.result() == Settled((0,), "a")
    assert (decision.rule_name, decision.confidence, decision.looked) == ("majority", None, 3)


def test_an_answer_that_is_missing() -> None:
    nothing = [None] * 6
    drop, count = Sequential("adaptive"), Sequential("adaptive", invalid="count")
    assert look(drop, nothing).result() is None
    assert stops_at(count, nothing) == (4, None)
    assert stops_at(drop, [None, "a", NOTHING, "a", "a", None, "a"]) == (7, "a")
    assert stops_at(Sequential("esc", window=2), [None, "a", NOTHING, "a"]) == (4, "a"), "no place in a window"
    assert stops_at(Sequential("esc", window=2, invalid="count"), [None, NOTHING, None]) == (3, None)
    assert look(drop, [None, None], 2).result() == Settled()


def test_it_looks_in_index_order() -> None:
    """What arrives ahead of a gap waits; the prefix decides, although more was there."""
    decision = decision_for(ADAPTIVE, 10)
    for index in (9, 8, 7, 3, 2, 1):
        decision.feed(index, "b" if index > 6 else "a")
    assert decision.result() is None
    decision.feed(0, "a")
    assert decision.result() == Settled((0,), "a")
    assert (decision.rule_name, decision.looked, decision.confidence) == ("adaptive", 4, 31 / 32)
    assert decision.tally() == (("a", 4.0),), "nothing beyond the prefix counts"


def test_the_confidence_that_was_reached() -> None:
    assert look(Sequential("sprt", share=0.75), list("aaa")).confidence == pytest.approx(27 / 28)
    assert look(Sequential("beta", confidence=0.9), list("aaa")).confidence == 15 / 16
    assert look(Sequential("esc", window=2), list("aa")).confidence is None


@pytest.mark.parametrize(
    ("rule", "votes", "length", "need"),
    [
        (ADAPTIVE, "", 40, 4),
        (ADAPTIVE, "a", 40, 4),
        (ADAPTIVE, "ab", 40, 7),
        (ADAPTIVE, "", 3, 2),
        (ADAPTIVE, "ab", 4, 3),
        (Sequential("sprt"), "", 40, 8),
        (Sequential("sprt"), "ab", 40, 10),
        (Sequential("esc"), "", 40, 5),
        (Sequential("esc"), "aa", 40, 5),
        (Sequential("esc"), "ab", 40, 10),
        (Sequential("esc"), "aabaa", 40, 10),
        (Sequential("esc"), "ab", 8, 8),
    ],
)  # fmt: skip
def test_what_it_needs(rule: Sequential, votes: str, length: int, need: int) -> None:
    assert look(rule, list(votes), length).need() == need


def test_who_fails_is_made_up_for() -> None:
    decision = look(ADAPTIVE, ["a", NOTHING, "a"], 40)
    assert decision.need() == 5
