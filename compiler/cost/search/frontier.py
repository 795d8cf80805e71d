"""The Pareto frontier: settings of which no other is at least as accurate for no more of a resource."""

from __future__ import annotations

from collections.abc import Sequence

from ttsc.compiler.cost.search.evaluating import Predicted, Seen


def dominates(one: Predicted, other: Predicted, resource: str) -> bool:
    """No worse in both, and better in one. What is unknown dominates nothing."""
    left, right = one.of(resource), other.of(resource)
    if one.accuracy is None or other.accuracy is None or left is None or right is None:
        return False
    no_worse = one.accuracy >= other.accuracy and left <= right
    return no_worse and (one.accuracy > other.accuracy or left < right)


def frontier(seen: Sequence[Seen], resource: str) -> tuple[Seen, ...]:
    """By the resource, ascending; of equal ones the first. Settings without an accuracy or a price are left out."""
    known = [each for each in seen if each.predicted.accuracy is not None and each.predicted.of(resource) is not None]
    ordered = sorted(known, key=lambda each: (each.predicted.of(resource), -(each.predicted.accuracy or 0.0)))
    kept: list[Seen] = []
    for each in ordered:
        if not kept or (each.predicted.accuracy or 0.0) > (kept[-1].predicted.accuracy or 0.0):
            kept.append(each)
    return tuple(kept)
