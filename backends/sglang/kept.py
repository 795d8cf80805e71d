"""Engines that outlive the command that started them: `ttsc engine start | status | stop | logs`, and their reuse."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import psutil

from ttsc.backends.protocol import EngineError, EngineUnavailable
from ttsc.backends.sglang import death, state
from ttsc.backends.sglang.groups import group_folder, model_folder, models_in
from ttsc.backends.sglang.health import answers
from ttsc.backends.sglang.launcher import START_TIMEOUT_S, launch, resolve, silent
from ttsc.backends.sglang.process import EngineProcess, explain_end
from ttsc.backends.sglang.server_command import POOLING_FLAG
from ttsc.backends.sglang.state import EngineRecord

_STOP_TIMEOUT_S = 30.0
Condition = Literal["starting", "ready", "silent", "dead"]


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """A kept engine now. `silent`: its process runs and does not answer. `memory_bytes` is its whole tree's."""

    record: EngineRecord
    condition: Condition
    uptime_s: float
    memory_bytes: int
    end: death.Death | None


def start_daemon(
    model: str,
    *,
    deterministic: bool | None = None,
    port: int | None = None,
    on_progress: Callable[[str], None] = silent,
    timeout_s: float = START_TIMEOUT_S,
    extra_args: Sequence[str] = (),
    on_start: Callable[[EngineProcess], None] | None = None,
) -> EngineRecord:
    """Start an engine that stays until it is stopped; if one for this model already runs, return that one.

    A model served by `--is-embedding` and the same model generating are two engines.
    Two starts at once give one engine: the second waits for the first. `on_start` is told of the process as soon as it
    runs. Raises as `launch` does, and
    `EngineUnavailable` when the running one differs in determinism from what is asked for.
    """
    model_path = resolve(model, on_progress)
    name = state.engine_name(model_path, embeds=POOLING_FLAG in extra_args)
    with state.start_lock(name, timeout_s, lambda: on_progress("another process is starting this engine, waiting")):
        running = _running(name)
        if running is not None:
            return _same_mode(running, deterministic)

        def started(process: EngineProcess) -> None:
            state.save(_record(name, model, process))
            if on_start is not None:
                on_start(process)

        try:
            process = launch(
                model_path,
                deterministic=deterministic,
                port=port,
                on_progress=on_progress,
                on_start=started,
                timeout_s=timeout_s,
                extra_args=extra_args,
            )
            try:
                record = replace(_record(name, model, process), ready=True)
                state.save(record)
                process.keep()
            except BaseException:
                process.stop()
                raise
        except BaseException:
            state.remove(name)
            raise
        return record


def find_running(model: str, *, deterministic: bool | None = None) -> EngineRecord | None:
    """The kept engine that serves `model`, if one is ready and answers.

    `model` is compared as written and as the folder it resolves to, `testbed/NAME` too. With `deterministic` only an
    engine in that mode counts. One started with `--is-embedding` is found by its own name only.
    """
    folder = str(model_folder(model) or model)
    for record in state.records():
        if record.embeds and model not in (record.name, record.url):
            continue
        same_folder = os.path.isdir(folder) and os.path.realpath(folder) == os.path.realpath(record.model_path)
        if not record.ready or not (same_folder or _called(record, model)):
            continue
        if deterministic is not None and record.deterministic != deterministic:
            continue
        if record.alive and answers(record.url):
            return record
    return None


def status(name: str | None = None) -> list[EngineStatus]:
    """Every kept engine, and those that died since they were last started or stopped; with a `name` as `stop`."""
    return [_status(record) for record in _chosen(name)]


def stop(name: str | None = None) -> list[EngineRecord]:
    """Stop the engine called `name` (or serving the model of that name), those of a group, or all of them; those that
    were ended.

    Raises `EngineError` when there is none of that name.
    """
    chosen = _chosen(name)
    for record in chosen:
        if record.alive:
            _end(record)
        state.remove(record.name)
    return chosen


def logs(name: str | None = None, lines: int = 50) -> tuple[Path, str]:
    """The log of one kept engine: its path and its last lines. Without a name: the one started last.

    Raises `EngineError` when there is none.
    """
    chosen = _chosen(name)
    if not chosen:
        raise EngineError("no engine is kept", _known_names())
    path = Path(chosen[-1].log_path)
    tail = death.read_tail(path, limit_bytes=max(1, lines) * 400)
    return path, "\n".join(tail.splitlines()[-lines:])


def why_ended(record: EngineRecord, wait_s: float = 3.0) -> death.Death | None:
    """Why a kept engine ended; None while it runs or when it was stopped on purpose.

    A client may notice a death before the engine's guard has finished clearing up: `wait_s` gives it that long.
    """
    deadline = time.monotonic() + wait_s
    while record.alive and time.monotonic() < deadline:
        time.sleep(0.1)
    return None if record.alive else explain_end(Path(record.status_path), Path(record.log_path))


def _running(name: str) -> EngineRecord | None:
    record = state.load(name)
    if record is not None and record.alive and record.ready and answers(record.url, timeout_s=10.0):
        return record
    if record is not None:
        if record.alive:
            _end(record)  # left over from a start that was interrupted, or no longer answering
        state.remove(name)
    return None


def _same_mode(record: EngineRecord, deterministic: bool | None) -> EngineRecord:
    if deterministic is None or deterministic == record.deterministic:
        return record
    mode = "with" if record.deterministic else "without"
    raise EngineUnavailable(
        f"an engine for this model already runs, {mode} deterministic inference",
        f"stop it first: `ttsc engine stop {record.name}`",
    )


def _record(name: str, model: str, process: EngineProcess) -> EngineRecord:
    return EngineRecord(
        name=name,
        model=model,
        model_path=process.model_path,
        url=process.url,
        guard_pid=process.guard_pid,
        guard_created=psutil.Process(process.guard_pid).create_time(),
        deterministic=process.deterministic,
        device=process.device,
        log_path=str(process.log_path),
        status_path=str(process.status_path),
        started=time.time(),
        ready=False,
    )


def _chosen(name: str | None) -> list[EngineRecord]:
    """The records of a name, a model or a group, or all. Raises `EngineError` when there is none of that name."""
    if name is None:
        return state.records()
    group, model = group_folder(name), model_folder(name)
    folders = list(models_in(group).values()) if group is not None else [model] if model is not None else []
    paths = {os.path.realpath(folder) for folder in folders}
    chosen = [each for each in state.records() if _called(each, name) or os.path.realpath(each.model_path) in paths]
    if not chosen:
        message = f"no engine of '{name}' is kept" if paths else f"no kept engine is called '{name}'"
        raise EngineError(message, f"`ttsc engine start {name}` starts one" if paths else _known_names())
    return chosen


def _called(record: EngineRecord, name: str) -> bool:
    return name in (record.name, record.model, record.model_path, record.url)


def _known_names() -> str:
    names = ", ".join(record.name for record in state.records())
    return f"kept engines: {names}" if names else "start one with `ttsc engine start MODEL`"


def _status(record: EngineRecord) -> EngineStatus:
    if not record.alive:
        return EngineStatus(record, "dead", 0.0, 0, why_ended(record))
    condition: Condition = "starting"
    if record.ready:
        condition = "ready" if answers(record.url) else "silent"
    return EngineStatus(record, condition, time.time() - record.started, _tree_bytes(record.guard_pid), None)


def _tree(pid: int) -> list[psutil.Process]:
    try:
        guard = psutil.Process(pid)
        return [guard, *guard.children(recursive=True)]
    except psutil.Error:
        return []


def _tree_bytes(pid: int) -> int:
    total = 0
    for process in _tree(pid):
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total


def _end(record: EngineRecord) -> None:
    """End a kept engine's guard, and with it the tree; by force should the guard not manage."""
    tree = _tree(record.guard_pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(record.guard_pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while record.alive and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in tree:  # psutil compares creation times, so a reused process id is not hit
        with contextlib.suppress(psutil.Error):
            if process.is_running():
                process.kill()
