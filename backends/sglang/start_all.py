"""Starting several kept engines, some at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue

from ttsc.backends.protocol import EngineError
from ttsc.backends.sglang.cpu.arguments import available_cores
from ttsc.backends.sglang.kept import start_daemon
from ttsc.backends.sglang.launcher import START_TIMEOUT_S
from ttsc.backends.sglang.process import EngineProcess
from ttsc.backends.sglang.state import EngineRecord

AT_ONCE = max(1, available_cores())
"""Starts at a time. A start is for the most part one busy core that imports torch, in three processes in turn."""


def start_all(
    models: Iterable[str],
    *,
    deterministic: bool | None,
    on_progress: Callable[[str, str], None],
    on_end: Callable[[str, EngineRecord | EngineError], None],
    timeout_s: float = START_TIMEOUT_S,
    extra_args: tuple[str, ...] = (),
) -> None:
    """Start a kept engine for each model as `start_daemon` does, `AT_ONCE` at a time, and wait for all of them.

    `on_progress` is told of a model and what it is doing, `on_end` of a model and what became of it; both from other
    threads, one at a time. If the caller is interrupted, what is only starting is stopped; what is ready stays.
    """
    todo: SimpleQueue[str] = SimpleQueue()
    for model in models:
        todo.put(model)
    told, stopping = threading.Lock(), threading.Event()
    starting: dict[str, EngineProcess] = {}

    def started(model: str, process: EngineProcess) -> None:
        starting[model] = process
        if stopping.is_set():
            process.stop()

    def say(model: str, message: str) -> None:
        with told:
            on_progress(model, message)

    def work() -> None:
        while not stopping.is_set():
            try:
                model = todo.get_nowait()
            except Empty:
                return
            try:
                found: EngineRecord | EngineError = start_daemon(
                    model,
                    deterministic=deterministic,
                    on_progress=lambda message, model=model: say(model, message),  # type: ignore[misc]
                    on_start=lambda process, model=model: started(model, process),  # type: ignore[misc]
                    timeout_s=timeout_s,
                    extra_args=extra_args,
                )
            except EngineError as error:
                found = error
            starting.pop(model, None)
            with told:
                on_end(model, found)

    threads = [threading.Thread(target=work, name="ttsc-start", daemon=True) for _ in range(AT_ONCE)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException:
        stopping.set()
        for process in list(starting.values()):
            process.stop()
        for thread in threads:
            if thread.ident is not None:
                thread.join(timeout=10)
        raise
