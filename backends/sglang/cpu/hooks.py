"""What the CPU engine changes in SGLang, registered at its plugin entry point."""

from __future__ import annotations

import gc
import multiprocessing
from typing import Any

from sglang.srt.arg_groups import choices
from sglang.srt.layers.attention.attention_registry import register_attention_backend
from sglang.srt.plugins.hook_registry import HookRegistry, HookType

from ttsc.backends.sglang.cpu import sampler
from ttsc.backends.sglang.cpu.arguments import ATTENTION_BACKEND


def register() -> None:
    """Register the attention backend, the sampler, and what deterministic mode needs on a CPU."""
    choices.add_attention_backend_choices([ATTENTION_BACKEND])
    choices.add_deterministic_attention_backend_choices([ATTENTION_BACKEND])
    choices.add_radix_supported_deterministic_attention_backend_choices([ATTENTION_BACKEND])
    register_attention_backend(ATTENTION_BACKEND)(_make_attention_backend)
    sampler.register(HookRegistry, HookType)
    invariant_mode = "sglang.srt.model_executor.model_runner.ModelRunner.maybe_enable_batch_invariant_mode"
    HookRegistry.register(invariant_mode, _keep_batch_invariant, HookType.REPLACE)
    HookRegistry.register("sglang.srt.entrypoints.engine._set_envs_and_config", _fork_workers, HookType.AFTER)


def _fork_workers(result: Any, *args: Any, **kwargs: Any) -> Any:
    """Let the scheduler and the detokenizer be forks of the server instead of fresh interpreters.

    SGLang spawns them because a process that has used CUDA must not fork; each then imports torch and SGLang again,
    most of the time to the first answer. Here the server has started no thread, event loop or socket yet when it forks.
    """
    gc.collect()
    gc.freeze()  # a collection in a child would write to, and so copy, every page of the shared objects
    multiprocessing.set_start_method("fork", force=True)
    return result


def _make_attention_backend(model_runner: Any) -> Any:
    from ttsc.backends.sglang.cpu import kernels

    if kernels.library() is None:
        from sglang.srt.layers.attention.torch_native_backend import TorchNativeAttnBackend

        return TorchNativeAttnBackend(model_runner)
    from ttsc.backends.sglang.cpu.attention import CpuAttentionBackend

    return CpuAttentionBackend(model_runner)


def _keep_batch_invariant(model_runner: Any) -> None:
    """SGLang's batch-invariant mode swaps in Triton kernels; ours are invariant as they are (`kernels.cpp`)."""
    from sglang.srt.runtime_context import get_exec

    from ttsc.backends.sglang.cpu import kernels

    wanted = get_exec().deterministic.enable_deterministic_inference
    if wanted and (kernels.library() is None or str(model_runner.dtype) != "torch.float32"):
        raise RuntimeError(
            "deterministic inference on the CPU needs float32 and the compiled kernels "
            "(a C++ compiler and a processor with AVX2)"
        )
