"""The critical path as lines: each leg with its share, repetitions told once."""

from __future__ import annotations

from dataclasses import dataclass

from ttsc.estimates.figures import Estimate, Leg
from ttsc.explaining.quantities import seconds, share
from ttsc.explaining.tables import bar, table

_LEGS = 14
_BAR = 30


@dataclass(frozen=True, slots=True)
class Stretch:
    """So many legs of one kind. `node`: "" where only the client or the end of aborted requests took time."""

    node: str
    times: int
    seconds: float


def stretches(legs: tuple[Leg, ...], *, most: int = _LEGS) -> list[Stretch]:
    """In order of time if they are few, else by node, the longest first."""
    found: list[Stretch] = []
    for leg in legs:
        if found and found[-1].node == leg.node:
            last = found.pop()
            found.append(Stretch(leg.node, last.times + 1, last.seconds + leg.seconds))
        else:
            found.append(Stretch(leg.node, 1, leg.seconds))
    if len(found) <= most:
        return found
    by_node: dict[str, Stretch] = {}
    for each in found:
        before = by_node.get(each.node, Stretch(each.node, 0, 0.0))
        by_node[each.node] = Stretch(each.node, before.times + each.times, before.seconds + each.seconds)
    return sorted(by_node.values(), key=lambda each: -each.seconds)


def critical_lines(estimate: Estimate) -> list[str]:
    whole = sum(leg.seconds for leg in estimate.critical)
    if not whole:
        return []
    found = stretches(estimate.critical)
    in_order = sum(each.times for each in found) == len(estimate.critical) and len(found) <= _LEGS
    names = {node.id: node for node in estimate.nodes}
    how = "one after the other" if in_order else "by node"
    lines = [f"  critical path of the median input, {seconds(whole)}, {how}"]
    rows = []
    for each in found:
        node = names.get(each.node)
        name = "between requests" if node is None else f"{node.op}()" if node.kind == "extern" else node.id
        times = f"{each.times} x" if each.times > 1 else ""
        part = each.seconds / whole
        rows.append((name, times, seconds(each.seconds), share(part), bar(part, _BAR)))
    return [*lines, *(f"    {line}" for line in table(rows, right="lrrrl"))]
