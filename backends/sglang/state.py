"""Where kept engines are remembered: one small JSON file for each, in the user's state directory.

A record counts only while the process it names is the guard it was written for: a process id alone may have been given
to someone else since, so the creation time and the command line (which names a file of this engine only) must agree.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import platformdirs
import psutil

from ttsc.backends.protocol import EngineUnavailable

_KEPT_LOGS = 10
_EMBEDS = "-embedding"
_CREATE_TIME_SLACK_S = 2.0  # psutil derives it from the boot time, which moves when the clock is set


def state_dir() -> Path:
    """The user's state directory for ttsc (`TTSC_STATE_DIR` overrides it), created when missing."""
    override = os.environ.get("TTSC_STATE_DIR")
    path = Path(override) if override else Path(platformdirs.user_state_dir("ttsc", appauthor=False))
    path.mkdir(parents=True, exist_ok=True)
    return path


def _subfolder(name: str) -> Path:
    path = state_dir() / name
    path.mkdir(parents=True, exist_ok=True)
    return path


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """A kept engine. Times are seconds since the epoch. `ready` is false while it is still starting."""

    name: str
    model: str
    model_path: str
    url: str
    guard_pid: int
    guard_created: float
    deterministic: bool
    device: str
    log_path: str
    status_path: str
    started: float
    ready: bool

    @property
    def embeds(self) -> bool:
        """Whether it serves as an embedding model one that would otherwise generate (or rate)."""
        return self.name.endswith(_EMBEDS)

    @property
    def alive(self) -> bool:
        """Whether the guard that this record names still runs: same id, same creation time, same command line."""
        try:
            guard = psutil.Process(self.guard_pid)
            return (
                guard.status() != psutil.STATUS_ZOMBIE
                and abs(guard.create_time() - self.guard_created) < _CREATE_TIME_SLACK_S
                and self.status_path in guard.cmdline()
            )
        except psutil.Error:
            return False


def engine_name(model: str, *, embeds: bool = False) -> str:
    """A short file name for a model's engine: readable, and distinct for distinct models and uses of one."""
    slug = re.sub(r"[^a-z0-9.]+", "-", model.rstrip("/").rpartition("/")[2].lower()).strip("-.")[:40] or "engine"
    return f"{slug}-{hashlib.sha256(model.encode()).hexdigest()[:6]}{_EMBEDS if embeds else ''}"


def record_path(name: str) -> Path:
    """Where the record of engine `name` lies."""
    return _subfolder("engines") / f"{name}.json"


def save(record: EngineRecord) -> None:
    """Write a record so that a reader sees the old one or the new one, never half of it."""
    path = record_path(record.name)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def load(name: str) -> EngineRecord | None:
    """The record of engine `name`; None when there is none that can be read."""
    try:
        data = json.loads(record_path(name).read_text(encoding="utf-8"))
        return EngineRecord(**{field.name: data[field.name] for field in fields(EngineRecord)})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove(name: str) -> None:
    """Forget an engine."""
    record_path(name).unlink(missing_ok=True)


def records() -> list[EngineRecord]:
    """Every record, the stale ones too, oldest first."""
    names = sorted(path.stem for path in _subfolder("engines").glob("*.json"))
    found = [record for name in names if (record := load(name)) is not None]
    return sorted(found, key=lambda record: record.started)


def new_log_path(name: str) -> Path:
    """A fresh log file's path. Of earlier logs only the newest few are kept, and those of kept engines."""
    folder = _subfolder("logs")
    used = {record.log_path for record in records()}
    idle = [path for path in folder.glob("*.log") if str(path) not in used]
    old = sorted(idle, key=lambda path: path.stat().st_mtime, reverse=True)
    for path in old[_KEPT_LOGS - 1 :]:
        for companion in (path, Path(f"{path}.1"), Path(f"{path}.status.json")):
            companion.unlink(missing_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return folder / f"{name}-{stamp}-{os.getpid()}-{time.monotonic_ns() % 1_000_000:06d}.log"


@contextlib.contextmanager
def start_lock(name: str, timeout_s: float, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the right to start engine `name`. The kernel releases it if the holder dies.

    Raises `EngineUnavailable` when another process holds it for longer than `timeout_s`.
    """
    try:
        import fcntl
    except ImportError:
        message = "engines can be kept on POSIX systems only"
        raise EngineUnavailable(message, "attach to a server with --engine URL") from None
    deadline = time.monotonic() + timeout_s
    told = False
    with (_subfolder("engines") / f"{name}.lock").open("a") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if not told:
                    on_wait()
                    told = True
                if time.monotonic() > deadline:
                    raise EngineUnavailable(
                        f"another process has been starting this engine for more than {timeout_s:.0f} s",
                        "`ttsc engine status` shows it; `ttsc engine logs` says what it is doing",
                    ) from None
                time.sleep(0.2)
        yield
