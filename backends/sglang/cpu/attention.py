"""The attention backend of the CPU engine, over the kernels of `kernels.cpp`.

SGLang's `torch_native` backend loops over the sequences of a batch, copies each one's keys and values together, and
in an extend computes queries for the cached prefix as well, only to drop them. Here a step is one call: keys and
values are read where they lie, only new tokens are computed, and a prefix shared by several sequences is one set of
cache slots, read close together in time.

What the kernel does not do (sliding windows, encoder and cross attention, logit caps, quantised caches, other types
than float32) goes to `torch_native`, layer by layer.
"""

from __future__ import annotations

from typing import Any

import torch
from sglang.srt.layers.attention.torch_native_backend import TorchNativeAttnBackend
from sglang.srt.layers.radix_attention import AttentionType

from ttsc.backends.sglang.cpu import kernels

_HEAD_SIZES = (32, 64, 80, 96, 128, 256)


class CpuAttentionBackend(TorchNativeAttnBackend):
    """Attention for decode and extend in one kernel, batch-invariant."""

    def __init__(self, model_runner: Any) -> None:
        super().__init__(model_runner)
        self._requests = torch.empty(0, dtype=torch.int64)
        self._lengths = torch.empty(0, dtype=torch.int64)

    def init_forward_metadata(self, forward_batch: Any) -> None:
        """For each query token its request and the number of positions it sees, once for all layers."""
        super().init_forward_metadata(forward_batch)
        requests = forward_batch.req_pool_indices.to(torch.int64)
        if forward_batch.forward_mode.is_decode_or_idle():
            self._requests = requests.contiguous()
            self._lengths = forward_batch.seq_lens.to(torch.int64).contiguous()
        else:
            new = forward_batch.extend_seq_lens.to(torch.int64)
            self._requests = torch.repeat_interleave(requests, new)
            starts = torch.repeat_interleave(torch.cumsum(new, 0) - new, new)
            prefix = torch.repeat_interleave(forward_batch.extend_prefix_lens.to(torch.int64), new)
            self._lengths = prefix + torch.arange(len(starts)) - starts + 1

    def step_metadata(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Request and visible length of each token of the current batch, for `step.py`."""
        return self._requests, self._lengths

    def forward_extend(self, q: Any, k: Any, v: Any, layer: Any, forward_batch: Any, save_kv_cache: bool = True) -> Any:
        """Attention of new prompt tokens over the cached prefix and themselves."""
        if self.fits(q, layer):
            return self._run(q, k, v, layer, forward_batch, save_kv_cache)
        return super().forward_extend(q, k, v, layer, forward_batch, save_kv_cache)

    def forward_decode(self, q: Any, k: Any, v: Any, layer: Any, forward_batch: Any, save_kv_cache: bool = True) -> Any:
        """Attention of one new token per sequence."""
        if self.fits(q, layer):
            return self._run(q, k, v, layer, forward_batch, save_kv_cache)
        return super().forward_decode(q, k, v, layer, forward_batch, save_kv_cache)

    def fits(self, q: torch.Tensor, layer: Any) -> bool:
        """Whether the kernel computes what this layer asks for."""
        keys = self.token_to_kv_pool.get_key_buffer(layer.layer_id)
        window = layer.sliding_window_size
        return bool(
            q.dtype == keys.dtype == torch.float32
            and layer.qk_head_dim == layer.v_head_dim
            and layer.qk_head_dim in _HEAD_SIZES
            and layer.tp_q_head_num <= 64 * layer.tp_k_head_num
            and layer.attn_type == AttentionType.DECODER
            and not layer.is_cross_attention
            and (window is None or window <= -1)
            and not layer.logit_cap
            and not self.use_sliding_window_kv_pool
            and keys.is_contiguous()
        )

    def _run(self, q: Any, k: Any, v: Any, layer: Any, forward_batch: Any, save_kv_cache: bool) -> torch.Tensor:
        keys = self.token_to_kv_pool.get_key_buffer(layer.layer_id)
        values = self.token_to_kv_pool.get_value_buffer(layer.layer_id)
        if save_kv_cache and k is not None:
            tokens = q.shape[0]
            kernels.store(_rows(k, tokens), _rows(v, tokens), forward_batch.out_cache_loc, keys, values)
        q = _rows(q, q.shape[0])
        q = q.as_strided((q.shape[0], layer.tp_q_head_num, layer.qk_head_dim), (q.stride(0), layer.qk_head_dim, 1))
        table = self.req_to_token_pool.req_to_token
        return kernels.attention(q, keys, values, table, self._requests, self._lengths, float(layer.scaling))


def _rows(x: torch.Tensor, tokens: int) -> torch.Tensor:
    """x as [tokens, width] with dense rows, copied only if need be."""
    flat = x if x.dim() == 2 else x.reshape(tokens, -1)
    return flat if flat.stride(1) == 1 else flat.contiguous()
