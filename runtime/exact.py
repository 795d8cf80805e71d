"""Exact decision rules as state machines: what has arrived, what is outstanding, and whether the result can change.

An early result is the one that all outcomes would have given, whatever the outstanding ones turn out to be.

Majority. The leader is safe from a rival (an answer seen or a new one) if the rival stays behind it even with every
outstanding vote. If it could just draw level, every outstanding vote went to the rival, so the tie rule compares the
lowest rank that voted for the leader with the lower of the rival's and the lowest outstanding one. Weights are
summed as exact fractions, so that no order of arrival rounds differently; an outstanding vote is worth at most
`max_weight`. Without that bound, or once a weight was seen outside of 0..max_weight, only completeness decides.

FirstFinished, by tokens. Finishers are ranked by (tokens, index). A candidate that has t tokens and still runs ends
with at least t, so it cannot pass a finisher (L, i) once (t, its index) >= (L, i). The k best finishers are final
once no outstanding candidate can pass the worst of them. Candidates cut by max_tokens are no finishers under
truncated="exclude": if fewer than k finish, the result is those that did, possibly none. By time: the first k
finishers in order of arrival.

Greatest. The k greatest keys by (-key, rank); of lists the first numbers that differ count. Only a known maximum, of
each of a list's numbers, bounds an outstanding key.

Leading. The first k elements that are there, by index: later ones are losers as soon as k before them are there.

Quantified. `any` is decided by the first true, `all` by the first false; absent elements have no say.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Hashable
from dataclasses import dataclass
from fractions import Fraction

from ttsc.compiler.ir.rules import FirstFinished, Greatest, Leading, Majority, Quantified
from ttsc.runtime.decision import MAX_TALLY, NOTHING, Decision, Settled, Tally


@dataclass(slots=True)
class _Votes:
    total: int | Fraction
    rank: tuple[int, int]
    """The best rank among those that voted for it, and its index."""


class MajorityDecision(Decision):
    """Feed answers (None for an invalid one), with weights if the node has them."""

    def __init__(self, rule: Majority, length: int | None, weighted: bool = False, seed: int = 0) -> None:
        super().__init__("majority", length, rule.ties, seed)
        self._rule = rule
        self._votes: dict[Hashable, _Votes] = {}
        self._leader: Hashable = None
        self._second: int | Fraction = 0
        """The votes of the answer behind the leader."""
        self._most: int | Fraction | None = 1
        if weighted:
            self._most = None if rule.max_weight is None else Fraction(rule.max_weight)

    def _take(self, index: int, value: object, weight: float | None) -> None:
        if value is NOTHING or (value is None and self._rule.invalid == "drop"):
            return
        if weight is not None and not math.isfinite(weight):
            return
        worth = 1 if weight is None else Fraction(weight)
        if self._most is not None and not 0 <= worth <= self._most:
            self._most = None
        assert isinstance(value, Hashable)
        rank = self.ranks.of(index)
        led = bool(self._votes)
        votes = self._votes.setdefault(value, _Votes(0, rank))
        votes.total += worth
        votes.rank = min(votes.rank, rank)
        if worth < 0:
            self._count_again()
        elif not led:
            self._leader = value
        elif value != self._leader:
            before = self._votes[self._leader].total
            if self._rank(value) > self._rank(self._leader):
                self._leader, self._second = value, before
            else:
                self._second = max(self._second, votes.total)

    def _count_again(self) -> None:
        """A weight below zero may have taken the lead from an answer."""
        self._leader = max(self._votes, key=self._rank)
        others = (votes.total for answer, votes in self._votes.items() if answer != self._leader)
        self._second = max(others, default=0)

    def result(self) -> Settled | None:
        if not self._votes:
            return Settled() if self.complete else None
        leader = self._leader
        if not self.complete and not self._safe(leader):
            return None
        return Settled((self._votes[leader].rank[1],), leader if isinstance(leader, str | bool) else None)

    def need(self) -> int:
        """If all votes among those went to the leader, it would draw level with a rival that gets the others."""
        if self.length is None or self._most is None or self.complete:
            return super().need()
        lead = self._votes[self._leader].total if self._votes else 0
        outstanding = self.length - len(self.arrived)
        missing = -((lead - self._second - outstanding * self._most) // (2 * self._most)) if self._most else 1
        return self._first_outstanding(missing)

    def standing(self) -> tuple[Hashable, int, int, int]:
        """The leading answer, the index of its best placed vote, and the votes of the first and second answer. Call
        only if there is a vote.
        """
        votes = self._votes[self._leader]
        return self._leader, votes.rank[1], int(votes.total), int(self._second)

    def _rank(self, answer: Hashable) -> tuple[int | Fraction, int, int]:
        votes = self._votes[answer]
        return votes.total, -votes.rank[0], -votes.rank[1]

    def _safe(self, leader: Hashable) -> bool:
        outstanding = self.outstanding
        if outstanding is None or self._most is None:
            return False
        swing = self._most * outstanding
        mine = self._votes[leader]
        coming = self.ranks.lowest(self.arrived)
        if mine.total != self._second + swing:
            return mine.total > self._second + swing and _ahead(mine, swing, coming)
        level = [v.rank for a, v in self._votes.items() if a != leader and v.total == self._second]
        return all(mine.rank < min(rank, coming) for rank in level) and _ahead(mine, swing, coming)

    def tally(self) -> Tally:
        ranked = sorted(self._votes, key=self._rank, reverse=True)
        return tuple((_shown(answer), float(self._votes[answer].total)) for answer in ranked[:MAX_TALLY])


def _ahead(mine: _Votes, total: int | Fraction, rank: tuple[int, int]) -> bool:
    """Whether the leader beats a rival that gets every outstanding vote: so many votes, and this rank."""
    return mine.total > total or (mine.total == total and mine.rank < rank)


class FirstFinishedDecision(Decision):
    """Feed the tokens of candidates that finished, NOTHING for those that do not count."""

    def __init__(self, rule: FirstFinished, length: int | None, count: int) -> None:
        super().__init__("first_finished", length)
        self._by_time = rule.order == "time"
        self._count = count
        self._finishers: list[tuple[int, int]] = []
        self._tokens: dict[int, int] = {}

    def progress(self, index: int, tokens: int) -> None:
        if index not in self.arrived:
            self._tokens[index] = tokens

    def _take(self, index: int, value: object, weight: float | None) -> None:
        self._tokens.pop(index, None)
        if isinstance(value, int):
            self._finishers.append((value, index))
            if not self._by_time:
                self._finishers.sort()

    def result(self) -> Settled | None:
        enough = len(self._finishers) >= self._count
        if enough and (self._by_time or self._count == 0):
            return self._settled()
        if self.complete or (enough and self.length is not None and len(self.losers()) == self.outstanding):
            return self._settled()
        return None

    def _settled(self) -> Settled:
        return Settled(tuple(index for _, index in self._finishers[: self._count]))

    def losers(self) -> list[int]:
        if self._by_time or len(self._finishers) < self._count:
            return []
        if self._count == 0:
            return self.outstanding_indices()
        worst = self._finishers[self._count - 1]
        return [i for i in self.outstanding_indices() if (self._tokens.get(i, 0), i) > worst]

    def tally(self) -> Tally:
        return tuple((f"#{index}", float(tokens)) for tokens, index in self._finishers[:MAX_TALLY])


class GreatestDecision(Decision):
    """Feed keys: numbers, or lists of numbers."""

    def __init__(self, rule: Greatest, length: int | None, count: int, seed: int = 0) -> None:
        super().__init__("greatest", length, rule.ties, seed)
        maximum = rule.maximum
        self._vectors = isinstance(maximum, tuple)
        self._best = None if maximum is None else _negated(maximum if isinstance(maximum, tuple) else (maximum,))
        """The least that a negated key may be, until one breaks the bound."""
        self._count = count
        self._ranked: list[tuple[tuple[float, ...], tuple[int, int]]] = []

    def _take(self, index: int, value: object, weight: float | None) -> None:
        key = value if isinstance(value, list | tuple) else (value,)
        negated = _negated(tuple(each for each in key if isinstance(each, int | float) and not math.isnan(each)))
        if len(negated) < len(key) or not key:
            return
        if self._best is not None and (
            isinstance(value, list | tuple) is not self._vectors
            or len(negated) != len(self._best)
            or any(mine < best for mine, best in zip(negated, self._best, strict=True))
        ):
            self._best = None
        insort(self._ranked, (negated, self.ranks.of(index)))

    def result(self) -> Settled | None:
        if (
            self.complete
            or self._count == 0
            or (self.length is not None and len(self._ranked) >= self._count and len(self.losers()) == self.outstanding)
        ):
            return Settled(tuple(index for _, (_, index) in self._ranked[: self._count]))
        return None

    def losers(self) -> list[int]:
        if self._best is None or not 0 < self._count <= len(self._ranked):
            return []
        best, worst = self._best, self._ranked[self._count - 1]
        return [i for i in self.outstanding_indices() if (best, self.ranks.of(i)) > worst]

    def need(self) -> int:
        """As many more as have to reach the maximum."""
        if self.length is None or self._best is None:
            return super().need()
        reached = bisect_right(self._ranked, self._best, key=lambda each: each[0])
        return self._first_outstanding(self._count - reached)

    def tally(self) -> Tally:
        return tuple((f"#{index}", -negated[0]) for negated, (_, index) in self._ranked[:MAX_TALLY])


def _negated(key: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(-each for each in key)


class LeadingDecision(Decision):
    """Feed anything for elements that are there."""

    def __init__(self, rule: Leading, length: int | None, count: int) -> None:
        super().__init__("leading", length)
        self._count = count
        self._present: list[int] = []

    def _take(self, index: int, value: object, weight: float | None) -> None:
        if value is not NOTHING:
            insort(self._present, index)

    def result(self) -> Settled | None:
        chosen = self._present[: self._count]
        enough = len(chosen) == self._count and (self._count == 0 or chosen[-1] < self._lowest)
        return Settled(tuple(chosen)) if enough or self.complete else None

    def losers(self) -> list[int]:
        if len(self._present) < self._count:
            return []
        last = self._present[self._count - 1] if self._count else -1
        return [i for i in self.outstanding_indices() if i > last]

    def need(self) -> int:
        """If all of those were there, they would be enough."""
        if self.length is None:
            return super().need()
        there, found = set(self._present), 0
        for index in range(self.length):
            found += index in there or index not in self.arrived
            if found == self._count:
                return index + 1
        return self.length

    def tally(self) -> Tally:
        return tuple((f"#{index}", 1.0) for index in self._present[:MAX_TALLY])


class QuantifiedDecision(Decision):
    """Feed verdicts."""

    def __init__(self, rule: Quantified, length: int | None) -> None:
        super().__init__(rule.kind, length)
        self._decisive = rule.kind == "any"
        self._seen: dict[bool, int] = {True: 0, False: 0}

    def _take(self, index: int, value: object, weight: float | None) -> None:
        if isinstance(value, bool):
            self._seen[value] += 1

    def result(self) -> Settled | None:
        if self._seen[self._decisive]:
            return Settled((), self._decisive)
        return Settled((), not self._decisive) if self.complete else None

    def need(self) -> int:
        """The next one may be decisive."""
        return super().need() if self.length is None else self._first_outstanding(1)

    def tally(self) -> Tally:
        return (("true", float(self._seen[True])), ("false", float(self._seen[False])))


def _shown(answer: Hashable) -> str:
    return "(no answer)" if answer is None else str(answer)
