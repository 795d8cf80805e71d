"""What counts take on a machine, compute and memory access apart, and which of them binds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ttsc.estimates.figures import Work

if TYPE_CHECKING:
    from ttsc.compiler.cost.counts import Counts
    from ttsc.compiler.cost.steps import Machine
    from ttsc.estimates.assembling import WorkOf


def role_work(machines: Mapping[str, Machine]) -> WorkOf:
    """The work of a model role's requests on its machine; nothing is known of a role without one."""

    def work(role: str, counts: Counts, at_once: float) -> Work:
        machine = machines.get(role)
        return Work() if machine is None else work_of(machine, counts, at_once)

    return work


def work_of(machine: Machine, counts: Counts, at_once: float) -> Work:
    """`at_once`: sequences in flight on average. The weights are read once for each decode step of so many sequences
    and once for each prefill batch of so many prompts.
    """
    from ttsc.compiler.cost.roofline import Roofline

    overheads = machine.overheads
    overhead_s = counts.requests * (overheads.request_s + overheads.answer_s)
    steps = machine.steps
    if not isinstance(steps, Roofline) or not counts.requests:
        return Work(overhead_s=overhead_s)
    rows = max(1.0, min(at_once, machine.limits.running))
    decoded = max(0.0, counts.decoded_tokens - counts.requests)
    passes = decoded / rows + counts.requests / rows
    shape = steps.shape
    prompt_rows = counts.computed_tokens / passes if passes else 0.0
    linear = 2.0 * (
        (decoded + counts.computed_tokens) * shape.layer_parameters + counts.decoded_tokens * shape.head_parameters
    )
    width = shape.query_heads * shape.head_dim * shape.layers
    attention = 4.0 * width * (counts.decode_reads + counts.prefill_pairs)
    weights = decoded / rows * shape.weight_bytes_read(rows)
    weights += counts.requests / rows * shape.weight_bytes_read(max(1.0, prompt_rows))
    kv = shape.kv_bytes_per_token * (counts.decode_reads + counts.prompt_tokens)
    compute_s = steps.linear_compute_s(decoded + counts.computed_tokens, counts.decoded_tokens)
    compute_s += steps.decode_attention_compute_s(counts.decode_reads + counts.prefill_pairs)
    memory_s = steps.kv_s(counts.decode_reads + counts.prompt_tokens)
    memory_s += decoded / rows * steps.weights_s(rows) + counts.requests / rows * steps.weights_s(max(1.0, prompt_rows))
    overhead_s += passes * steps.overhead_s
    return Work(
        linear,
        attention,
        weights,
        kv,
        None,
        None,
        compute_s,
        memory_s,
        overhead_s,
        binding(compute_s, memory_s, overhead_s),
    )


def binding(compute_s: float, memory_s: float, overhead_s: float) -> str:
    """Which takes longest."""
    names = (("memory", memory_s), ("compute", compute_s), ("overhead", overhead_s))
    return max(names, key=lambda each: each[1])[0]


def total_work(parts: Sequence[Work]) -> Work:
    """The sum; what nobody knows of any part stays unknown."""

    def total(name: str) -> float | None:
        known = [value for value in (getattr(part, name) for part in parts) if value is not None]
        return math.fsum(known) if known else None

    names = (
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
    found = {name: total(name) for name in names}
    compute, memory, overhead = found["compute_s"], found["memory_s"], found["overhead_s"]
    binds = binding(compute, memory, overhead or 0.0) if compute is not None and memory is not None else ""
    return Work(**found, binds=binds)
