"""What is known of a value before the program runs: ranges of numbers, in lists, pairs and scores."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing is known."""


@dataclass(frozen=True, slots=True)
class Range:
    """A number from `low` to `high`, or none."""

    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate, and the range of its score."""

    score: Known


@dataclass(frozen=True, slots=True)
class Items:
    """A list, each of whose elements is so."""

    each: Known


@dataclass(frozen=True, slots=True)
class Row:
    """A list of these, in this order."""

    parts: tuple[Known, ...]


@dataclass(frozen=True, slots=True)
class Both:
    """A pair."""

    first: Known
    second: Known


Known = Unknown | Range | Scored | Items | Row | Both
UNKNOWN = Unknown()
