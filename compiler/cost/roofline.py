"""How long a forward pass takes, from a model's shape and its hardware alone: a roofline for each class of operators.

Linear layers, attention of decoding, attention of prefill and exchange between devices each take the longer of what
computing and what moving data takes; the classes add up, with a fixed part per pass. The peaks are reached only in
part (`Hardware.compute_share` and the like): `ttsc engine profile` fits an engine at hand instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ttsc.compiler.cost.hardware import Hardware
from ttsc.compiler.cost.shape import Format, ModelShape
from ttsc.compiler.cost.steps import Chunk, DecodeStep

SharedReads = Literal["stock", "cascade"]
"""How decoding reads a prefix that sequences share: "stock" SGLang once for each sequence, a "cascade" kernel once."""


@dataclass(frozen=True, slots=True)
class Roofline:
    """Seconds of forward passes of `shape` on `hardware`: a `StepModel`.

    A `context` is the number of tokens whose KV is read: with "stock" the sum of the sequences' lengths, with "cascade"
    that of distinct tokens.
    """

    shape: ModelShape
    hardware: Hardware
    shared_reads: SharedReads = "stock"

    @property
    def tensor_parallel(self) -> int:
        return self.hardware.devices

    @property
    def kv_devices(self) -> int:
        """t': devices that share the KV heads; beyond their number the heads are replicated."""
        return min(self.tensor_parallel, self.shape.kv_heads)

    def decode(self, rows: int) -> DecodeStep:
        """One token for each of `rows` sequences."""
        fixed = self.linear_s(rows, rows) + self.exchange_s(rows) + self.overhead_s
        return DecodeStep(fixed, self.decode_attention_s(1))

    def prefill(self, chunks: Sequence[Chunk]) -> float:
        """One prefill batch; the LM head sees the last token of each chunk."""
        tokens = sum(chunk.new for chunk in chunks)
        attention = sum(self.prefill_attention_s(chunk) for chunk in chunks)
        return self.linear_s(tokens, len(chunks)) + attention + self.exchange_s(tokens) + self.overhead_s

    def linear_s(self, tokens: float, heads: float) -> float:
        """Linear layers over `tokens` and the LM head over `heads` of them, in seconds."""
        return max(self.linear_compute_s(tokens, heads), self.weights_s(tokens))

    def linear_compute_s(self, tokens: float, heads: float) -> float:
        flops = 2 * (tokens * self.shape.layer_parameters + heads * self.shape.head_parameters)
        return flops / (self.tensor_parallel * self._peak * self.hardware.compute_share)

    def weights_s(self, tokens: float) -> float:
        """Reading the weights once, of experts those that so many tokens use."""
        return self.shape.weight_bytes_read(tokens) / (self.tensor_parallel * self._bandwidth)

    def decode_attention_s(self, context: float) -> float:
        """Attention of one decode step, in seconds. Grows in proportion to the context."""
        return max(self.decode_attention_compute_s(context), self.kv_s(context))

    def decode_attention_compute_s(self, context: float) -> float:
        shape = self.shape
        flops = 4 * shape.query_heads * shape.head_dim * shape.layers * context
        return flops / (self.tensor_parallel * self._attention_peak)

    def kv_s(self, context: float) -> float:
        """Reading the KV of so many tokens."""
        return self.shape.kv_bytes_per_token * context / (self.kv_devices * self._bandwidth)

    def prefill_attention_s(self, chunk: Chunk) -> float:
        """Attention of one chunk: causal compute, or queries, outputs and KV moved once."""
        shape, whole = self.shape, chunk.new + chunk.past
        width = shape.query_heads * shape.head_dim * shape.layers
        compute = 2 * width * (whole**2 - chunk.past**2) / (self.tensor_parallel * self._attention_peak)
        moved = 4 * chunk.new * width / self.tensor_parallel + shape.kv_bytes_per_token * whole / self.kv_devices
        return max(compute, moved / self._bandwidth)

    def exchange_s(self, tokens: float) -> float:
        """Two all-reduces per layer, of 16-bit activations."""
        devices = self.tensor_parallel
        if devices == 1:
            return 0.0
        moved = 2 * (devices - 1) / devices * tokens * self.shape.hidden * 2
        each = self.hardware.all_reduce_s + (moved / self.hardware.link_bandwidth)
        return 2 * self.shape.layers * each

    @property
    def overhead_s(self) -> float:
        """Of any forward pass: c0 + c1 * layers."""
        return self.hardware.step_s + self.hardware.layer_s * self.shape.layers

    @property
    def _peak(self) -> float:
        return self.hardware.peak(self.shape.compute)

    @property
    def _attention_peak(self) -> float:
        """Attention is computed in the format of the activations, whatever the weights are kept in."""
        compute: Format = "fp32" if self.shape.compute == "fp32" else "bf16"
        return self.hardware.peak(compute) * self.hardware.attention_share

    @property
    def _bandwidth(self) -> float:
        return self.hardware.bandwidth * self.hardware.bandwidth_share
