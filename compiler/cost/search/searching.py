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
