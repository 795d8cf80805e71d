"""The platform class: PyTorch's CPU device, presented to SGLang through its out-of-tree platform interface."""

from __future__ import annotations

from typing import Any

import torch
from sglang.srt.platforms.cpu import CpuDeviceMixin
from sglang.srt.platforms.device_mixin import PlatformEnum
from sglang.srt.platforms.interface import PlatformCapabilities, SRTPlatform


class TtscCpuPlatform(CpuDeviceMixin, SRTPlatform):
    """The CPU as an out-of-tree platform.

    In-tree, SGLang's CPU device stands for Xeons with AMX and asks for kernels that exist only there; out of tree it
    takes the plain PyTorch path of every layer, which runs on any processor.
    """

    _enum = PlatformEnum.OOT
    device_name = "cpu"
    device_type = "cpu"
    capabilities = PlatformCapabilities()

    def get_default_attention_backend(self) -> str:
        return "torch_native"

    def get_dispatch_key_name(self) -> str:
        return "native"

    def get_compile_backend(self, mode: str | None = None) -> str:
        """No graph compiler: start-up would pay for it and the hot operations are our own kernels."""
        return "eager"

    def get_kv_pool_cls(self, *, kind: str) -> type | None:
        """A cache that costs nothing before it is used, for ordinary attention."""
        if kind != "mha":
            return None
        from ttsc.backends.sglang.cpu.memory import LazyKVPool

        return LazyKVPool

    def post_load_model(self, model: torch.nn.Module) -> None:
        """Hand the model's hot operations to our kernels."""
        from ttsc.backends.sglang.cpu import layers

        layers.install(model)

    def get_torch_profiler_activity(self) -> Any:
        return torch.profiler.ProfilerActivity.CPU

    def get_torch_profiler_activity_str(self) -> str:
        return "CPU"
