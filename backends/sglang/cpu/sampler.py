"""Seeded and unseeded sampling on the CPU, in place of two functions of SGLang's sampler.

SGLang's own seeded sampler asks for a kernel of its CUDA wheel and takes several passes in double precision;
`sampling.cpp` finds the same token sooner. It also removes a dependence on the neighbours: stock SGLang numbers the
vocabulary differently as soon as any request of the batch filters by top-k or top-p, so a seed alone does not fix a
request's tokens there.

Without deterministic mode each row gets a fresh random seed per step: plain sampling, through the same kernel.
"""

from __future__ import annotations

from typing import Any

import torch

from ttsc.backends.sglang.cpu import kernels

_SAMPLER = "sglang.srt.layers.sampler"


def register(registry: Any, kind: Any) -> None:
    """Register both replacements with SGLang's hook registry; `kind` is its HookType."""
    if kernels.library() is None:
        return
    registry.register(f"{_SAMPLER}.sampling_from_probs_torch", _sample, kind.AROUND)
    registry.register(f"{_SAMPLER}.top_k_top_p_min_p_sampling_from_probs_torch", _sample_filtered, kind.AROUND)


def _sample(original: Any, probs: torch.Tensor, sampling_seed: Any = None, positions: Any = None) -> torch.Tensor:
    if not _is_plain(probs):
        return _as_tensor(original(probs, sampling_seed=sampling_seed, positions=positions))
    return kernels.sample(probs, *_seeds(probs, sampling_seed, positions))


def _sample_filtered(
    original: Any,
    probs: torch.Tensor,
    top_ks: torch.Tensor,
    top_ps: torch.Tensor,
    min_ps: torch.Tensor,
    need_min_p_sampling: bool,
    sampling_seed: Any,
    positions: Any,
    **options: Any,
) -> Any:
    if not _is_plain(probs) or options.get("return_filtered_probs"):
        return original(probs, top_ks, top_ps, min_ps, need_min_p_sampling, sampling_seed, positions, **options)
    limits = (top_ks.to(torch.int32).contiguous(), top_ps.float().contiguous(), min_ps.float().contiguous())
    return kernels.sample(probs, *_seeds(probs, sampling_seed, positions), filters=limits)


def _is_plain(probs: torch.Tensor) -> bool:
    return bool(probs.dtype == torch.float32 and probs.is_contiguous())


def _seeds(probs: torch.Tensor, seeds: Any, positions: Any) -> tuple[torch.Tensor, torch.Tensor]:
    rows = probs.shape[0]
    if seeds is None:
        return torch.randint(0, 2**62, (rows,)), torch.zeros(rows, dtype=torch.int64)
    return seeds.to(torch.int64).contiguous(), positions.to(torch.int64).contiguous()


def _as_tensor(value: Any) -> torch.Tensor:
    assert isinstance(value, torch.Tensor)
    return value
