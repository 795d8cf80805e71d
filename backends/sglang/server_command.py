"""The command line of a server, for the machine at hand.

On a CUDA machine it is the plain stock command with a handful of flags. On a machine without one the same stock SGLang
runs on PyTorch's CPU device through ttsc's platform plugin, whose arguments live in `cpu/arguments.py`.
"""

from __future__ import annotations

import ctypes.util
import glob
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ttsc.backends.protocol import EngineUnavailable
from ttsc.backends.sglang.architecture import folder_architectures, has_reward_head

SGLANG_VERSION = "0.5.23"

# Disjoint chunks: without the first each streamed event repeats all ids so far, and a long answer costs its square to
# send. Without the second a schema allows any amount of white space between its parts, and a model may never stop
# writing it; with it JSON is written on one line, with one space behind each comma and colon.
_COMMON_FLAGS = ("--incremental-streaming-output", "--constrained-json-disable-any-whitespace")
POOLING_FLAG = "--is-embedding"
"""Serves a model's pooled output (rewards, embeddings) instead of letting it generate."""
_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


@dataclass(frozen=True, slots=True)
class ServerCommand:
    """What to execute. `env` is added to the launcher's own environment."""

    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    device: str = "cuda"
    deterministic: bool = False


def require_sglang() -> None:
    """Raise `EngineUnavailable`, with the command that helps, unless SGLang is installed for this interpreter."""
    if importlib.util.find_spec("sglang") is not None:
        return
    raise EngineUnavailable(
        f"SGLang is not installed for {sys.executable}",
        f"in a checkout of ttsc run `{install_command()}`; or attach to a running server with --engine URL",
    )


def install_command() -> str:
    """The command that installs SGLang: the checkout's own script where there is one, else the extra."""
    script = Path(__file__).resolve().parents[2] / "scripts" / "install_engine.py"
    return "python scripts/install_engine.py" if script.is_file() else "pip install 'ttsc[sglang]'"


@cache
def cuda_available() -> bool:
    """Whether an NVIDIA GPU can be used here, found out without importing torch.

    `CUDA_VISIBLE_DEVICES` set to nothing (or to -1) hides every GPU, as it does for CUDA itself.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return False
    return bool(cuda_devices())


def cuda_devices() -> list[str]:
    """One line for each NVIDIA GPU ("NVIDIA H100 80GB HBM3, 81559 MiB"); empty where there is none."""
    tool = shutil.which("nvidia-smi")
    if tool:
        query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
        try:
            listing = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            listing = None
        if listing is not None and listing.returncode == 0:
            return [line.strip() for line in listing.stdout.splitlines() if line.strip()]
    nodes = sorted(glob.glob("/dev/nvidia[0-9]*"))
    if nodes and ctypes.util.find_library("cuda"):
        return [f"NVIDIA GPU at {node}" for node in nodes]
    return []


def cpu_flags() -> frozenset[str]:
    """The instruction sets of this machine's CPU, as Linux names them; empty elsewhere."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("flags", "Features")):
                return frozenset(line.partition(":")[2].split())
    except OSError:
        pass
    return frozenset()


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on now. Another process may still take it before the server does."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cuda_command(model_path: str, port: int, *, deterministic: bool, extra_args: Sequence[str] = ()) -> ServerCommand:
    """The stock launch command for a machine with CUDA."""
    argv = [sys.executable, "-m", "sglang.launch_server", "--model-path", model_path]
    argv += ["--host", "127.0.0.1", "--port", str(port), "--enable-metrics", *_COMMON_FLAGS]
    if deterministic:
        argv.append("--enable-deterministic-inference")
    return ServerCommand((*argv, *extra_args), device="cuda", deterministic=deterministic)


def cpu_command(
    model_path: str,
    port: int,
    *,
    deterministic: bool,
    dtype: str | None = None,
    max_total_tokens: int | None = None,
    extra_args: Sequence[str] = (),
) -> ServerCommand:
    """The launch command for a machine without CUDA: stock SGLang with ttsc's CPU platform plugin.

    Without `dtype`: float32 where seeds must be honoured whatever the batch. Else bfloat16 on a CPU that computes in
    it, about twice as fast there, and many times slower on one that does not.
    """
    from ttsc.backends.sglang.cpu.arguments import SERVE_MODULE, cpu_server_args

    arguments, env = cpu_server_args(
        model_path,
        port,
        deterministic=deterministic,
        dtype=dtype or ("bfloat16" if not deterministic and cpu_flags() & _BFLOAT16_FLAGS else "float32"),
        max_total_tokens=max_total_tokens,
        log_level="info",  # the phases of a start, and what an engine died of, are told at this level
    )
    argv = (sys.executable, "-m", SERVE_MODULE, *arguments, *_COMMON_FLAGS, *extra_args)
    return ServerCommand(argv, env, device="cpu", deterministic=deterministic)


def server_command(
    model_path: str, port: int, *, deterministic: bool | None = None, extra_args: Sequence[str] = ()
) -> ServerCommand:
    """The launch command for the machine at hand. A folder with a reward model is served as one.

    `deterministic=None` takes the device's default: on the CPU, where engines are for trying programs out, seeds are
    honoured; on a GPU, where the mode costs about a third of the throughput, it must be asked for.
    """
    if has_reward_head(folder_architectures(model_path)) and POOLING_FLAG not in extra_args:
        extra_args = (*extra_args, POOLING_FLAG)
    if cuda_available():
        return cuda_command(model_path, port, deterministic=bool(deterministic), extra_args=extra_args)
    return cpu_command(model_path, port, deterministic=deterministic is not False, extra_args=extra_args)
