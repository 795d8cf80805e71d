"""The test bed's engines: a kept one for each model that an entry names, started where it is missing."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

import ttsc
from benchmarks.strategies.entries import MODELS, ROOT, BadEntry
from ttsc.backends.protocol import EngineError
from ttsc.backends.sglang.client import SGLangEngine
from ttsc.backends.sglang.kept import find_running, start_daemon


class Bed:
    """Handles of engines by the name of a model's folder. Kept engines stay when it is closed."""

    def __init__(self, say: Callable[[str], None] = print) -> None:
        self._say = say
        self._handles: dict[str, ttsc.EngineHandle] = {}

    def engines(self, roles: dict[str, str]) -> dict[str, ttsc.EngineHandle]:
        """One for each role. Raises `BadEntry` for a model that isn't there, `EngineError` if a start fails."""
        return {role: self._handle(model) for role, model in roles.items()}

    def start(self, models: Iterable[str]) -> None:
        """Those that are missing; one that can't be is told of when it is needed."""
        for model in models:
            with suppress(BadEntry, EngineError):
                self._handle(model)

    async def empty_caches(self, roles: dict[str, str]) -> None:
        """Of the prefix; a server that others use refuses, and keeps its cache."""
        for handle in {id(each): each for each in self.engines(roles).values()}.values():
            engine = await handle.client()
            if isinstance(engine, SGLangEngine):
                with suppress(EngineError):
                    await engine.flush_cache()

    async def close(self) -> None:
        for handle in self._handles.values():
            await handle.aclose()

    def _handle(self, model: str) -> ttsc.EngineHandle:
        """The same as before while its engine answers; an engine that died is started again."""
        folder = MODELS / model
        if not (folder / "config.json").is_file():
            raise BadEntry(f"the test bed has no model '{model}'")
        record = find_running(str(folder))
        if record is None:
            self._say(f"starting {model}")
            record = start_daemon(str(folder))
        known = self._handles.get(model)
        if known is None or known.url != record.url:
            known = self._handles[model] = ttsc.connect(record.url, tokenizer_path=str(folder))
        return known


def provenance() -> dict[str, Any]:
    """What the figures were taken with: versions, commit, machine."""
    return {
        "ttsc": ttsc.__version__,
        "commit": _commit(),
        "sglang": _version("sglang"),
        "torch": _version("torch"),
        "python": platform.python_version(),
        "machine": f"{_processor()}, {psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB",
    }


def _commit() -> str:
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return asked.stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    with suppress(OSError):
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
        if found:
            return re.sub(r"\s+", " ", found[1])
    return platform.processor() or platform.machine()
