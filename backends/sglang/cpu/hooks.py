"""What the CPU engine changes in SGLang, registered at its plugin entry point."""

from __future__ import annotations

from typing import Any

from sglang.srt.arg_groups import choices
from sglang.srt.layers.attention.attention_registry import register_attention_backend

from ttsc.backends.sglang.cpu.arguments import ATTENTION_BACKEND


def register() -> None:
    """Register the attention backend of this engine and what deterministic mode needs on a CPU."""
    choices.add_attention_backend_choices([ATTENTION_BACKEND])
    choices.add_deterministic_attention_backend_choices([ATTENTION_BACKEND])
    choices.add_radix_supported_deterministic_attention_backend_choices([ATTENTION_BACKEND])
    register_attention_backend(ATTENTION_BACKEND)(_make_attention_backend)


def _make_attention_backend(model_runner: Any) -> Any:
    from sglang.srt.layers.attention.torch_native_backend import TorchNativeAttnBackend

    return TorchNativeAttnBackend(model_runner)
