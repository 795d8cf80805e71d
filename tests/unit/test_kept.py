"""Kept engines against a stub server: found, reused, stopped, explained, and never confused with something else."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ttsc.backends.protocol import EngineError, EngineUnavailable
from ttsc.backends.sglang import kept, state
from ttsc.backends.sglang.process import explain_end

sys.path.insert(0, str(Path(__file__).parent))
from stub_launch import STUB, gone, own_state, stub_engine_fixture  # noqa: E402, F401 (fixtures)


def test_a_kept_engine_is_found_reused_and_stopped(stub_engine: Callable[..., None]) -> None:
    stub_engine("--children", "1")
    record = kept.start_daemon("some/model", timeout_s=30)
    assert kept.start_daemon("some/model", timeout_s=30) == record
    assert kept.find_running("some/model") == record
    assert kept.find_running("other/model") is None
    assert kept.find_running("some/model", deterministic=False) is None
    (status,) = kept.status()
    assert status.condition == "ready"
    assert status.memory_bytes > 0
    path, tail = kept.logs("some/model")
    assert path.is_file()
    assert "fired up" in tail
    with pytest.raises(EngineUnavailable, match="deterministic"):
        kept.start_daemon("some/model", deterministic=False)
    tree = [record.guard_pid, *(child.pid for child in psutil.Process(record.guard_pid).children(recursive=True))]
    assert kept.stop(record.name) == [record]
    assert all(gone(pid) for pid in tree)
    assert kept.status() == []
    with pytest.raises(EngineError, match="no kept engine is called"):
        kept.stop("some/model")


KEEPER = """
import sys
from ttsc.backends.sglang import kept, launcher
from ttsc.backends.sglang.server_command import ServerCommand
stub = sys.argv[1]
launcher.require_sglang = lambda: None
launcher.resolve = kept.resolve = lambda model, progress: model
def command(path, port, **options):
    return ServerCommand((sys.executable, stub, "--port", str(port), "--start-delay-s", "1"))
launcher.server_command = command
print(kept.start_daemon("some/model", timeout_s=30).guard_pid)
"""


def test_a_kept_engine_outlives_its_starter_and_two_starts_give_one() -> None:
    arguments = [sys.executable, "-c", KEEPER, STUB]
    starters = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    guards = {int(starter.communicate(timeout=60)[0]) for starter in starters}
    assert len(guards) == 1
    time.sleep(0.6)
    record = kept.find_running("some/model")
    assert record is not None
    assert record.guard_pid in guards
    kept.stop()
    assert gone(record.guard_pid)


def test_a_killed_start_leaves_nothing_and_does_not_block_the_next(stub_engine: Callable[..., None]) -> None:
    slow = KEEPER.replace('"--start-delay-s", "1"', '"--start-delay-s", "300"')
    with subprocess.Popen([sys.executable, "-c", slow, STUB]) as starter:
        deadline = time.monotonic() + 20
        while not (records := state.records()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert records
        assert kept.status()[0].condition == "starting"
        assert kept.find_running("some/model") is None
        starter.kill()
    assert gone(records[0].guard_pid)
    record = kept.start_daemon("some/model", timeout_s=30)
    assert record.alive


def test_a_reused_process_id_is_not_taken_for_the_engine(stub_engine: Callable[..., None]) -> None:
    record = kept.start_daemon("some/model", timeout_s=30)
    kept.stop()
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        path = state.record_path(record.name)
        stale = {field: getattr(record, field) for field in record.__slots__}
        path.write_text(json.dumps({**stale, "guard_pid": stranger.pid}))
        assert kept.find_running("some/model") is None
        assert kept.status()[0].condition == "dead"
        kept.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_the_death_of_a_kept_engine_is_explained(stub_engine: Callable[..., None]) -> None:
    stub_engine("--live-s", "2", "--last-words", "MemoryError: no more")
    record = kept.start_daemon("some/model", timeout_s=30)
    assert gone(record.guard_pid)
    (status,) = kept.status()
    assert status.condition == "dead"
    assert status.end is not None
    assert status.end.cause == "out-of-memory"


def test_half_written_records_are_ignored() -> None:
    state.record_path("broken").write_text('{"name": "bro')
    assert state.records() == []
    assert kept.find_running("m") is None


def test_start_lock_times_out_and_is_released() -> None:
    waited = threading.Event()
    second = state.start_lock("m", 0.3, waited.set)
    with state.start_lock("m", 5, lambda: None), pytest.raises(EngineUnavailable, match="another process"), second:
        pass
    assert waited.is_set()
    with state.start_lock("m", 0.3, lambda: None):
        pass


def test_a_log_without_a_status_still_explains(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("torch.cuda.OutOfMemoryError: CUDA out of memory\n")
    end = explain_end(tmp_path / "none.json", tmp_path / "log")
    assert end is not None
    assert end.cause == "out-of-memory"
