"""What every decision rule keeps: which elements have arrived, which are outstanding, and who wins ties.

A `Decision` is fed outcomes in any order and asked `result()`: `None` while undecided, else what is settled. `losers()`
names outstanding elements that can no longer matter although the rule as a whole is undecided; `need()` says how many
elements from the beginning of the list it surely has to see, which is what waves are made of.

Notation: n elements, some arrived, the others outstanding; an absent element (failed, left out) has arrived with
nothing. Ties go to the lowest rank. The rank of index i is i ("first"), -i ("last"), or a number drawn for it from a
seed ("random"), so that it never depends on what arrives when.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass

from ttsc.compiler.ir.rules import Ties

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
    """The common part: which indices are outstanding. `length` None until known. `name`: of the rule."""

    def __init__(self, name: str, length: int | None, ties: Ties = "first", seed: int = 0) -> None:
        self._name = name
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

    def need(self) -> int:
        """How many elements, from the first on, are certainly needed. Undecided, the rule cannot be settled before as
        many have arrived as are outstanding among those. There is at least one, so whoever waits for the needed ones
        waits for something.
        """
        return 0 if self.length is None else self.length

    def _first_outstanding(self, count: int) -> int:
        """How many elements there are up to the `count`-th outstanding one; all if there are fewer."""
        assert self.length is not None
        outstanding = self.outstanding_indices()
        return outstanding[max(1, count) - 1] + 1 if max(1, count) <= len(outstanding) else self.length

    @property
    def rule_name(self) -> str:
        """What decided, for events."""
        return self._name

    @property
    def looked(self) -> int:
        """How many elements were looked at."""
        return len(self.arrived)

    @property
    def confidence(self) -> float | None:
        """How sure a statistical rule was when it stopped; None for what is certain."""
        return None

    @abstractmethod
    def _take(self, index: int, value: object, weight: float | None) -> None: ...

    @abstractmethod
    def result(self) -> Settled | None:
        """The result if it can no longer change, else None."""

    @abstractmethod
    def tally(self) -> Tally:
        """What there is so far, for display."""
