"""Runs all layers of a plain Llama-shaped model in one call of `step.cpp`, in place of the model's own forward.

With few sequences a step spends more time in Python between the operations than in them. The replacement is limited
to the class it was written against and to layers that the kernels compute completely; any other model, and any batch
that asks for something special, takes SGLang's code with the single kernels.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from sglang.srt.layers.activation import SiluAndMul
from sglang.srt.layers.layernorm import RMSNorm
from sglang.srt.layers.rotary_embedding.base import RotaryEmbedding
from sglang.srt.model_executor.forward_context import get_attn_backend
from sglang.srt.models.llama import LlamaAttention, LlamaDecoderLayer, LlamaMLP, LlamaModel

from ttsc.backends.sglang.cpu import kernels

_FIELDS = ("norm", "qkv", "qkv_bias", "o", "o_bias", "mlp_norm", "gate_up", "down", "keys", "values")


class _Layer(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in _FIELDS]


class _Shape(ctypes.Structure):
    _fields_ = [(n, ctypes.c_int64) for n in ("layers", "hidden", "inner", "q_heads", "kv_heads", "head", "rotary")] + [
        ("eps", ctypes.c_double),
        ("scale", ctypes.c_double),
    ]


def install(model: torch.nn.Module, lib: Any) -> bool:
    """Give `model` the fused forward if it is of the kind; its layers must have been packed. Says whether it did."""
    inner: Any = getattr(model, "model", None)
    if type(inner) is not LlamaModel or not all(_is_plain(layer) for layer in inner.layers):
        return False
    if type(inner.norm) is not RMSNorm or inner.start_layer != 0 or inner.end_layer != len(inner.layers):
        return False
    # nn.Module calls self.forward: an attribute of the instance goes before the class's method.
    inner.forward = _Forward(inner, lib)
    return True


def _is_plain(layer: Any) -> bool:
    if type(layer) is not LlamaDecoderLayer:
        return False
    attention, mlp = layer.self_attn, layer.mlp
    linears = (attention.qkv_proj, attention.o_proj, mlp.gate_up_proj, mlp.down_proj)
    norms = (layer.input_layernorm, layer.post_attention_layernorm)
    rope = attention.rotary_emb
    return (
        type(attention) is LlamaAttention
        and type(mlp) is LlamaMLP
        and all(isinstance(getattr(linear.quant_method, "packed", None), kernels.PackedWeight) for linear in linears)
        and mlp.gate_up_proj.bias is None
        and mlp.down_proj.bias is None
        and all(
            type(norm) is RMSNorm and norm.variance_size_override is None and norm.weight.dtype == torch.float32
            for norm in norms
        )
        and type(rope) is RotaryEmbedding
        and rope.is_neox_style
        and rope.cos_sin_cache.dtype == torch.float32
        and rope.cos_sin_cache.is_contiguous()
        and type(mlp.act_fn) is SiluAndMul
        and mlp.gate_up_proj.quant_method.packed.rows % 16 == 0
    )


class _Forward:
    """`LlamaModel.forward`."""

    def __init__(self, model: Any, lib: Any) -> None:
        self._model = model
        self._original = model.forward
        self._lib = lib
        first = model.layers[0]
        attention = first.self_attn
        self._cos_sin = attention.rotary_emb.cos_sin_cache
        self._shape = _Shape(
            layers=len(model.layers),
            hidden=model.config.hidden_size,
            inner=first.mlp.down_proj.quant_method.packed.depth,
            q_heads=attention.num_heads,
            kv_heads=attention.num_kv_heads,
            head=attention.head_dim,
            rotary=self._cos_sin.shape[1],
            eps=first.input_layernorm.variance_epsilon,
            scale=attention.attn.scaling,
        )
        widths = max((attention.q_size + 2 * attention.kv_size), 2 * self._shape.inner)
        self._row = max(self._shape.hidden, attention.q_size) + widths + self._shape.inner + self._shape.hidden
        self._scratch = torch.empty(0)
        self._layers = (_Layer * len(model.layers))()
        self._pool: Any = None

    def __call__(
        self,
        input_ids: torch.Tensor,
        positions: torch.Tensor,
        forward_batch: Any,
        input_embeds: Any = None,
        pp_proxy_tensors: Any = None,
    ) -> Any:
        backend = get_attn_backend()
        metadata = getattr(backend, "step_metadata", None)
        tokens = len(input_ids)
        if (
            metadata is None
            or tokens == 0
            or input_embeds is not None
            or pp_proxy_tensors is not None
            or self._model.layers_to_capture
            or not self._binds(backend)
        ):
            return self._original(input_ids, positions, forward_batch, input_embeds, pp_proxy_tensors)
        requests, lengths = metadata()
        slots = forward_batch.out_cache_loc
        if not (tokens == len(lengths) == len(slots) and positions.dim() == 1):
            return self._original(input_ids, positions, forward_batch, input_embeds, pp_proxy_tensors)
        x = torch.nn.functional.embedding(input_ids, self._model.embed_tokens.weight)
        if self._scratch.numel() < self._row * tokens:
            self._scratch = torch.empty(self._row * tokens)
        out = torch.empty_like(x)
        table = backend.req_to_token_pool.req_to_token
        positions = positions.to(torch.int64).contiguous()
        slots = slots.to(torch.int64).contiguous()
        at = kernels.address
        self._lib.ttsc_step(
            ctypes.byref(self._shape), self._layers, at(self._model.norm.weight), at(self._cos_sin), at(positions),
            at(slots), at(table), ctypes.c_int64(table.stride(0)), at(requests), at(lengths), ctypes.c_int64(tokens),
            at(x), at(self._scratch), at(out),
        )  # fmt: skip
        return out

    def _binds(self, backend: Any) -> bool:
        """Look the cache's buffers up once; False if they are not what the kernels read."""
        pool = backend.token_to_kv_pool
        if pool is self._pool:
            return True
        probe = torch.empty(0)
        for index, layer in enumerate(self._model.layers):
            attention = layer.self_attn
            if not backend.fits(probe, attention.attn) or attention.attn.scaling != self._shape.scale:
                return False
            self._layers[index] = _Layer(
                norm=layer.input_layernorm.weight.data_ptr(),
                qkv=attention.qkv_proj.quant_method.packed.data_ptr(),
                qkv_bias=_bias(attention.qkv_proj),
                o=attention.o_proj.quant_method.packed.data_ptr(),
                o_bias=_bias(attention.o_proj),
                mlp_norm=layer.post_attention_layernorm.weight.data_ptr(),
                gate_up=layer.mlp.gate_up_proj.quant_method.packed.data_ptr(),
                down=layer.mlp.down_proj.quant_method.packed.data_ptr(),
                keys=pool.get_key_buffer(attention.attn.layer_id).data_ptr(),
                values=pool.get_value_buffer(attention.attn.layer_id).data_ptr(),
            )
        self._pool = pool
        return True


def _bias(linear: Any) -> int | None:
    bias = linear.bias
    return None if bias is None else int(bias.data_ptr())
