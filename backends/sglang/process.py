"""A running server, seen from the process that started it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from ttsc.backends.protocol import EngineUnavailable
from ttsc.backends.sglang import death, guard
from ttsc.backends.sglang.server_command import ServerCommand

_STOP_TIMEOUT_S = 30.0


class EngineProcess:
    """A server that was started here, behind its guard. Ends with this process unless `keep` is called.

    `url` is where it listens; `model` the name it was asked for by, `model_path` the folder that is served.
    """

    def __init__(
        self,
        command: ServerCommand,
        *,
        url: str,
        model: str,
        model_path: str,
        log_path: Path,
        grace_s: float = guard.GRACE_S,
    ) -> None:
        """Start the guard, and with it the server. Returns at once; `health.wait_ready` waits for it to answer."""
        self.url = url
        self.model = model
        self.model_path = model_path
        self.device = command.device
        self.deterministic = command.deterministic
        self.log_path = log_path
        self.status_path = Path(f"{log_path}.status.json")
        log_path.parent.mkdir(parents=True, exist_ok=True)
        read_end, self._pipe = os.pipe()
        options = ["--status", str(self.status_path), "--log", str(log_path), "--pipe", str(read_end)]
        try:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", guard.__file__, *options, "--grace-s", str(grace_s), "--", *command.argv],
                env={**os.environ, **command.env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(read_end,),
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._pipe)
            raise EngineUnavailable(f"cannot start the engine's guard: {error}") from error
        finally:
            os.close(read_end)

    @property
    def guard_pid(self) -> int:
        """The process that owns the server's tree; ending it by SIGTERM ends them all."""
        return self._guard.pid

    @property
    def alive(self) -> bool:
        """Whether the server still runs, as far as its guard knows."""
        return self._guard.poll() is None

    def explain(self, wait_s: float = 0.0) -> death.Death | None:
        """Why the server ended; None while it runs, or when it was stopped on purpose.

        A client may notice a death before the guard has finished clearing up: `wait_s` gives it that long.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._guard.wait(wait_s)
        return None if self.alive else explain_end(self.status_path, self.log_path)

    def keep(self) -> None:
        """Let the server outlive this process. From here on only `stop` or a signal to the guard ends it."""
        os.write(self._pipe, guard.DETACH)

    def stop(self, timeout_s: float = _STOP_TIMEOUT_S) -> None:
        """End the server and every process it started; returns when all are gone."""
        if self._guard.poll() is None:
            self._guard.send_signal(signal.SIGTERM)
            try:
                self._guard.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._guard.kill()
                self._guard.wait()
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def explain_end(status_path: Path, log_path: Path) -> death.Death | None:
    """Why a guarded server ended, from what its guard wrote; None when it was stopped on purpose."""
    status = read_status(status_path)
    if status.get("state") != "ended":
        return death.explain(None, None, log_path)
    if status.get("reason") in ("stopped", "parent ended"):
        return None
    code, number = status.get("exit_code"), status.get("signal")
    return death.explain(code if isinstance(code, int) else None, number if isinstance(number, int) else None, log_path)


def read_status(path: Path) -> dict[str, object]:
    """What the guard last wrote about its server; empty when nothing can be read (yet)."""
    try:
        status = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return status if isinstance(status, dict) else {}
