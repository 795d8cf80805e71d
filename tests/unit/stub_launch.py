"""What the launcher's unit tests share: the stub in SGLang's place, and a state directory of each test's own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ttsc.backends.sglang import kept, launcher
from ttsc.backends.sglang.server_command import ServerCommand

STUB = str(Path(__file__).with_name("fake_sglang.py"))


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTSC_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture(name="stub_engine")
def stub_engine_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Makes the launcher start the stub with the given arguments instead of SGLang; stops what is kept at the end."""
    monkeypatch.setattr(launcher, "require_sglang", lambda: None)
    monkeypatch.setattr(launcher, "resolve", lambda model, progress: model)
    monkeypatch.setattr(kept, "resolve", lambda model, progress: model)

    def use(*arguments: str) -> None:
        def command(model_path: str, port: int, **options: object) -> ServerCommand:
            deterministic = options["deterministic"] is not False
            argv = (sys.executable, STUB, "--port", str(port), *arguments)
            return ServerCommand(argv, device="cpu", deterministic=deterministic)

        monkeypatch.setattr(launcher, "server_command", command)

    use()
    yield use
    kept.stop()


def gone(pid: int, within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False
