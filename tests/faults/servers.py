"""Servers that a test may kill and start again at the same address."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import psutil
from asked import MODEL

from ttsc.backends.sglang.launcher import launch
from ttsc.backends.sglang.process import EngineProcess
from ttsc.backends.sglang.server_command import free_port

# Small, so that several fit a small machine; the program of these tests needs far less.
_TOKENS = ("--max-total-tokens", "16384")


NOTES: list[str] = []
"""What is printed when all tests have ended."""


def tell(message: str) -> None:
    """Say what was run, and what was found."""
    NOTES.append(message)


class Server:
    """One SGLang with the test bed's model, deterministic."""

    def __init__(self, logs: Path) -> None:
        self.port = free_port()
        self._logs = logs
        self._starts = 0
        self._process: EngineProcess | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, unless it runs, and wait until it decodes."""
        if self._process is not None:
            return
        self._starts += 1
        log = self._logs / f"server-{self.port}-{self._starts}.log"
        self._process = launch(str(MODEL), deterministic=True, port=self.port, log_path=log, extra_args=_TOKENS)

    def kill(self) -> None:
        """SIGKILL for all of its processes at once; returns when they are gone."""
        assert self._process is not None, "it is not running"
        family = psutil.Process(self._process.guard_pid).children(recursive=True)
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):  # a child may end because its parent just did
                member.send_signal(signal.SIGKILL)
        psutil.wait_procs(family, timeout=30)
        self.stop()

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None
