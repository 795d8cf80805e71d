"""What a simulated server has done: counted by itself, so that it can be held against what programs were told."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(slots=True)
class Served:
    """Sums over requests and steps of one server. Seconds are those of forward passes.

    prompt_tokens, cached_tokens: of prompts that were taken up (once, also if taken back later). computed_tokens: in
    prefill batches, those of sequences that were taken back included: recomputed_tokens of them. decoded_tokens: also
    of aborted requests. decode_steps, prefill_batches: forward passes; rows: the sum of sequences over decode steps,
    context: of their lengths. peak_kv: the most tokens of KV memory that requests held at once; peak_rows: sequences.
    """

    requests: int = 0
    ended: int = 0
    aborted: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    computed_tokens: int = 0
    recomputed_tokens: int = 0
    decoded_tokens: int = 0
    retractions: int = 0
    evicted_tokens: int = 0
    decode_steps: int = 0
    prefill_batches: int = 0
    rows: int = 0
    context: int = 0
    decode_s: float = 0.0
    prefill_s: float = 0.0
    peak_kv: int = 0
    peak_rows: int = 0

    def __add__(self, other: Served) -> Served:
        """Of two servers: sums, and the greater of the peaks."""
        peaks = ("peak_kv", "peak_rows")
        mine, theirs = ([getattr(each, field.name) for field in fields(Served)] for each in (self, other))
        names = [field.name for field in fields(Served)]
        pairs = zip(names, mine, theirs, strict=True)
        return Served(*(max(a, b) if name in peaks else a + b for name, a, b in pairs))
