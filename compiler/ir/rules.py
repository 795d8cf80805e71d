"""Decision rules of selections.

Given what has arrived, what is outstanding and the bounds on it, a rule says "undecided" or "decided, result r". The
executor derives every cancellation from it. All but `Sequential` are exact: they never change the result. `Sequential`
changes it by design, and says how; but it looks at the list in index order, so that timing never does.

Ties. "first": among equals, the lowest index in the list wins; "last": the highest. "random": the least of
(number, index) wins, where each index has a number that is drawn from the run's seed, the node's id, the rounds and
elements around it, and the index alone. So an element's number depends neither on how long the list is nor on what
arrives when, and every argument about indices holds with (number, index) in their place: an outstanding element wins a
tie exactly if its pair is less. That is why what may be decided early is the same under each of the three.

`wave`: how many elements are started at once; 0 is all of them. It is a schedule and changes no result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Ties = Literal["first", "last", "random"]
Stop = Literal["adaptive", "beta", "esc", "sprt"]


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
    wave: int = 0


@dataclass(frozen=True, slots=True)
class Sequential:
    """The vote of a prefix: votes are looked at in index order, and the first moment at which the leading answer is
    sure enough ends it. Without such a moment it is the majority of all. No weights.

    Let a and b be the votes of the first and the second answer so far.

    "adaptive" (Aggarwal et al. 2023, Adaptive-Consistency) and "beta" (the same test, everything started at once):
    of two answers, the chance that the first is the commoner one, after a and b votes and from a uniform prior, is
    1 - I(1/2; a + 1, b + 1), the regularised incomplete beta function. It stops at `confidence`.

    "sprt" (Wald 1945, Sequential Tests of Statistical Hypotheses): p is the chance that a vote for one of the two is
    for the first. H1: p = `share`; H0: p = 1 - `share`. Errors of both kinds at most 1 - `confidence`. It stops when
    the likelihood ratio (share / (1 - share)) ** (a - b) reaches confidence / (1 - confidence). Wald's other bound
    is the same one with the answers changed over, and is met as that.

    "esc" (Li et al. 2024, early-stopping self-consistency): votes come in windows of `window`; the first window in
    which all agree ends it with that answer, whatever the windows before said.

    `ties`, `invalid`: as in `Majority`. A dropped candidate is no vote and takes no place in a window.
    """

    stop: Stop
    ties: Ties = "first"
    invalid: Literal["drop", "count"] = "drop"
    confidence: float = 0.95
    window: int = 5
    share: float = 0.6
    wave: int = 0


@dataclass(frozen=True, slots=True)
class FirstFinished:
    """The k candidates that finish first. `order="tokens"`: fewest tokens generated, ties by index, whatever the
    timing; `"time"`: by arrival. `truncated`: whether a candidate cut by max_tokens is a finisher ("include") or not
    ("exclude").
    """

    order: Literal["tokens", "time"] = "tokens"
    truncated: Literal["exclude", "include"] = "exclude"


@dataclass(frozen=True, slots=True)
class Leading:
    """The first k elements that are there, in index order: decided once k are there and nothing before them is
    outstanding.
    """


@dataclass(frozen=True, slots=True)
class Greatest:
    """The k greatest keys, greatest first. A key is a float or a list of them, which compare one after the other.

    Decided early once k candidates have reached `maximum` and no outstanding one could come before them in a tie. For
    keys that are lists of one length, `maximum` is a tuple of that length: no key has a greater number at its place.
    """

    ties: Ties = "first"
    maximum: float | tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Quantified:
    """`any`: decided by the first true; `all`: by the first false."""

    kind: Literal["any", "all"]


Rule = Majority | Sequential | FirstFinished | Leading | Greatest | Quantified
