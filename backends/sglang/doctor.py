"""`ttsc doctor`: what is installed, what this machine can do, and whether a given server does what ttsc relies on.

Nothing heavy is imported: versions come from the installed packages' metadata.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import secrets
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psutil

from ttsc.backends.protocol import EmbedRequest, EngineError, EngineInfo, GenerateRequest, RewardRequest, Sampling
from ttsc.backends.sglang import kept, state
from ttsc.backends.sglang.server_command import SGLANG_VERSION, cpu_flags, cuda_devices, install_command

if TYPE_CHECKING:
    from ttsc.backends.sglang.client import SGLangEngine

Status = Literal["ok", "warn", "missing"]
_CORE = ("lark", "click", "rich", "pydantic", "jinja2", "orjson", "tokenizers", "psutil", "platformdirs")
_WANTED_CPU = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
_LOW_MEMORY_BYTES = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `fix` says what to do when it is not ok; "" where nothing needs doing."""

    name: str
    status: Status
    detail: str
    fix: str = ""


def diagnose(url: str | None = None, tokenizer_path: str | None = None) -> list[Check]:
    """Look at this installation and machine and, with `url`, at the server there. Never raises for what it finds."""
    checks = [_python(), *_packages(), _sglang(), _torch(), _gpus(), _cpu(), _memory()]
    checks += [_builtin_model(), *_folders(), *_kept_engines()]
    if url is not None:
        checks += asyncio.run(diagnose_server(url, tokenizer_path))
    return checks


async def diagnose_server(url: str, tokenizer_path: str | None = None) -> list[Check]:
    """Look at a server: does it answer, honour seeds, report cached tokens, and is its tokenizer found here?

    Decodes a few dozen tokens on it (a reward or embedding model: asks it once), and leaves nothing running.
    """
    from ttsc.backends.sglang.client import SGLangEngine
    from ttsc.backends.sglang.connection import Connection
    from ttsc.backends.sglang.serverinfo import engine_info

    try:
        connection = Connection(url)
        try:
            info = (await engine_info(connection)).info
        finally:
            await connection.close()
    except EngineError as error:
        return [Check("server", "missing", error.message, error.hint or "check the address")]
    version = info.details.get("sglang", "unknown")
    detail = f"{url} serves {info.model}, {info.context_tokens} tokens of context, on {info.device or 'unknown'}"
    checks = [Check("server", "ok", detail), _server_version(version)]
    try:
        engine = await SGLangEngine.connect(url, tokenizer_path=tokenizer_path)
    except EngineError as error:
        return [*checks, Check("tokenizer", "missing", error.message, error.hint)]
    try:
        kind = type(engine.tokenizer).__name__
        remote = kind == "RemoteTokenizer"
        slow = "every piece of text is encoded by the server; --tokenizer PATH is faster"
        checks.append(Check("tokenizer", "warn" if remote else "ok", kind, slow if remote else ""))
        checks.append(_abilities(info))
        if "generate" in info.abilities:
            checks += [await _seeds(engine), await _cache(engine)]
        else:
            checks.append(await _pooled(engine))
        checks.append(await _counters(engine))
    except EngineError as error:
        checks.append(Check("requests", "missing", error.message, error.hint))
    finally:
        await engine.close()
    return checks


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _python() -> Check:
    return Check("python", "ok", f"{platform.python_version()} ({sys.executable})")


def _packages() -> Iterable[Check]:
    yield Check("ttsc", "ok", _installed("ttsc") or "not installed as a package")
    absent = [package for package in _CORE if _installed(package) is None]
    if absent:
        yield Check("packages", "missing", f"not installed: {', '.join(absent)}", "pip install ttsc")
    else:
        yield Check("packages", "ok", ", ".join(f"{package} {_installed(package)}" for package in _CORE))


def _sglang() -> Check:
    version = _installed("sglang")
    if version is None:
        return Check("sglang", "missing", "not installed: engines can be attached to, not launched", install_command())
    if version != SGLANG_VERSION:
        fix = f"ttsc was tested with {SGLANG_VERSION}: {install_command()}"
        return Check("sglang", "warn", version, fix)
    return Check("sglang", "ok", version)


def _server_version(version: str) -> Check:
    if version == SGLANG_VERSION:
        return Check("server version", "ok", version)
    return Check("server version", "warn", version, f"ttsc was tested with SGLang {SGLANG_VERSION}")


def _torch() -> Check:
    version = _installed("torch")
    if version is None:
        return Check("torch", "missing", "not installed", install_command())
    return Check("torch", "ok", version)


def _gpus() -> Check:
    devices = cuda_devices()
    if not devices:
        return Check("gpu", "ok", "no NVIDIA GPU: engines run on the CPU, for trying things out")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    shown = "; ".join(devices) + (f" (CUDA_VISIBLE_DEVICES={hidden})" if hidden is not None else "")
    torch = _installed("torch") or ""
    if torch.endswith("+cpu"):
        return Check("gpu", "warn", f"{shown}; but torch {torch} is built for the CPU", install_command())
    return Check("gpu", "ok", shown)


def _cpu() -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    flags = cpu_flags()
    found = [flag for flag in _WANTED_CPU if flag in flags]
    detail = f"{cores} cores, {platform.machine()}" + (f", {' '.join(found)}" if found else "")
    if flags and "avx2" not in flags and platform.machine() == "x86_64":
        return Check("cpu", "warn", detail, "without AVX2 a CPU engine is very slow")
    return Check("cpu", "ok", detail)


def _memory() -> Check:
    free = psutil.virtual_memory().available
    detail = f"{_gigabytes(free)} free of {_gigabytes(psutil.virtual_memory().total)}"
    if free < _LOW_MEMORY_BYTES:
        return Check("memory", "warn", detail, f"an engine on the CPU wants about {_gigabytes(_LOW_MEMORY_BYTES)}")
    return Check("memory", "ok", detail)


def _builtin_model() -> Check:
    from ttsc.backends.sglang.builtin_model import BUILTIN_MODELS, FORMAT, cache_dir

    for name in BUILTIN_MODELS:
        folder = cache_dir() / "models" / f"{name}-{FORMAT}"
        if (folder / "config.json").is_file():
            return Check("built-in model", "ok", f"{name}, {_gigabytes(_size(folder))} in {folder}")
    names = ", ".join(BUILTIN_MODELS)
    return Check("built-in model", "warn", f"{names}: not fetched yet", "it is fetched and converted on first use")


def _folders() -> Iterable[Check]:
    from ttsc.backends.sglang.builtin_model import cache_dir

    for name, folder in (("cache", cache_dir()), ("state", state.state_dir())):
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        if os.access(existing, os.W_OK):
            yield Check(f"{name} folder", "ok", f"{folder}, {_gigabytes(_size(folder))}")
        else:
            fix = f"make it writable, or set TTSC_{name.upper()}_DIR"
            yield Check(f"{name} folder", "missing", f"{folder} cannot be written", fix)


def _kept_engines() -> Iterable[Check]:
    engines = kept.status()
    if not engines:
        yield Check("kept engines", "ok", "none")
    for engine in engines:
        record = engine.record
        detail = f"{record.model} at {record.url}: {engine.condition}"
        if engine.condition in ("ready", "starting"):
            yield Check(f"engine {record.name}", "ok", f"{detail}, {_gigabytes(engine.memory_bytes)}")
            continue
        why = f" ({engine.end.summary})" if engine.end is not None else ""
        yield Check(f"engine {record.name}", "warn", f"{detail}{why}", f"ttsc engine stop {record.name}")


def _abilities(info: EngineInfo) -> Check:
    names = ", ".join(sorted(info.abilities))
    if "generate" not in info.abilities:
        return Check("abilities", "ok", names)
    backend, _, fix = info.details.get("schema", "").partition(": ")
    detail = f"{names} (schemas: {backend})"
    return Check("abilities", "warn" if fix else "ok", detail, fix)


async def _pooled(engine: SGLangEngine) -> Check:
    ids = tuple(engine.tokenizer.encode("Once upon a time there was"))
    if "reward" in engine.info.abilities:
        values = (await engine.reward(RewardRequest(_rid(), ids))).values
        labels = f"{len(values)} labels" if len(values) > 1 else "one label"
        return Check("reward", "ok", f"it rated a text ({labels})")
    vector = (await engine.embed(EmbedRequest(_rid(), ids))).vector
    return Check("embed", "ok", f"it embedded a text ({len(vector)} dimensions)")


async def _seeds(engine: SGLangEngine) -> Check:
    prompt = tuple(engine.tokenizer.encode("Once upon a time there was"))
    sampling = [Sampling(max_tokens=12, temperature=1.0, seed=seed, ignore_eos=True) for seed in (1, 1, 2, 3)]
    outputs = await asyncio.gather(*(engine.generate(GenerateRequest(_rid(), prompt, one)) for one in sampling))
    first, again, *others = (output.output_ids for output in outputs)
    seen = first == again and any(other != first for other in others)
    if seen and engine.info.seeds_honoured:
        return Check("seeds", "ok", "equal seeds gave equal tokens, other seeds others")
    said = engine.info.details.get("seeds", "")
    fix = "start the server with --enable-deterministic-inference; on a CPU also with --dtype float32"
    if engine.info.seeds_honoured:
        return Check("seeds", "warn", f"the server says '{said}', but a test showed otherwise", fix)
    return Check("seeds", "warn", f"{said}; runs are reproducible from their journal only", fix)


async def _cache(engine: SGLangEngine) -> Check:
    # A prompt that no one has sent before, twice: the second must find all of it but its last token (or page).
    words = engine.tokenizer.encode(" ".join(secrets.token_hex(4) for _ in range(24)))
    sampling = Sampling(max_tokens=1, temperature=0.0, ignore_eos=True)
    await engine.generate(GenerateRequest(_rid(), tuple(words), sampling))
    second = await engine.generate(GenerateRequest(_rid(), tuple(words), sampling))
    expected = max(0, second.prompt_tokens - max(1, engine.info.page_tokens))
    detail = f"{second.cached_tokens} of {second.prompt_tokens} tokens of a repeated prompt were cached"
    if second.cached_tokens >= expected > 0:
        return Check("prefix cache", "ok", detail)
    return Check("prefix cache", "warn", detail, "start the server without --disable-radix-cache")


async def _counters(engine: SGLangEngine) -> Check:
    if await engine.counters():
        return Check("metrics", "ok", "the server reports its counters")
    return Check("metrics", "warn", "the server reports no counters", "start the server with --enable-metrics")


def _rid() -> str:
    return f"ttsc-doctor-{secrets.token_hex(8)}"


def _size(folder: Path) -> int:
    """Bytes of the files below a folder; a file that vanishes meanwhile counts nothing."""
    total = 0
    for root, _folders, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except OSError:
                continue
    return total


def _gigabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1024**3:.1f} GiB" if size_bytes >= 1024**3 // 10 else f"{size_bytes / 1024**2:.1f} MiB"
