"""What counts take on a machine: FLOPs and bytes, apart; seconds of computing and of memory access, and which binds."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ttsc.compiler.cost.counts import Counts
from ttsc.compiler.cost.roofline import Roofline


@dataclass(frozen=True, slots=True)
class Work:
    """FLOPs and bytes, seconds.

    flops_linear, flops_attention: of matrix products with weights, and of attention. bytes_weights, bytes_kv: read.
    eflops: FLOPs and bytes times the machine's intensity, added up. compute_s, memory_s: what each would take alone;
    overhead_s: the fixed part of forward passes, and exchange between devices.
    """

    flops_linear: float = 0.0
    flops_attention: float = 0.0
    bytes_weights: float = 0.0
    bytes_kv: float = 0.0
    eflops: float = 0.0
    compute_s: float = 0.0
    memory_s: float = 0.0
    overhead_s: float = 0.0

    @property
    def flops(self) -> float:
        return self.flops_linear + self.flops_attention

    @property
    def bytes(self) -> float:
        return self.bytes_weights + self.bytes_kv

    @property
    def binds(self) -> str:
        """What takes longest: "compute", "memory" or "overhead"; "" of no work."""
        parts = {"memory": self.memory_s, "compute": self.compute_s, "overhead": self.overhead_s}
        return max(parts, key=lambda name: parts[name]) if any(parts.values()) else ""

    def __add__(self, other: Work) -> Work:
        return Work(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


def work_of(counts: Counts, on: Roofline, rows: float = 1.0, shared_reads: float = 0.0) -> Work:
    """What `counts` take where `rows` sequences share a decode step, and as many prompts a prefill batch, on average.

    The weights are read once for each of those. A token decoded first comes with its prompt; the others take a step
    each. `shared_reads`: the part of `counts.decode_reads` whose KV another sequence reads in the same step: a cascade
    kernel reads it once (`Roofline.shared_reads`), stock engines do not.
    """
    shape, rows = on.shape, max(1.0, rows)
    steps = max(0.0, counts.decoded_tokens - counts.requests) / rows
    prefills = counts.requests / rows
    through = steps * rows + counts.computed_tokens
    heads = counts.decoded_tokens + counts.scored_tokens
    linear = 2 * (through * shape.layer_parameters + heads * shape.head_parameters)
    pairs = counts.decode_reads + counts.prefill_pairs
    attention = 4 * shape.query_heads * shape.head_dim * shape.layers * pairs
    per_batch = counts.computed_tokens / prefills if prefills else 0.0
    weights = steps * shape.weight_bytes_read(rows) + prefills * shape.weight_bytes_read(max(1.0, per_batch))
    reads = counts.decode_reads + counts.prompt_tokens
    if on.shared_reads == "cascade":
        reads -= min(shared_reads, counts.decode_reads)
    kv = shape.kv_bytes_per_token * reads
    passes = steps + prefills
    exchange = on.exchange_s(through / passes) if passes else 0.0
    return Work(
        flops_linear=linear,
        flops_attention=attention,
        bytes_weights=weights,
        bytes_kv=kv,
        eflops=linear + attention + on.hardware.intensity(shape.compute) * (weights + kv),
        compute_s=on.linear_compute_s(through, heads) + on.decode_attention_compute_s(pairs),
        memory_s=steps * on.weights_s(rows) + prefills * on.weights_s(max(1.0, per_batch)) + on.kv_s(reads),
        overhead_s=passes * (on.overhead_s + exchange),
    )
