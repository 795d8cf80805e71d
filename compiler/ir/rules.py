"""Decision rules of selections.

Given what has arrived, what is outstanding and the bounds on it, a rule says "undecided" or "decided, result r". The
executor derives every cancellation from it. All of these are exact: they never change the result.

Ties. "first": among equals, the lowest index in the list wins; "last": the highest. "random": the least of
(number, index) wins, where each index has a number that is drawn from the run's seed, the node's id, the rounds and
elements around it, and the index alone. So an element's number depends neither on how long the list is nor on what
arrives when, and every argument about indices holds with (number, index) in their place: an outstanding element wins a
tie exactly if its pair is less. That is why what may be decided early is the same under each of the three.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Ties = Literal["first", "last", "random"]


@dataclass(frozen=True, slots=True)
class Majority:
    """Most votes win. `ties`: the answer whose best placed vote stands before those of the others.

    `invalid`: what a candidate without an answer counts as: nothing ("drop"), or an answer of its own kind ("count").
    With weights on the node, the greatest sum wins; decided early only if weights are non-negative and bounded by
    `max_weight`.
    """

    ties: Ties = "first"
    invalid: Literal["drop", "count"] = "drop"
    max_weight: float | None = None


@dataclass(frozen=True, slots=True)
class FirstFinished:
    """The k candidates that finish first. `order="tokens"`: fewest tokens generated, ties by index, whatever the
    timing; `"time"`: by arrival. `truncated`: whether a candidate cut by max_tokens is a finisher ("include") or not
    ("exclude").
    """

    order: Literal["tokens", "time"] = "tokens"
    truncated: Literal["exclude", "include"] = "exclude"


@dataclass(frozen=True, slots=True)
class Greatest:
    """The k greatest keys, greatest first. A key is a float or a list of them, which compare one after the other.

    Decided early once k candidates have reached `maximum` and no outstanding one could come before them in a tie.
    Keys that are lists are never decided early.
    """

    ties: Ties = "first"
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class Quantified:
    """`any`: decided by the first true; `all`: by the first false."""

    kind: Literal["any", "all"]


Rule = Majority | FirstFinished | Greatest | Quantified
