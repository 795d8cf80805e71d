"""What counts take on a machine, compute and memory access apart, which of them binds, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ttsc.compiler.cost.counts import Counts
from ttsc.compiler.cost.roofline import Roofline
from ttsc.estimates.figures import Work

if TYPE_CHECKING:
    from ttsc.compiler.cost.prices import Rates
    from ttsc.compiler.cost.steps import Machine
    from ttsc.machines import Costs

WorkOf = Callable[[str, Counts, float], Work]
"""(model role, counts, sequences at once) -> what they take on the role's machine."""


def role_work(machines: Mapping[str, Machine], costs: Mapping[str, Costs] | None = None) -> WorkOf:
    """The work of a role's requests; nothing is known of a role without a machine."""
    from ttsc.compiler.cost.prices import price_of

    known = {role: (costs or {}).get(role) or costs_of(machine) for role, machine in machines.items()}
    rates = {role: price_of(each.machine, each.shape, each.hardware).rates.get("cost") for role, each in known.items()}

    def work(role: str, counts: Counts, at_once: float) -> Work:
        each = known.get(role)
        return Work() if each is None else work_of(each, counts, at_once, rates[role])

    return work


def costs_of(machine: Machine) -> Costs:
    """What a machine itself says of its model and its hardware."""
    from ttsc.machines import Costs

    steps = machine.steps
    if isinstance(steps, Roofline):
        return Costs(machine, steps.shape, steps.hardware)
    return Costs(machine, None, None)


def work_of(costs: Costs, counts: Counts, at_once: float, rates: Rates | None) -> Work:
    """`at_once`: sequences in flight on average, which share the reading of weights. FLOPs need the model's shape,
    seconds of computing and of memory access the hardware's, too.
    """
    from ttsc.compiler.cost.prices import flop_rates
    from ttsc.compiler.cost.work import work_of as roofline_work

    machine = costs.machine
    overheads = machine.overheads
    serial = counts.requests * (overheads.request_s + overheads.answer_s) if counts.requests else 0.0
    dollars = None if rates is None else _dollars(rates, counts)
    if costs.shape is None:
        return Work(dollars=dollars, overhead_s=serial)
    if costs.hardware is None:
        flops = flop_rates(costs.shape)
        pairs = flops.prefill_pair * counts.prefill_pairs + flops.decode_read * counts.decode_reads
        through = counts.computed_tokens + max(0.0, counts.decoded_tokens - counts.requests)
        heads = counts.decoded_tokens + counts.scored_tokens
        return Work(flops.computed * through + flops.scored * heads, pairs, dollars=dollars, overhead_s=serial)
    on = machine.steps if isinstance(machine.steps, Roofline) else Roofline(costs.shape, costs.hardware)
    rows = max(1.0, min(at_once, machine.limits.running))
    found = roofline_work(counts, on, rows)
    overhead_s = found.overhead_s + serial
    return Work(
        found.flops_linear,
        found.flops_attention,
        found.bytes_weights,
        found.bytes_kv,
        found.eflops,
        dollars,
        found.compute_s,
        found.memory_s,
        overhead_s,
        binding(found.compute_s, found.memory_s, overhead_s),
    )


def _dollars(rates: Rates, counts: Counts) -> float:
    """As budgets count them (`Rates.of`), which charges each decoded token with all that is before it."""
    reads = counts.decode_reads + counts.decoded_tokens + (counts.prompt_tokens if counts.decoded_tokens else 0.0)
    return (
        rates.computed * counts.computed_tokens
        + rates.cached * counts.cached_tokens
        + rates.decoded * counts.decoded_tokens
        + rates.scored * counts.scored_tokens
        + rates.prefill_pair * counts.prefill_pairs
        + rates.decode_read * reads
    )


def binding(compute_s: float, memory_s: float, overhead_s: float) -> str:
    """Which takes longest; "" if there is nothing to do."""
    parts = {"memory": memory_s, "compute": compute_s, "overhead": overhead_s}
    return max(parts, key=lambda name: parts[name]) if any(parts.values()) else ""


_SUMMED = (
    "flops_linear",
    "flops_attention",
    "bytes_weights",
    "bytes_kv",
    "eflops",
    "dollars",
    "compute_s",
    "memory_s",
    "overhead_s",
)


def total_work(parts: Sequence[Work]) -> Work:
    """The sum. What is unknown of one part is unknown of all, unless that part has no work."""
    asked = [part for part in parts if part != Work()]

    def total(name: str) -> float | None:
        values = [getattr(part, name) for part in asked]
        return None if not values or None in values else math.fsum(values)

    found = {name: total(name) for name in _SUMMED}
    compute, memory, overhead = found["compute_s"], found["memory_s"], found["overhead_s"]
    binds = binding(compute, memory, overhead or 0.0) if compute is not None and memory is not None else ""
    return Work(**found, binds=binds)
