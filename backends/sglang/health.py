"""Waiting for a server until it has really answered from its model, and saying meanwhile what it is doing."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ttsc.backends.protocol import EngineUnavailable
from ttsc.backends.sglang import death
from ttsc.backends.sglang.blocking import ask
from ttsc.backends.sglang.server_command import install_command

_POLL_S = 0.25
_HEARTBEAT_S = 10.0
_ANSWER_S = 5.0

# What a line of SGLang's log says about how far the start has come, in the order in which the phases happen.
_PHASES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"Downloading|Fetching \d+ files"), "downloading the model"),
    (re.compile(r"Load weight begin|Loading safetensors|Multi-thread loading"), "loading weights"),
    (re.compile(r"KV Cache is allocated|Memory pool end|max_total_num_tokens="), "allocating the KV cache"),
    (re.compile(r"Capture (?:cuda|cpu) graph|Capturing batches|Capturing num tokens"), "capturing graphs"),
    (re.compile(r"Started server process|Uvicorn running|Application startup complete"), "warming up"),
    (re.compile(r"fired up and ready to roll"), "checking a first token"),
)


class Watched(Protocol):
    """What waiting needs to know of a server's process."""

    url: str
    log_path: Path

    @property
    def alive(self) -> bool: ...

    def explain(self) -> death.Death | None: ...


class LogPhases:
    """Follows a growing log and names the furthest phase seen in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._furthest = -1

    def advance(self) -> str | None:
        """Read what is new; the phase, when it moved on since the last call."""
        try:
            with self._path.open("rb") as log:
                log.seek(self._offset)
                data = log.read()
        except OSError:
            return None
        complete = data.rfind(b"\n") + 1
        self._offset += complete
        text = data[:complete].decode("utf-8", "replace")
        seen = max((index for index, (pattern, _) in enumerate(_PHASES) if pattern.search(text)), default=-1)
        if seen <= self._furthest:
            return None
        self._furthest = seen
        return _PHASES[seen][1]


def wait_ready(process: Watched, timeout_s: float, on_progress: Callable[[str], None]) -> float:
    """Wait until the server answers /health and has decoded one token (a reward or embedding model: pooled one
    sequence); the seconds it took.

    Raises `EngineUnavailable` when it dies, with the reason, or when `timeout_s` passes. Does not stop the server.
    """
    started = time.monotonic()
    phases = LogPhases(process.log_path)
    phase = "starting"
    on_progress(phase)
    told = started
    while True:
        now = time.monotonic()
        moved = phases.advance()
        if moved is not None:
            phase, told = moved, now
            on_progress(f"{phase} ({now - started:.0f} s)")
        elif now - told >= _HEARTBEAT_S:
            told = now
            on_progress(f"still {phase} ({now - started:.0f} s)")
        if not process.alive:
            raise died(process.explain())
        if _healthy(process.url) and _computes(process.url, max(1.0, timeout_s - (now - started))):
            return time.monotonic() - started
        if now - started > timeout_s:
            lines = "".join(f"\n  | {line}" for line in death.meaningful_lines(death.read_tail(process.log_path)))
            raise EngineUnavailable(
                f"the engine did not answer within {timeout_s:.0f} s; it was {phase}{lines}",
                f"allow it more time, or read its log: {process.log_path}",
            )
        time.sleep(_POLL_S)


def died(end: death.Death | None) -> EngineUnavailable:
    """The error for an engine that ended."""
    if end is None:
        return EngineUnavailable("the engine was stopped", "start it again")
    if end.cause == "sglang-missing":
        return EngineUnavailable("SGLang is not installed", f"run `{install_command()}`")
    return EngineUnavailable(end.message(), end.way_out)


def _healthy(url: str) -> bool:
    try:
        return ask(f"{url}/health", timeout_s=_ANSWER_S)[0] == 200
    except OSError:
        return False


def _computes(url: str, timeout_s: float) -> bool:
    """Whether the model computes one token: /health alone is also answered by servers whose model cannot."""
    try:
        model = json.loads(ask(f"{url}/model_info", timeout_s=_ANSWER_S)[1])
        if model.get("is_generation") is False:
            status, data = ask(f"{url}/encode", json.dumps({"input_ids": [0]}).encode(), timeout_s=timeout_s)
            return status == 200 and len(json.loads(data)["embedding"]) > 0
        sampling = {"max_new_tokens": 1, "temperature": 0.0, "ignore_eos": True}
        body = json.dumps({"input_ids": [0], "sampling_params": sampling}).encode()
        status, data = ask(f"{url}/generate", body, timeout_s=timeout_s)
        return status == 200 and int(json.loads(data)["meta_info"]["completion_tokens"]) == 1
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def answers(url: str, timeout_s: float = _ANSWER_S) -> bool:
    """Whether a server at `url` says which model it serves; a cheap question that runs nothing."""
    try:
        return ask(f"{url}/model_info", timeout_s=timeout_s)[0] == 200
    except OSError:
        return False
