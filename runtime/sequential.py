"""Votes that stop when they are sure enough: statistical rules, by name (`compiler/ir/rules.py` states them).

They look at votes in index order: the result is that of the shortest prefix at which the criterion holds, so it does
not depend on what arrives when. What arrives ahead of a gap waits. All thresholds are compared as exact fractions; a
confidence of 0.95 is 19/20.

An exact decision is one here as well: once the leader of a prefix cannot be caught up with any more, no later prefix
has another leader. Not so under "esc", where the last window alone counts.
"""

from __future__ import annotations

from collections.abc import Hashable
from fractions import Fraction
from functools import lru_cache

from ttsc.compiler.ir.rules import Majority, Sequential
from ttsc.runtime.decision import NOTHING, Decision, Settled, Tally
from ttsc.runtime.exact import MajorityDecision


def stays_ahead(first: int, second: int) -> Fraction:
    """1 - I(1/2; first + 1, second + 1): the chance that the first of two answers is the commoner one, given their
    votes and a uniform prior. For whole numbers the incomplete beta function at 1/2 is a sum of binomials: of
    first + second + 1 throws of a coin, at most `first` come up heads.
    """
    throws = first + second + 1
    total = term = 1
    for heads in range(first):
        term = term * (throws - heads) // (heads + 1)
        total += term
    return Fraction(total, 2**throws)


class _StoppingTable:
    """For each number of votes of the second answer, how many of the first end it."""

    def __init__(self, confidence: Fraction) -> None:
        self._confidence = confidence
        self._least: list[int] = []

    def least(self, second: int) -> int:
        while len(self._least) <= second:
            first = self._least[-1] + 1 if self._least else 1
            while stays_ahead(first, len(self._least)) < self._confidence:
                first += 1
            self._least.append(first)
        return self._least[second]


@lru_cache(maxsize=64)
def stopping_table(confidence: float) -> _StoppingTable:
    """The table of "adaptive" and "beta"."""
    return _StoppingTable(_decimal(confidence))


@lru_cache(maxsize=64)
def sprt_margin(confidence: float, share: float) -> int:
    """How many votes ahead the first answer must be: the least d with (share / (1 - share)) ** d at least
    confidence / (1 - confidence).
    """
    odds, bound = _odds(share), _odds(confidence)
    margin, ratio = 1, odds
    while ratio < bound:
        margin, ratio = margin + 1, ratio * odds
    return margin


def _odds(chance: float) -> Fraction:
    return _decimal(chance) / (1 - _decimal(chance))


def _decimal(number: float) -> Fraction:
    """The number that was written: 0.95 is 19/20."""
    return Fraction(repr(number))


class SequentialDecision(Decision):
    """Feed answers (None for an invalid one)."""

    def __init__(self, rule: Sequential, length: int | None, seed: int = 0) -> None:
        self._rule = rule
        self._prefix = MajorityDecision(Majority(rule.ties, rule.invalid), None, seed=seed)
        """The votes that were looked at."""
        self._ahead: dict[int, object] = {}
        self._window: list[Hashable] = []
        self._looked = 0
        self._stopped: Settled | None = None
        self._confidence: float | None = None
        super().__init__(rule.stop, length, rule.ties, seed)

    def closed(self, length: int) -> None:
        super().closed(length)
        self._prefix.closed(length)

    def _take(self, index: int, value: object, weight: float | None) -> None:
        self._ahead[index] = value
        while self._stopped is None and self._looked in self._ahead:
            value = self._ahead.pop(self._looked)
            self._prefix.feed(self._looked, value)
            self._looked += 1
            if value is not NOTHING and (value is not None or self._rule.invalid == "count"):
                assert isinstance(value, Hashable)
                self._vote(value)

    def _vote(self, answer: Hashable) -> None:
        """Look whether the criterion holds after this vote."""
        rule = self._rule
        if rule.stop == "esc":
            self._window.append(answer)
            if len(self._window) == rule.window:
                if len(set(self._window)) == 1:
                    self._stopped = Settled((self._looked - 1,), answer if isinstance(answer, str | bool) else None)
                self._window.clear()
            return
        leader, index, first, second = self._prefix.standing()
        if self._missing(first, second) <= 0:
            self._stopped = Settled((index,), leader if isinstance(leader, str | bool) else None)
            if rule.stop == "sprt":
                ratio = _odds(rule.share) ** (first - second)
                self._confidence = float(ratio / (1 + ratio))
            else:
                self._confidence = float(stays_ahead(first, second))

    def _missing(self, first: int, second: int) -> int:
        """How many more votes of the first answer would end it. Not for "esc"."""
        if self._rule.stop == "sprt":
            return sprt_margin(self._rule.confidence, self._rule.share) - (first - second)
        return stopping_table(self._rule.confidence).least(second) - first

    def result(self) -> Settled | None:
        if self._stopped is not None:
            return self._stopped
        return self._prefix.result() if self._rule.stop != "esc" or self._prefix.complete else None

    def need(self) -> int:
        """If all of those voted for the leader, they would be enough."""
        if self.length is None:
            return super().need()
        rule = self._rule
        if rule.stop == "esc":
            missing = rule.window - len(self._window) + (rule.window if len(set(self._window)) > 1 else 0)
            return min(self.length, self._looked + missing)
        _, _, first, second = self._prefix.standing() if self._prefix.tally() else (None, 0, 0, 0)
        return min(self._prefix.need(), self.length, self._looked + max(1, self._missing(first, second)))

    @property
    def rule_name(self) -> str:
        return self._name if self._stopped is not None else "majority"

    @property
    def looked(self) -> int:
        return self._looked

    @property
    def confidence(self) -> float | None:
        return self._confidence

    def tally(self) -> Tally:
        return self._prefix.tally()
