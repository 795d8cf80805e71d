"""Seeded and unseeded sampling on the CPU, in place of SGLang's sampler.

SGLang's own seeded sampler asks for a kernel of its CUDA wheel and takes several passes in double precision over a
softmax of all logits; `sampling.cpp` finds the winner from the logits in one pass. It also removes a dependence on the
neighbours: stock SGLang numbers the vocabulary differently as soon as any request of the batch filters by top-k or
top-p, so a seed alone does not fix a request's tokens there.

Without deterministic mode each row gets a fresh random seed per step: plain sampling, through the same kernel.
"""

from __future__ import annotations

from typing import Any

import torch

from ttsc.backends.sglang.cpu import kernels

_SAMPLER = "sglang.srt.layers.sampler"


def register(registry: Any, kind: Any) -> None:
    """Register the replacements with SGLang's hook registry; `kind` is its HookType."""
    if kernels.library() is None:
        return
    registry.register(f"{_SAMPLER}.Sampler.forward", _forward, kind.AROUND)
    registry.register(f"{_SAMPLER}.sampling_from_probs_torch", _sample, kind.AROUND)
    registry.register(f"{_SAMPLER}.top_k_top_p_min_p_sampling_from_probs_torch", _sample_filtered, kind.AROUND)


def _forward(original: Any, sampler: Any, logits_output: Any, sampling_info: Any, *rest: Any, **options: Any) -> Any:
    """`Sampler.forward(logits_output, sampling_info, return_logprob, top_logprobs, token_ids, positions)` where nothing
    but the tokens is asked for; everything else goes through SGLang's code and the two functions below."""
    logits = logits_output.next_token_logits
    if (
        len(rest) != 4
        or rest[0]
        or any(value is not None for value in options.values())
        or not isinstance(logits, torch.Tensor)
        or logits.dtype != torch.float32
        or logits.stride(1) != 1
        or sampling_info.sampling_mask_batch_indices is not None
        or sampling_info.grammars
        or sampler.rl_on_policy_target is not None
    ):
        return original(sampler, logits_output, sampling_info, *rest, **options)
    logits = sampler._preprocess_logits(logits, sampling_info)
    if sampling_info.is_all_greedy:
        return kernels.argmax(logits)
    filters = None
    if sampling_info.need_top_p_sampling or sampling_info.need_top_k_sampling or sampling_info.need_min_p_sampling:
        filters = _filters(sampling_info.top_ks, sampling_info.top_ps, sampling_info.min_ps)
    temperatures = sampling_info.temperatures.float().contiguous()
    return kernels.sample(logits, temperatures, *_seeds(logits, sampling_info.sampling_seed, rest[3]), filters=filters)


def _sample(original: Any, probs: torch.Tensor, sampling_seed: Any = None, positions: Any = None) -> Any:
    plain = _plain(probs)
    return kernels.sample(plain.log(), _ones(plain), *_seeds(plain, sampling_seed, positions))


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
    if options.get("return_filtered_probs"):
        return original(probs, top_ks, top_ps, min_ps, need_min_p_sampling, sampling_seed, positions, **options)
    plain = _plain(probs)
    seeds = _seeds(plain, sampling_seed, positions)
    return kernels.sample(plain.log(), _ones(plain), *seeds, filters=_filters(top_ks, top_ps, min_ps))


def _filters(
    top_ks: torch.Tensor, top_ps: torch.Tensor, min_ps: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return top_ks.to(torch.int32).contiguous(), top_ps.float().contiguous(), min_ps.float().contiguous()


def _plain(probs: torch.Tensor) -> torch.Tensor:
    """As the kernels take it. Of a vocabulary that SGLang padded it is a slice, whose rows do not follow each other;
    SGLang's own sampling with seeds can't take its place, as it runs on a GPU only.
    """
    return probs.float().contiguous()


def _ones(probs: torch.Tensor) -> torch.Tensor:
    return torch.ones(probs.shape[0])


def _seeds(rows: torch.Tensor, seeds: Any, positions: Any) -> tuple[torch.Tensor, torch.Tensor]:
    count = rows.shape[0]
    if seeds is None:
        return torch.randint(0, 2**62, (count,)), torch.zeros(count, dtype=torch.int64)
    return seeds.to(torch.int64).contiguous(), positions.to(torch.int64).contiguous()
