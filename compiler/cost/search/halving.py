"""The search where each look is a simulation: many places with few inputs, few of them with many (successive halving).

The first places are spread evenly over the coarse look. The better part of them is looked at again with more inputs,
stepped from, and the last few are looked at with all inputs. What may be simulated in all is limited in requests, not
in seconds, so that the same search finds the same; a place that would take too much of it is left out, and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ttsc.compiler.cost.search.climbing import climb
from ttsc.compiler.cost.search.evaluating import Evaluator, Objective, Predicted, Seen
from ttsc.compiler.cost.search.frontier import frontier
from ttsc.compiler.cost.search.memory import Memory
from ttsc.compiler.cost.search.searching import Found
from ttsc.compiler.cost.search.space import Place, Space

REQUESTS = 30_000
"""How many requests a search may simulate unless told otherwise."""

_FIRST = 32
_ONE = 0.2
"""Of the requests: what one look of the first ones may take at most."""
_FIRST_SHARE, _STEPS_SHARE = 0.4, 0.75
_STARTS, _LAST = 2, 3
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)


def halve(
    space: Space,
    evaluator: Evaluator,
    objective: Objective,
    resource: str = "tokens",
    also: Iterable[Place] = (),
    requests: float = REQUESTS,
) -> Found:
    """As `searching.search`. The frontier is of those that were looked at with more than the least effort."""
    memory = Memory(space, evaluator)
    least, *more = evaluator.efforts
    middle, full = (more[0], more[-1]) if more else (least, least)

    def affords(effort: int, until: float, one: float = 1.0) -> Callable[[Place], bool]:
        def tell(place: Place) -> bool:
            takes = memory.calls(place) * effort
            return takes <= one * requests and memory.requests + takes <= until * requests

        return tell

    fixed = list(also)
    left_out = 0
    for place in [*fixed, *_by_size(space, set(_spread(space)) - set(fixed))]:
        if place in fixed or not memory.known or affords(least, _FIRST_SHARE, _ONE)(place):
            memory.look(place, least)
        else:
            left_out += 1
    places = _better(memory, objective, least, resource)
    for place in places:
        if affords(middle, _STEPS_SHARE)(place):
            memory.look(place, middle)
    starts = sorted(memory.seen(middle), key=lambda each: objective.rank(each.predicted), reverse=True)[:_STARTS]
    for each in starts:
        climb(memory, objective, each.place, middle, affords(middle, _STEPS_SHARE))
    best = _most_seen(memory, (least, middle) if not memory.seen(middle) else (middle,))
    last = sorted(best, key=lambda each: objective.rank(each.predicted), reverse=True)[:_LAST]
    for each in last:
        if affords(full, 1.0)(each.place):
            memory.look(each.place, full)
    ends = memory.seen(full)
    if ends:
        first = max(ends, key=lambda each: objective.rank(each.predicted))
        climb(memory, objective, first.place, full, affords(full, 1.0), near=True)
        front = frontier(_most_seen(memory, (middle, full)), resource)
        ends = memory.seen(full)
        for each in front:
            if affords(full, 1.0)(each.place):
                memory.look(each.place, full)
    seen = _most_seen(memory, (least, middle, full) if not memory.seen(middle) else (middle, full))
    ranked = max(ends or seen, key=lambda each: objective.rank(each.predicted))
    found = ranked if objective.feasible(ranked.predicted) else None
    return Found(found, ranked, frontier(seen, resource), seen, memory.places, left_out)


def _better(memory: Memory, objective: Objective, effort: int, resource: str) -> list[Place]:
    """The better quarter of the places, and what is on the frontier."""
    seen = memory.seen(effort)
    ranked = sorted(seen, key=lambda each: objective.rank(each.predicted), reverse=True)
    kept = [each.place for each in ranked[: max(2 * _LAST, (len(ranked) + 3) // 4)]]
    return list(dict.fromkeys([*kept, *(each.place for each in frontier(seen, resource))]))


def _most_seen(memory: Memory, efforts: Iterable[int]) -> tuple[Seen, ...]:
    """Places with what the greatest of these efforts says of them."""
    found: dict[Place, Predicted] = {}
    for effort in efforts:
        found.update({each.place: each.predicted for each in memory.seen(effort)})
    return tuple(Seen(place, memory.space.setting(place), predicted) for place, predicted in found.items())


def _spread(space: Space) -> list[Place]:
    """All places of a small space; of a large one some of the coarse look, spread evenly (a Halton sequence)."""
    if space.size <= _FIRST:
        return list(space.all())
    marks = [axis.coarse() for axis in space.axes]
    primes = [_PRIMES[number % len(_PRIMES)] for number in range(len(marks))]
    return list(
        dict.fromkeys(
            tuple(each[int(_inverse(number, prime) * len(each))] for each, prime in zip(marks, primes, strict=True))
            for number in range(_FIRST)
        )
    )


def _inverse(number: int, base: int) -> float:
    """The digits of a number in a base, mirrored at the point."""
    found, part = 0.0, 1.0
    while number:
        number, digit = divmod(number, base)
        part /= base
        found += digit * part
    return found


def _by_size(space: Space, places: Iterable[Place]) -> list[Place]:
    """Small values first: they ask little, and tell how much the others will."""

    def size(place: Place) -> tuple[float, Place]:
        shares = [at / len(axis.values) for axis, at in zip(space.axes, place, strict=True) if axis.ordered]
        return sum(shares), place

    return sorted(places, key=size)
