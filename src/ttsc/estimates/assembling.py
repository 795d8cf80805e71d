"""From what simulated runs did to the figures of an estimate: means per input, by node, by role, in all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ttsc.compiler.cost.counts import Counts
from ttsc.compiler.plan.nodes import Plan
from ttsc.estimates.collector import EXTERN, Done, InputRecord, busy_s, summed
from ttsc.estimates.critical_path import critical_path
from ttsc.estimates.figures import AtMost, Bar, Leg, NodeEstimate, Sample, Spread, Work, spread
from ttsc.estimates.machine_work import WorkOf
from ttsc.estimates.places import placed_nodes


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


def typical(records: Sequence[InputRecord]) -> int:
    """The index of the input of median latency."""
    order = sorted(range(len(records)), key=lambda i: (records[i].seconds, i))
    return order[(len(order) - 1) // 2]


def path_from(start_s: float, path: Sequence[Leg]) -> tuple[Leg, ...]:
    return tuple(Leg(leg.node, leg.start_s - start_s, leg.seconds) for leg in path)


def timeline(record: InputRecord) -> tuple[Bar, ...]:
    """Its requests and calls in the order in which they began."""
    return tuple(
        Bar(
            each.node,
            each.start_s - record.start_s,
            each.end_s - each.start_s,
            each.finish,
            int(each.counts.prompt_tokens),
            int(each.counts.cached_tokens),
            int(each.counts.decoded_tokens),
        )
        for each in sorted(record.done, key=lambda each: (each.start_s, each.end_s, each.request_id))
    )


def samples(records: Sequence[InputRecord], right: Sequence[float | None]) -> tuple[Sample, ...]:
    found = []
    for place, record in enumerate(records):
        counts = record.counts()
        known = right[place] if place < len(right) else None
        tokens = int(counts.prompt_tokens + counts.decoded_tokens)
        asked, computed = int(counts.requests), int(counts.computed_tokens)
        found.append(Sample(record.number, record.seconds, asked, tokens, known, computed))
    return tuple(found)
