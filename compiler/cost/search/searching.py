"""The search: a coarse look at the whole space, then steps from the best places it found, each half as wide as before.

Amounts like n act by their logarithm, so the coarse look is even in that; what is best under a budget lies where the
budget binds, so places just beyond it are stepped from as well. Evaluations are remembered. With an evaluator that can
look closer for more (a simulation), all places are looked at cheaply, and the better half of them again with twice the
effort, until the last are known best (successive halving).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ttsc.compiler.cost.search.evaluating import Evaluator, Objective, Predicted, Seen
from ttsc.compiler.cost.search.frontier import frontier
from ttsc.compiler.cost.search.space import Place, Space

_STARTS = 3
_MOST_COARSE = 400


@dataclass(frozen=True, slots=True)
class Found:
    """best: the setting to take; None if none keeps the limits. nearest: the one that misses them least. frontier: of
    accuracy over `resource`. evaluations: how many settings were evaluated, at any effort.
    """

    best: Seen | None
    nearest: Seen
    frontier: tuple[Seen, ...]
    seen: tuple[Seen, ...]
    evaluations: int


@dataclass
class _Memory:
    """All that was evaluated, by place and effort."""

    space: Space
    evaluator: Evaluator
    known: dict[tuple[Place, int], Predicted] = field(default_factory=dict)

    def look(self, place: Place, effort: int) -> Predicted:
        key = (place, effort)
        if key not in self.known:
            self.known[key] = self.evaluator(self.space.setting(place), effort)
        return self.known[key]

    def seen(self, effort: int) -> tuple[Seen, ...]:
        return tuple(
            Seen(place, self.space.setting(place), found) for (place, at), found in self.known.items() if at == effort
        )


def search(
    space: Space, evaluator: Evaluator, objective: Objective, resource: str = "tokens", also: Iterable[Place] = ()
) -> Found:
    """The best setting, and the frontier of accuracy over `resource`. `also`: places to look at in any case, such as
    the program's defaults.
    """
    memory = _Memory(space, evaluator)
    *cheaper, full = evaluator.efforts
    first = _first_places(space)
    fixed = list(also)
    if cheaper:
        first = _halved(memory, objective, first, cheaper, resource)
    for place in dict.fromkeys([*first, *fixed]):
        memory.look(place, full)
    for start in _starts(memory, objective, full):
        _climb(memory, objective, start, full)
    seen = memory.seen(full)
    ranked = max(seen, key=lambda each: objective.rank(each.predicted))
    best = ranked if objective.feasible(ranked.predicted) else None
    return Found(best, ranked, frontier(seen, resource), seen, len({place for place, _ in memory.known}))


def _first_places(space: Space) -> list[Place]:
    """The coarse look; of a space of many axes a part of it, spread over the whole."""
    coarse = list(space.coarse())
    if len(coarse) <= _MOST_COARSE:
        return coarse
    stride = len(coarse) / _MOST_COARSE
    return [coarse[int(each * stride)] for each in range(_MOST_COARSE)]


def _halved(
    memory: _Memory, objective: Objective, places: list[Place], efforts: Iterable[int], resource: str
) -> list[Place]:
    """After each effort the better half, and what is on the frontier by then."""
    for effort in efforts:
        found = {place: memory.look(place, effort) for place in places}
        kept = sorted(places, key=lambda place: objective.rank(found[place]), reverse=True)
        front = frontier([Seen(p, memory.space.setting(p), f) for p, f in found.items()], resource)
        places = list(dict.fromkeys([*kept[: (len(kept) + 1) // 2], *(each.place for each in front)]))
    return places


def _starts(memory: _Memory, objective: Objective, effort: int) -> list[Place]:
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


def _climb(memory: _Memory, objective: Objective, start: Place, effort: int) -> None:
    """Steps along one axis, or along two against each other, as long as one of them is better; then half as wide."""
    axes = memory.space.axes
    ordered = [number for number, axis in enumerate(axes) if axis.ordered and len(axis.values) > 1]
    if not ordered:
        return
    strides = {number: max(1, _gap(axes[number].coarse(), start[number])) for number in ordered}
    here, best = start, objective.rank(memory.look(start, effort))
    while True:
        moved = False
        for candidate in _neighbours(memory.space, here, strides):
            rank = objective.rank(memory.look(candidate, effort))
            if rank > best:
                here, best, moved = candidate, rank, True
        if moved:
            continue
        if all(stride == 1 for stride in strides.values()):
            return
        strides = {number: max(1, stride // 2) for number, stride in strides.items()}


def _neighbours(space: Space, place: Place, strides: dict[int, int]) -> list[Place]:
    moves = [{number: sign * stride} for number, stride in strides.items() for sign in (1, -1)]
    # The last steps are longer, too: votes of odd and even numbers form two curves.
    moves += [{number: sign * step} for number, at in strides.items() if at == 1 for step in (2, 3) for sign in (1, -1)]
    numbers = list(strides)
    for i, one in enumerate(numbers):
        for other in numbers[i + 1 :]:
            moves += [{one: strides[one], other: -strides[other]}, {one: -strides[one], other: strides[other]}]
    found = []
    for move in moves:
        there = tuple(
            min(max(at + move.get(number, 0), 0), len(space.axes[number].values) - 1) for number, at in enumerate(place)
        )
        if there != place:
            found.append(there)
    return list(dict.fromkeys(found))


def _gap(marks: tuple[int, ...], at: int) -> int:
    """How far the coarse look's next place is, on one axis: half of it is where the first steps go."""
    distances = [abs(mark - at) for mark in marks if mark != at]
    return (max(1, min(distances)) + 1) // 2 if distances else 1
