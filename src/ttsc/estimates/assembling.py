"""From what simulated runs did to the figures of an estimate: means per input, by node, by role, in all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ttsc.compiler.cost.counts import Counts
from ttsc.compiler.plan.nodes import Plan
from ttsc.estimates.collector import EXTERN, Done, InputRecord, busy_s, summed
from ttsc.estimates.critical_path import critical_path
from ttsc.estimates.figures import AtMost, Leg, NodeEstimate, Spread, Work, spread
from ttsc.estimates.places import placed_nodes

WorkOf = Callable[[str, Counts, float], Work]
"""(model role, counts, sequences at once) -> what they take on the role's machine."""


@dataclass(frozen=True, slots=True)
class Means:
    """Means over inputs, each with its weight."""

    weights: tuple[float, ...]

    @property
    def whole(self) -> float:
        return sum(self.weights)

    def of(self, values: Sequence[float]) -> float:
        return sum(v * w for v, w in zip(values, self.weights, strict=True)) / self.whole

    def counts(self, parts: Sequence[Counts]) -> Counts:
        return summed(part.times(w / self.whole) for part, w in zip(parts, self.weights, strict=True))

    def spread(self, values: Sequence[float]) -> Spread:
        return spread(values, self.weights)


def node_estimates(
    plan: Plan,
    records: Sequence[InputRecord],
    means: Means,
    work_of: WorkOf,
    at_most: Mapping[str, AtMost],
    paths: Sequence[tuple[Leg, ...]],
) -> tuple[NodeEstimate, ...]:
    """One for each node of the plan that asks an engine or calls a host function, in its order."""
    by_node: list[dict[str, list[Done]]] = []
    for record in records:
        grouped: dict[str, list[Done]] = {}
        for each in record.done:
            grouped.setdefault(each.node, []).append(each)
        by_node.append(grouped)
    found = []
    for placed in placed_nodes(plan):
        mine = [grouped.get(placed.id, []) for grouped in by_node]
        on_path = [sum(leg.seconds for leg in path if leg.node == placed.id) for path in paths]
        busy = [busy_s(spans) for spans in mine]
        whole_s = [sum(each.end_s - each.start_s for each in spans) for spans in mine]
        counts = means.counts([summed(each.counts for each in spans) for spans in mine])
        mean_busy = means.of(busy)
        at_once = means.of(whole_s) / mean_busy if mean_busy > 0 else 0.0
        found.append(
            NodeEstimate(
                placed.id,
                placed.op,
                placed.kind,
                placed.role,
                placed.place,
                counts,
                means.spread([float(len(spans)) for spans in mine]),
                means.spread([sum(each.counts.decoded_tokens for each in spans) for spans in mine]),
                means.of([float(sum(each.finish == "abort" for each in spans)) for spans in mine]),
                means.of([lost_tokens(spans) for spans in mine]),
                means.of([float(sum(each.finish == "error" for each in spans)) for spans in mine]),
                mean_busy,
                at_once,
                means.of(on_path),
                Work() if placed.kind == EXTERN else work_of(placed.role, counts, at_once),
                at_most.get(placed.id),
            )
        )
    return tuple(found)


def lost_tokens(spans: Sequence[Done]) -> float:
    """Decoded by requests that were aborted."""
    return sum(each.counts.decoded_tokens for each in spans if each.finish == "abort")


def paths_of(records: Sequence[InputRecord]) -> list[tuple[Leg, ...]]:
    return [critical_path(record) for record in records]


def typical_path(records: Sequence[InputRecord], paths: Sequence[tuple[Leg, ...]]) -> tuple[Leg, ...]:
    """The path of the input of median latency, from its start on; neighbours at the same node become one leg."""
    if not records:
        return ()
    order = sorted(range(len(records)), key=lambda i: (records[i].seconds, i))
    middle = order[(len(order) - 1) // 2]
    start = records[middle].start_s
    return tuple(Leg(leg.node, leg.start_s - start, leg.seconds) for leg in paths[middle])
