"""Steps from a place to better ones near it, first wide, then each half as wide."""

from __future__ import annotations

from collections.abc import Callable

from ttsc.compiler.cost.search.evaluating import Objective
from ttsc.compiler.cost.search.memory import Memory
from ttsc.compiler.cost.search.space import Place, Space


def climb(
    memory: Memory,
    objective: Objective,
    start: Place,
    effort: int,
    affords: Callable[[Place], bool] = lambda place: True,
    near: bool = False,
) -> Place:
    """Steps along one axis, or along two against each other, as long as one of them is better; then half as wide. The
    place where it ends. `affords`: whether a place may be looked at. near: begin with the shortest steps.
    """
    axes = memory.space.axes
    ordered = [number for number, axis in enumerate(axes) if axis.ordered and len(axis.values) > 1]
    if not ordered:
        return start
    strides = {number: 1 if near else max(1, _gap(axes[number].coarse(), start[number])) for number in ordered}
    here, best = start, objective.rank(memory.look(start, effort))
    while True:
        moved = False
        for candidate in _neighbours(memory.space, here, strides):
            if (candidate, effort) not in memory.known and not affords(candidate):
                continue
            rank = objective.rank(memory.look(candidate, effort))
            if rank > best:
                here, best, moved = candidate, rank, True
        if moved:
            continue
        if all(stride == 1 for stride in strides.values()):
            return here
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
