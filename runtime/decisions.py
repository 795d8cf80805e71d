"""Decision rules as state machines: what has arrived, what is outstanding, and whether the result can still change.

A `Decision` is fed outcomes in any order and asked `result()`: `None` while undecided, else what is settled. All
rules are exact: an early result is the one that all outcomes would have given, whatever the outstanding ones turn out
to be. `losers()` names outstanding elements that can no longer matter although the rule as a whole is undecided.

Notation: n elements, some arrived, the others outstanding; an absent element (failed, left out) has arrived with
nothing.

Ties go to the lowest rank. The rank of index i is i ("first"), -i ("last"), or a number drawn for it from a seed
("random"), so that it never depends on what arrives when.

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

Greatest. The k greatest keys by (-key, rank); of lists the first numbers that differ count. Only a known maximum bounds
an outstanding key.

Quantified. `any` is decided by the first true, `all` by the first false; absent elements have no say.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from bisect import insort
from collections.abc import Hashable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, assert_never

from ttsc.compiler.ir.nodes import FirstFinished, Greatest, Majority, Quantified, Rule

Tally = tuple[tuple[str, float], ...]
MAX_TALLY = 12
"""Rows of a tally; it is for display."""


class _Nothing:
    """The outcome of an element that is absent."""

    def __repr__(self) -> str:
        return "NOTHING"


NOTHING = _Nothing()


@dataclass(frozen=True, slots=True)
class Settled:
    """The result can no longer change. `winners`: element indices, best first. `answer`: what a vote or quantifier says
    (None from a vote without a winner).
    """

    winners: tuple[int, ...] = ()
    answer: str | bool | None = None


Ties = Literal["first", "last", "random"]


class Ranks:
    """The order in which indices win ties. `lowest` keeps track of the best one outstanding."""

    def __init__(self, ties: Ties, seed: int) -> None:
        self._ties = ties
        self._seed = seed
        self._outstanding: list[int] = []
        """Indices from the worst rank to the best; those at the end that have arrived are dropped as they are met."""

    def of(self, index: int) -> tuple[int, int]:
        match self._ties:
            case "first":
                return index, index
            case "last":
                return -index, index
        drawn = hashlib.blake2b(f"{self._seed}:{index}".encode(), digest_size=8).digest()
        return int.from_bytes(drawn, "big"), index

    def closed(self, length: int) -> None:
        self._outstanding = sorted(range(length), key=self.of, reverse=True)

    def lowest(self, arrived: set[int]) -> tuple[int, int]:
        """The best rank that is outstanding. Call only if there is one."""
        while self._outstanding[-1] in arrived:
            self._outstanding.pop()
        return self.of(self._outstanding[-1])


class Decision(ABC):
    """The common part: which indices are outstanding. `length` None until known."""

    def __init__(self, length: int | None, ties: Ties = "first", seed: int = 0) -> None:
        self.length = length
        self.arrived: set[int] = set()
        self.ranks = Ranks(ties, seed)
        self._lowest = 0
        self._highest = -1
        if length is not None:
            self.closed(length)

    def closed(self, length: int) -> None:
        """The list will have `length` elements."""
        self.length = length
        self._highest = length - 1
        self.ranks.closed(length)

    def feed(self, index: int, value: object, weight: float | None = None) -> None:
        """Element `index` has arrived: an answer, a key, a verdict, a token count, or NOTHING."""
        self.arrived.add(index)
        while self._lowest in self.arrived:
            self._lowest += 1
        while self._highest in self.arrived:
            self._highest -= 1
        self._take(index, value, weight)

    def progress(self, index: int, tokens: int) -> None:
        """Element `index` is still running and has so many tokens. Most rules don't mind."""
        return

    @property
    def outstanding(self) -> int | None:
        return None if self.length is None else self.length - len(self.arrived)

    @property
    def complete(self) -> bool:
        return self.outstanding == 0

    def outstanding_indices(self) -> list[int]:
        if self.length is None:
            return []
        return [i for i in range(self._lowest, self._highest + 1) if i not in self.arrived]

    def losers(self) -> list[int]:
        """Outstanding elements that cannot matter any more."""
        return []

    @abstractmethod
    def _take(self, index: int, value: object, weight: float | None) -> None: ...

    @abstractmethod
    def result(self) -> Settled | None:
        """The result if it can no longer change, else None."""

    @abstractmethod
    def tally(self) -> Tally:
        """What there is so far, for display."""


@dataclass(slots=True)
class _Votes:
    total: Fraction
    rank: tuple[int, int]
    """The best rank among those that voted for it, and its index."""


class MajorityDecision(Decision):
    """Feed answers (None for an invalid one), with weights if the node has them."""

    def __init__(self, rule: Majority, length: int | None, weighted: bool = False, seed: int = 0) -> None:
        super().__init__(length, rule.ties, seed)
        self._rule = rule
        self._votes: dict[Hashable, _Votes] = {}
        self._most: Fraction | None = Fraction(1)
        if weighted:
            self._most = None if rule.max_weight is None else Fraction(rule.max_weight)

    def _take(self, index: int, value: object, weight: float | None) -> None:
        if value is NOTHING or (value is None and self._rule.invalid == "drop"):
            return
        if weight is not None and not math.isfinite(weight):
            return
        worth = Fraction(1 if weight is None else weight)
        if self._most is not None and not 0 <= worth <= self._most:
            self._most = None
        assert isinstance(value, Hashable)
        rank = self.ranks.of(index)
        votes = self._votes.setdefault(value, _Votes(Fraction(0), rank))
        votes.total += worth
        votes.rank = min(votes.rank, rank)

    def result(self) -> Settled | None:
        if not self._votes:
            return Settled() if self.complete else None
        leader = max(self._votes, key=self._rank)
        if not self.complete and not self._safe(leader):
            return None
        return Settled((self._votes[leader].rank[1],), leader if isinstance(leader, str | bool) else None)

    def _rank(self, answer: Hashable) -> tuple[Fraction, int, int]:
        votes = self._votes[answer]
        return votes.total, -votes.rank[0], -votes.rank[1]

    def _safe(self, leader: Hashable) -> bool:
        outstanding = self.outstanding
        if outstanding is None or self._most is None:
            return False
        swing = self._most * outstanding
        mine = self._votes[leader]
        coming = self.ranks.lowest(self.arrived)
        rivals = [v for a, v in self._votes.items() if a != leader]
        return all(_ahead(mine, v.total + swing, min(v.rank, coming)) for v in rivals) and _ahead(mine, swing, coming)

    def tally(self) -> Tally:
        ranked = sorted(self._votes, key=self._rank, reverse=True)
        return tuple((_shown(answer), float(self._votes[answer].total)) for answer in ranked[:MAX_TALLY])


def _ahead(mine: _Votes, total: Fraction, rank: tuple[int, int]) -> bool:
    """Whether the leader beats a rival that gets every outstanding vote: so many votes, and this rank."""
    return mine.total > total or (mine.total == total and mine.rank < rank)


class FirstFinishedDecision(Decision):
    """Feed the tokens of candidates that finished, NOTHING for those that do not count."""

    def __init__(self, rule: FirstFinished, length: int | None, count: int) -> None:
        super().__init__(length)
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
        super().__init__(length, rule.ties, seed)
        self._maximum = rule.maximum
        self._count = count
        self._ranked: list[tuple[tuple[float, ...], tuple[int, int]]] = []

    def _take(self, index: int, value: object, weight: float | None) -> None:
        key = value if isinstance(value, list | tuple) else (value,)
        negated = tuple(-each for each in key if isinstance(each, int | float) and not math.isnan(each))
        if len(negated) < len(key) or not key:
            return
        if self._maximum is not None and (isinstance(value, list | tuple) or -negated[0] > self._maximum):
            self._maximum = None
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
        if self._maximum is None or not 0 < self._count <= len(self._ranked):
            return []
        worst = self._ranked[self._count - 1]
        best = (-self._maximum,)
        return [i for i in self.outstanding_indices() if (best, self.ranks.of(i)) > worst]

    def tally(self) -> Tally:
        return tuple((f"#{index}", -negated[0]) for negated, (_, index) in self._ranked[:MAX_TALLY])


class QuantifiedDecision(Decision):
    """Feed verdicts."""

    def __init__(self, rule: Quantified, length: int | None) -> None:
        super().__init__(length)
        self._decisive = rule.kind == "any"
        self._seen: dict[bool, int] = {True: 0, False: 0}

    def _take(self, index: int, value: object, weight: float | None) -> None:
        if isinstance(value, bool):
            self._seen[value] += 1

    def result(self) -> Settled | None:
        if self._seen[self._decisive]:
            return Settled((), self._decisive)
        return Settled((), not self._decisive) if self.complete else None

    def tally(self) -> Tally:
        return (("true", float(self._seen[True])), ("false", float(self._seen[False])))


def decision_for(rule: Rule, length: int | None, count: int = 1, weighted: bool = False, seed: int = 0) -> Decision:
    """The state machine of a rule. `count`: the k of the rules that have one. `seed`: of random ties."""
    match rule:
        case Majority():
            return MajorityDecision(rule, length, weighted, seed)
        case FirstFinished():
            return FirstFinishedDecision(rule, length, count)
        case Greatest():
            return GreatestDecision(rule, length, count, seed)
        case Quantified():
            return QuantifiedDecision(rule, length)
        case _:
            assert_never(rule)


def _shown(answer: Hashable) -> str:
    return "(no answer)" if answer is None else str(answer)
