"""Which elements of a list need which others: invalid edges, and the longest path.

`needs[i]` are the indices of the elements that element i needs, as a model may have written them. An edge is invalid
if its index does not exist, if it leads from an element to itself, or if it closes a cycle. Which edge of a cycle
closes it is settled by a depth-first walk from the first element on, needs in their order: the edge that leads back to
an element the walk is still at. The walk is linear, and the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from ttsc.compiler.values.evaluation import Operation, integer, items
from ttsc.compiler.values.types import INT

Needs = tuple[tuple[int, ...], ...]


def valid_needs(needs: Sequence[Sequence[int]]) -> Needs:
    """The needs without their invalid edges; repeated ones stay."""
    return _without(needs, _walk(needs)[1])


def problem(needs: Sequence[Sequence[int]]) -> str | None:
    """What is wrong with the first invalid edge, or None."""
    invalid = _walk(needs)[1]
    if not invalid:
        return None
    i, place = min(invalid)
    needed = needs[i][place]
    if not 0 <= needed < len(needs):
        return f"element {i} needs element {needed}, and there are {len(needs)} (counted from 0)"
    if needed == i:
        return f"element {i} needs itself"
    return f"element {i} needs element {needed}, which needs element {i} in turn"


def _without(needs: Sequence[Sequence[int]], invalid: set[tuple[int, int]]) -> Needs:
    return tuple(
        tuple(needed for place, needed in enumerate(each) if (i, place) not in invalid) for i, each in enumerate(needs)
    )


def _walk(needs: Sequence[Sequence[int]]) -> tuple[list[int], set[tuple[int, int]]]:
    """Elements in an order in which needed ones come first, and invalid edges as (element, place among its needs)."""
    count = len(needs)
    order: list[int] = []
    invalid: set[tuple[int, int]] = set()
    waiting, open_, done = 0, 1, 2
    state = [waiting] * count
    for start in range(count):
        if state[start] != waiting:
            continue
        state[start] = open_
        path = [(start, 0)]
        while path:
            at, place = path.pop()
            if place == len(needs[at]):
                state[at] = done
                order.append(at)
                continue
            path.append((at, place + 1))
            needed = needs[at][place]
            if not 0 <= needed < count or state[needed] == open_:
                invalid.add((at, place))
            elif state[needed] == waiting:
                state[needed] = open_
                path.append((needed, 0))
    return order, invalid


def _depth(needs: object) -> int:
    """Elements on the longest path; invalid edges count as absent, 0 for an empty list."""
    given = [[integer(needed) for needed in items(each)] for each in items(needs)]
    order, invalid = _walk(given)
    valid = _without(given, invalid)
    lengths = [0] * len(given)
    for at in order:
        lengths[at] = 1 + max((lengths[needed] for needed in valid[at]), default=0)
    return max(lengths, default=0)


DEPENDENCIES = (Operation("depth", _depth, 1, 1, INT, total=True),)
