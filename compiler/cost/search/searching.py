"""The search: a coarse look at the whole space, then steps from the best places it found, each half as wide as before.

Amounts like n act by their logarithm, so the coarse look is even in that; what is best under a budget lies where the
budget binds, so places just beyond it are stepped from as well. Evaluations are remembered. Where a look is a
simulation, `halving` searches instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ttsc.compiler.cost.search.climbing import climb
from ttsc.compiler.cost.search.evaluating import Evaluator, Objective, Seen
from ttsc.compiler.cost.search.frontier import frontier
from ttsc.compiler.cost.search.memory import Memory
from ttsc.compiler.cost.search.space import Place, Space

_STARTS = 3
_MOST_COARSE = 400
_MOST_REFINED = 64
"""Settings beside those of the frontier that are looked at for its sake."""


@dataclass(frozen=True, slots=True)
class Found:
    """best: the setting to take; None if none keeps the limits. nearest: the one that misses them least. frontier: of
    accuracy over `resource`. evaluations: how many settings were evaluated, at any effort. left_out: places of the
    first look that would have taken too many requests.
    """

    best: Seen | None
    nearest: Seen
    frontier: tuple[Seen, ...]
    seen: tuple[Seen, ...]
    evaluations: int
    left_out: int = 0


def search(
    space: Space, evaluator: Evaluator, objective: Objective, resource: str = "tokens", also: Iterable[Place] = ()
) -> Found:
    """The best setting, and the frontier of accuracy over `resource`. `also`: places to look at in any case, such as
    the program's defaults.
    """
    memory = Memory(space, evaluator)
    effort = evaluator.efforts[-1]
    for place in dict.fromkeys([*_first_places(space), *also]):
        memory.look(place, effort)
    for start in _starts(memory, objective, effort):
        climb(memory, objective, start, effort)
    _refine(memory, effort, resource)
    seen = memory.seen(effort)
    ranked = max(seen, key=lambda each: objective.rank(each.predicted))
    best = ranked if objective.feasible(ranked.predicted) else None
    return Found(best, ranked, frontier(seen, resource), seen, memory.places)


def _first_places(space: Space) -> list[Place]:
    """The coarse look; of a space of many axes a part of it, spread over the whole."""
    coarse = list(space.coarse())
    if len(coarse) <= _MOST_COARSE:
        return coarse
    stride = len(coarse) / _MOST_COARSE
    return [coarse[int(each * stride)] for each in range(_MOST_COARSE)]


def _starts(memory: Memory, objective: Objective, effort: int) -> list[Place]:
    """The best places on each choice of names (axes without order), and those nearest to keeping the limits."""
    by_names: dict[Place, list[Seen]] = {}
    for each in memory.seen(effort):
        names = tuple(at for axis, at in zip(memory.space.axes, each.place, strict=True) if not axis.ordered)
        by_names.setdefault(names, []).append(each)
    starts: list[Seen] = []
    for group in by_names.values():
        kept = [each for each in group if objective.feasible(each.predicted)]
        missed = [each for each in group if not objective.feasible(each.predicted)]
        starts += sorted(kept, key=lambda each: objective.rank(each.predicted), reverse=True)[:_STARTS]
        starts += sorted(missed, key=lambda each: objective.value(each.predicted), reverse=True)[:1]
    starts.sort(key=lambda each: objective.rank(each.predicted), reverse=True)
    return [each.place for each in starts[: _STARTS * 3]]


def _refine(memory: Memory, effort: int, resource: str) -> None:
    """Look beside the places of the frontier, as long as that changes it."""
    looked = 0
    done: set[Place] = set()
    while places := [each.place for each in frontier(memory.seen(effort), resource) if each.place not in done]:
        for place in places:
            done.add(place)
            for beside in _beside(memory.space, place):
                if (beside, effort) not in memory.known:
                    memory.look(beside, effort)
                    looked += 1
                    if looked >= _MOST_REFINED:
                        return


def _beside(space: Space, place: Place) -> list[Place]:
    found = []
    for number, axis in enumerate(space.axes):
        for at in (place[number] - 1, place[number] + 1):
            if axis.ordered and 0 <= at < len(axis.values):
                found.append((*place[:number], at, *place[number + 1 :]))
    return found
