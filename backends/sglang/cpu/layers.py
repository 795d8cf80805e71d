"""Puts the kernels in place of PyTorch's operations in a loaded model.

Linear layers and the output projection get their weights packed once; norms, rotary embeddings and gated activations
get their forward method replaced, each only where it is the plain float32 kind that the kernel computes. Whatever is
left keeps its own code.
"""

from __future__ import annotations

from typing import Any

import torch
from sglang.srt.layers.activation import SiluAndMul
from sglang.srt.layers.layernorm import RMSNorm
from sglang.srt.layers.quantization.unquant import UnquantizedEmbeddingMethod, UnquantizedLinearMethod
from sglang.srt.layers.rotary_embedding.base import RotaryEmbedding

from ttsc.backends.sglang.cpu import kernels, step


class PackedLinearMethod(UnquantizedLinearMethod):
    """A linear layer's `quant_method` that multiplies with the packed weight."""

    def __init__(self, packed: kernels.PackedWeight) -> None:
        super().__init__()
        self.packed = packed

    def apply(self, layer: Any, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        return self.packed.apply(x, bias)


class PackedEmbeddingMethod(UnquantizedEmbeddingMethod):
    """The `quant_method` of an output projection: logits from the packed weight, embeddings as before.

    SGLang multiplies with the bare weight where it knows the method's class as an unquantised one, and calls `apply`
    otherwise.
    """

    def __init__(self, packed: kernels.PackedWeight) -> None:
        super().__init__()
        self._packed = packed

    def apply(self, layer: Any, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        return self._packed.apply(x, bias)


def install(model: torch.nn.Module) -> None:
    """Replace what can be replaced in `model`, in place."""
    lib = kernels.library()
    if lib is None:
        return
    kernels.start_threads(lib)
    # What is left to PyTorch is small. Its OpenMP threads would only compete with the kernels' own (see pool.cpp).
    torch.set_num_threads(1)
    output_projection: Any = getattr(model, "lm_head", None)
    module: Any
    for module in model.modules():
        method = getattr(module, "quant_method", None)
        weight = getattr(module, "weight", None)
        if not isinstance(weight, torch.Tensor) or weight.dtype != torch.float32:
            if type(module) is SiluAndMul:
                _replace_forward(module, kernels.silu_mul)
            elif (
                type(module) is RotaryEmbedding and module.is_neox_style and module.cos_sin_cache.dtype == torch.float32
            ):
                _replace_forward(module, _Rope(module))
        elif type(method) is UnquantizedLinearMethod and weight.dim() == 2:
            module.quant_method = PackedLinearMethod(kernels.PackedWeight(weight, lib))
        elif type(method) is UnquantizedEmbeddingMethod and module is output_projection:
            module.quant_method = PackedEmbeddingMethod(kernels.PackedWeight(weight, lib))
        elif type(module) is RMSNorm and module.variance_size_override is None:
            _replace_forward(module, _Norm(module))
    step.install(model, lib)


class _Norm:
    """RMSNorm.forward for float32."""

    def __init__(self, module: Any) -> None:
        self._weight = module.weight.data
        self._eps = float(module.variance_epsilon)
        self._original = module._resolve_forward_method()

    def __call__(self, x: torch.Tensor, residual: torch.Tensor | None = None, *rest: Any, **options: Any) -> Any:
        plain = x.dtype == torch.float32 and x.is_contiguous() and (residual is None or residual.is_contiguous())
        if not plain or any(item is not None for item in (*rest, *options.values())):
            return self._original(x, residual, *rest, **options)
        out = kernels.rms_norm(x, residual, self._weight, self._eps)
        return out if residual is None else (out, residual)


class _Rope:
    """RotaryEmbedding.forward for float32, in place: queries and keys are parts of a buffer nobody else reads."""

    def __init__(self, module: Any) -> None:
        self._cache = module.cos_sin_cache.contiguous()
        self._head = module.head_size
        self._original = module._resolve_forward_method()

    def __call__(
        self, positions: torch.Tensor, query: torch.Tensor, key: torch.Tensor, *rest: Any, **options: Any
    ) -> Any:
        plain = query.dtype == key.dtype == torch.float32 and query.dim() == key.dim() == 2 and positions.dim() == 1
        if (
            not plain
            or query.stride(1) != 1
            or key.stride(1) != 1
            or any(item is not None for item in (*rest, *options.values()))
        ):
            return self._original(positions, query, key, *rest, **options)
        positions = positions.to(torch.int64)
        kernels.rope(query, positions, self._cache, self._head)
        kernels.rope(key, positions, self._cache, self._head)
        return query, key


def _replace_forward(module: Any, forward: Any) -> None:
    """Fused operations of SGLang dispatch through `_forward_method`; calling it directly also skips the dispatch."""
    module._forward_method = forward
