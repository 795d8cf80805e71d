"""The router before two workers, as a process."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import router_environment

from ttsc.backends.sglang.blocking import ask
from ttsc.backends.sglang.server_command import free_port

_START_S = 60.0


class Router:
    """sglang-router before `workers`, in turn; it ends when the context is left. `retries`: whether it sends again
    itself what a worker failed at.
    """

    def __init__(self, workers: Sequence[str], log: Path, *, retries: bool = True) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._workers = workers
        self._log = log
        self._more = () if retries else ("--disable-retries",)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        python = router_environment.installed()
        assert python is not None, "the router is not installed"
        command = [python, "-m", "sglang_router.launch_router", "--host", "127.0.0.1"]
        command += ["--port", self.url.rpartition(":")[2], "--prometheus-port", str(free_port())]
        command += ["--policy", "round_robin", *self._more, "--worker-urls", *self._workers]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            self._wait()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _wait(self) -> None:
        """Until it has found its workers."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            assert self._process is not None and self._process.poll() is None, self._log.read_text()[-2000:]
            try:
                if ask(f"{self.url}/get_model_info", timeout_s=5)[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.2)
        raise AssertionError(f"the router did not start: {self._log.read_text()[-2000:]}")

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
