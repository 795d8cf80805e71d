"""Builds the C++ kernels once per machine, keeps them in the cache folder, and wraps them as functions on tensors.

`kernels.cpp` says what they compute and why they exist. They need a C++ compiler and AVX2; `library()` is None where
either is missing, and the engine then runs on PyTorch's own operations.
"""

from __future__ import annotations

import ctypes
import fcntl
import functools
import hashlib
import importlib.util
import logging
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from ttsc.backends.sglang.builtin_model import cache_dir

logger = logging.getLogger(__name__)

SWITCH = "TTSC_CPU_KERNELS"
"""Environment variable; "0" leaves the engine on PyTorch's operations (for comparison)."""
THREADS = "TTSC_CPU_THREADS"
"""Environment variable; how many threads the kernels use. Default: all cores this process may run on."""
_SOURCES = ("kernels.cpp", "sampling.cpp", "step.cpp")
_HEADERS = ("pool.cpp", "vectors.cpp")
_FLAGS = ("-O3", "-march=native", "-std=c++17", "-fPIC", "-pthread", "-fopenmp-simd")


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels, or None if this machine cannot have them; the reason is logged once."""
    if os.environ.get(SWITCH) == "0":
        return None
    compiler = _compiler()
    if compiler is None:
        logger.warning(
            "no C++ compiler found: the CPU engine runs without its own kernels, slower and not batch-invariant"
        )
        return None
    try:
        return ctypes.CDLL(str(_build(compiler)))
    except (OSError, subprocess.CalledProcessError) as error:
        reason = error.stderr.strip()[-400:] if isinstance(error, subprocess.CalledProcessError) else str(error)
        logger.warning("the CPU engine's kernels could not be built; it runs without them: %s", reason)
        return None


def start_threads(lib: Any) -> None:
    """Start the kernels' threads; only where a model runs, because the server forks before (`hooks.py`)."""
    lib.ttsc_threads(_size(int(os.environ.get(THREADS, "0")) or len(os.sched_getaffinity(0))))


def _compiler() -> list[str] | None:
    """The command of a C++ compiler: CXX, the machine's own, or the one that `ziglang` from the package index holds.

    gcc alone compiles no C++; `scripts/install_engine.py` adds `ziglang` where nothing else is there.
    """
    if os.environ.get("CXX"):
        return shlex.split(os.environ["CXX"])
    found = next(filter(None, map(shutil.which, ("g++", "c++", "clang++"))), None)
    if found is not None:
        return [found]
    return [sys.executable, "-m", "ziglang", "c++"] if importlib.util.find_spec("ziglang") else None


def _build(compiler: list[str]) -> Path:
    """Compile into the cache, under a name that changes with sources, flags, compiler and processor."""
    sources = [Path(__file__).with_name(name) for name in _SOURCES]
    version = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=True).stdout
    processor = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith(("flags", "Features"))), ""
    )
    texts = [Path(__file__).with_name(name).read_text(encoding="utf-8") for name in (*_SOURCES, *_HEADERS)]
    parts = [version, processor, *_FLAGS, *texts]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    folder = cache_dir() / "kernels"
    target = folder / f"cpu-{key}.so"
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_file():
            _compile(compiler, sources, target)
    return target


def _compile(compiler: list[str], sources: list[Path], target: Path) -> None:
    objects = [target.with_suffix(f".{source.stem}.o") for source in sources]
    try:
        for source, compiled in zip(sources, objects, strict=True):
            subprocess.run(
                [*compiler, *_FLAGS, "-c", str(source), "-o", str(compiled)], capture_output=True, text=True, check=True
            )
        partial = target.with_suffix(".partial")
        command = [*compiler, "-shared", "-pthread", *map(str, objects), "-o", str(partial)]
        subprocess.run(command, capture_output=True, text=True, check=True)
        partial.replace(target)
    finally:
        for compiled in objects:
            compiled.unlink(missing_ok=True)


def address(tensor: torch.Tensor | None) -> ctypes.c_void_p:
    """Pointer to a tensor's first element; null for None."""
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def _size(value: int) -> ctypes.c_int64:
    return ctypes.c_int64(value)


class PackedWeight:
    """A weight matrix in the order `ttsc_linear` reads it."""

    PANEL = 24

    def __init__(self, weight: torch.Tensor, lib: Any) -> None:
        self.rows, self.depth = weight.shape
        panels = (self.rows + self.PANEL - 1) // self.PANEL
        self._lib = lib
        self._packed = torch.empty(panels * self.PANEL * self.depth, dtype=torch.float32)
        lib.ttsc_pack(address(weight.contiguous()), _size(self.rows), _size(self.depth), address(self._packed))

    def data_ptr(self) -> int:
        """Where the packed weight lies."""
        return int(self._packed.data_ptr())

    def apply(self, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """x @ weight.T + bias for x of any leading shape; each row's result is independent of the others."""
        flat = x.reshape(-1, self.depth)
        if flat.stride(1) != 1:
            flat = flat.contiguous()
        out = torch.empty(flat.shape[0], self.rows, dtype=torch.float32)
        self._lib.ttsc_linear(
            address(flat),
            _size(flat.stride(0)),
            _size(flat.shape[0]),
            _size(self.depth),
            address(self._packed),
            _size(self.rows),
            address(bias),
            address(out),
        )
        return out.view(*x.shape[:-1], self.rows)


def attention(
    q: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    req_to_token: torch.Tensor,
    requests: torch.Tensor,
    lengths: torch.Tensor,
    scale: float,
) -> torch.Tensor:
    """Causal attention of query tokens [tokens, heads, size] over the cache; token t sees `lengths[t]` positions of
    its request."""
    lib: Any = library()
    tokens, heads, size = q.shape
    out = torch.empty(tokens, heads * size, dtype=torch.float32)
    lib.ttsc_attention(
        address(q), _size(q.stride(0)), address(keys), address(values), address(req_to_token),
        _size(req_to_token.stride(0)), address(requests), address(lengths), _size(tokens), _size(heads),
        _size(keys.shape[1]), _size(size), ctypes.c_float(scale), address(out),
    )  # fmt: skip
    return out


def store(k: torch.Tensor, v: torch.Tensor, slots: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> None:
    """Copy new keys and values [tokens, width] to their slots of the cache."""
    lib: Any = library()
    width = keys.shape[1] * keys.shape[2]
    lib.ttsc_store(
        address(k),
        _size(k.stride(0)),
        address(v),
        _size(v.stride(0)),
        address(slots),
        _size(k.shape[0]),
        _size(width),
        address(keys),
        address(values),
    )


def rms_norm(x: torch.Tensor, residual: torch.Tensor | None, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """Root-mean-square norm of x, or of residual + x, which is then left in `residual`."""
    lib: Any = library()
    out = torch.empty_like(x)
    lib.ttsc_rms_norm(
        address(x),
        address(residual),
        address(weight),
        ctypes.c_float(eps),
        _size(x.numel() // x.shape[-1]),
        _size(x.shape[-1]),
        address(out),
    )
    return out


def rope(x: torch.Tensor, positions: torch.Tensor, cos_sin: torch.Tensor, head_size: int) -> None:
    """Rotary embedding in place on [tokens, heads * head_size]; the rows may be strided."""
    lib: Any = library()
    lib.ttsc_rope(
        address(x), _size(x.stride(0)), _size(x.shape[0]), _size(x.shape[1] // head_size), _size(head_size),
        address(positions), address(cos_sin), _size(cos_sin.shape[1]),
    )  # fmt: skip


def silu_mul(x: torch.Tensor) -> torch.Tensor:
    """silu of the first half times the second half of the last dimension."""
    lib: Any = library()
    size = x.shape[-1] // 2
    out = torch.empty(*x.shape[:-1], size, dtype=torch.float32)
    lib.ttsc_silu_mul(address(x), _size(x.numel() // x.shape[-1]), _size(size), address(out))
    return out


def sample(
    logits: torch.Tensor,
    temperatures: torch.Tensor,
    seeds: torch.Tensor,
    positions: torch.Tensor,
    filters: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None,
) -> torch.Tensor:
    """One token per row of softmax(logits / temperature); `filters` are (top_k int32, top_p, min_p) per row."""
    lib: Any = library()
    top_k, top_p, min_p = filters if filters is not None else (None, None, None)
    rows, size = logits.shape
    tokens = torch.empty(rows, dtype=torch.int32)
    lib.ttsc_sample(
        address(logits), _size(logits.stride(0)), _size(rows), _size(size), address(temperatures), address(seeds),
        address(positions), address(top_k), address(top_p), address(min_p), address(tokens),
    )  # fmt: skip
    return tokens


def argmax(logits: torch.Tensor) -> torch.Tensor:
    """The index of each row's largest entry."""
    lib: Any = library()
    rows, size = logits.shape
    tokens = torch.empty(rows, dtype=torch.int64)
    lib.ttsc_argmax(address(logits), _size(logits.stride(0)), _size(rows), _size(size), address(tokens))
    return tokens
