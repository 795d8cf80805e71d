"""The launcher against a stub server: arguments, health, explained deaths, kept engines, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ttsc.backends.protocol import EngineError, EngineUnavailable
from ttsc.backends.sglang import death, kept, launcher, server_command, state
from ttsc.backends.sglang.health import LogPhases, wait_ready
from ttsc.backends.sglang.process import EngineProcess, explain_end
from ttsc.backends.sglang.server_command import ServerCommand, cuda_command, free_port

STUB = str(Path(__file__).with_name("fake_sglang.py"))


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTSC_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def stub_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
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


def started(arguments: list[str], tmp_path: Path, grace_s: float = 0.5) -> EngineProcess:
    port = free_port()
    command = ServerCommand((sys.executable, STUB, "--port", str(port), *arguments))
    url = f"http://127.0.0.1:{port}"
    return EngineProcess(command, url=url, model="m", model_path="m", log_path=tmp_path / "engine.log", grace_s=grace_s)


def test_cuda_arguments_are_the_stock_command() -> None:
    plain = cuda_command("/models/m", 30001, deterministic=False, extra_args=("--tp", "2"))
    assert plain.argv[:3] == (sys.executable, "-m", "sglang.launch_server")
    assert plain.argv[3:9] == ("--model-path", "/models/m", "--host", "127.0.0.1", "--port", "30001")
    assert "--enable-metrics" in plain.argv
    assert "--enable-deterministic-inference" not in plain.argv
    assert plain.argv[-2:] == ("--tp", "2")
    assert plain.env == {}
    assert "--enable-deterministic-inference" in cuda_command("/models/m", 1, deterministic=True).argv


@pytest.mark.parametrize(("asked", "expected"), [(None, True), (True, True), (False, False)])
def test_cpu_arguments_honour_seeds_unless_told_otherwise(
    asked: bool | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_command, "cuda_available", lambda: False)
    command = server_command.server_command("/models/m", 30001, deterministic=asked)
    assert command.device == "cpu"
    assert command.deterministic is expected
    assert ("--enable-deterministic-inference" in command.argv) is expected
    assert command.argv[0] == sys.executable
    assert command.argv.count("--enable-metrics") == 1
    assert command.argv.count("--incremental-streaming-output") == 1
    assert {"--model-path", "/models/m", "--port", "30001", "--device", "cpu"} <= set(command.argv)
    assert command.env["SGLANG_PLATFORM"]


def test_a_gpu_is_deterministic_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_command, "cuda_available", lambda: True)
    assert server_command.server_command("m", 1).deterministic is False
    assert server_command.server_command("m", 1, deterministic=True).deterministic is True


def test_hidden_gpus_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    server_command.cuda_available.cache_clear()
    monkeypatch.setattr(server_command, "cuda_devices", lambda: ["NVIDIA H100, 81559 MiB"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert not server_command.cuda_available()
    server_command.cuda_available.cache_clear()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert server_command.cuda_available()
    server_command.cuda_available.cache_clear()


def test_missing_sglang_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_command.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineUnavailable) as caught:
        launcher.launch("m")
    assert "install" in caught.value.hint


def test_launch_waits_for_a_token_and_stops_everything(stub_engine: Callable[..., None], tmp_path: Path) -> None:
    stub_engine("--start-delay-s", "0.5", "--children", "2", "--say", "Load weight begin. avail mem=1 GB")
    said: list[str] = []
    process = launcher.launch("some/model", on_progress=said.append, timeout_s=30, log_path=tmp_path / "e.log")
    tree = psutil.Process(process.guard_pid).children(recursive=True)
    assert len(tree) == 3
    assert said[0] == "starting"
    assert any(line.startswith("loading weights") for line in said)
    process.stop()
    assert all(gone(member.pid) for member in tree)
    assert process.explain() is None
    assert "Load weight begin" in (tmp_path / "e.log").read_text()


def test_a_taken_port_is_replaced_by_another(stub_engine: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[int] = []

    def command(model_path: str, port: int, **options: object) -> ServerCommand:
        attempts.append(port)
        dying = (
            ["--say", "OSError: [Errno 98] Address already in use", "--exit-code", "1"] if len(attempts) == 1 else []
        )
        return ServerCommand((sys.executable, STUB, "--port", str(port), *dying))

    monkeypatch.setattr(launcher, "server_command", command)
    with launcher.launch("m", timeout_s=30):
        assert len(attempts) == 2
    attempts.clear()
    with pytest.raises(EngineUnavailable, match="port is taken"):
        launcher.launch("m", port=free_port(), timeout_s=30)
    assert len(attempts) == 1


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("ModuleNotFoundError: No module named 'sglang'", "sglang-missing"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "out-of-memory"),
        ("RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.", "out-of-memory"),
        ("OSError: [Errno 98] error while attempting to bind on address: address already in use", "port-taken"),
        ("OSError: x is not a local folder and is not a valid model identifier listed on", "model-missing"),
        (
            "ValueError: User-specified context_length (9) is greater than the derived context_length (8).",
            "context-too-long",
        ),
        ("launch_server.py: error: unrecognized arguments: --nope", "bad-argument"),
        ("OSError: [Errno 28] No space left on device", "disk-full"),
        ("ValueError: something new", ""),
    ],
)
def test_deaths_are_explained(stub_engine: Callable[..., None], line: str, cause: str) -> None:
    stub_engine(
        "--say",
        "config.json is fine, loading",
        "--say",
        "Traceback (most recent call last):",
        "--say",
        line,
        "--exit-code",
        "3",
    )
    with pytest.raises(EngineUnavailable) as caught:
        launcher.launch("m", port=free_port(), timeout_s=30)
    log = Path(caught.value.message.rpartition("(log: ")[2].rstrip(")")) if "(log: " in caught.value.message else None
    assert caught.value.hint
    if log is not None:
        assert "exited with code 3" in caught.value.message
        assert line in caught.value.message
        assert death.explain(3, None, log).cause == cause


def test_a_kill_from_outside_is_named(tmp_path: Path) -> None:
    process = started(["--die-by", "9"], tmp_path)
    with pytest.raises(EngineUnavailable, match="SIGKILL") as caught:
        wait_ready(process, 30, lambda message: None)
    assert "memory" in caught.value.hint
    process.stop()


def test_a_failed_child_is_not_taken_for_a_memory_kill(tmp_path: Path) -> None:
    log = tmp_path / "log"
    lines = [
        "Ignore import error when loading sglang.srt.models.x: No module named 'y'",
        "Scheduler hit an exception: Traceback (most recent call last):",
        '  File "x.py", line 1, in f',
        "RuntimeError: No supported accelerator (CUDA/XPU) available",
        "Received sigquit from a child process. It usually means the child failed.",
    ]
    log.write_text("\n".join(lines))
    end = death.explain(None, int(signal.SIGKILL), log)
    assert end.cause == ""
    assert end.summary == "the engine ended because one of its processes failed"
    assert lines[3] in end.lines
    assert lines[0] not in end.lines
    log.write_text("Subprocess scheduler_0 crashed with exit code -9. If exit code is -9 (SIGKILL), a common cause is")
    assert death.explain(None, int(signal.SIGKILL), log).cause == "killed"


def test_a_start_that_takes_too_long_says_what_it_was_doing(stub_engine: Callable[..., None]) -> None:
    stub_engine("--say", "Load weight begin.", "--start-delay-s", "60")
    began = time.monotonic()
    with pytest.raises(EngineUnavailable, match="it was loading weights"):
        launcher.launch("m", timeout_s=1.5)
    assert time.monotonic() - began < 15


def test_stubborn_servers_and_their_children_end_too(tmp_path: Path) -> None:
    process = started(["--stubborn", "--children", "2"], tmp_path)
    wait_ready(process, 30, lambda message: None)
    tree = psutil.Process(process.guard_pid).children(recursive=True)
    process.stop()
    assert all(gone(member.pid) for member in tree)


def test_children_of_a_crashed_server_end(tmp_path: Path) -> None:
    process = started(["--children", "2", "--live-s", "1.5"], tmp_path)
    wait_ready(process, 30, lambda message: None)
    tree = psutil.Process(process.guard_pid).children(recursive=True)
    assert len(tree) == 3
    assert all(gone(member.pid) for member in tree)
    end = process.explain(wait_s=5.0)
    assert end is not None
    assert "exited with code 1" in end.summary
    process.stop()


PARENT = """
import sys, time
from pathlib import Path
from ttsc.backends.sglang.process import EngineProcess
from ttsc.backends.sglang.server_command import ServerCommand
from ttsc.backends.sglang.health import wait_ready
stub, port, log = sys.argv[1:]
command = ServerCommand((sys.executable, stub, "--port", port, "--children", "2", "--stubborn"))
url = f"http://127.0.0.1:{port}"
process = EngineProcess(command, url=url, model="m", model_path="m", log_path=Path(log), grace_s=0.5)
wait_ready(process, 30, lambda message: None)
print(process.guard_pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_survives_a_killed_parent(tmp_path: Path, number: int) -> None:
    arguments = [sys.executable, "-c", PARENT, STUB, str(free_port()), str(tmp_path / "log")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        guard = int(parent.stdout.readline())
        tree = [guard, *(child.pid for child in psutil.Process(guard).children(recursive=True))]
        assert len(tree) == 4
        parent.send_signal(number)
        parent.wait(10)
        assert all(gone(pid) for pid in tree)


def test_nothing_survives_a_killed_guard(tmp_path: Path) -> None:
    process = started([], tmp_path)
    wait_ready(process, 30, lambda message: None)
    tree = psutil.Process(process.guard_pid).children(recursive=True)
    os.kill(process.guard_pid, signal.SIGKILL)
    assert all(gone(member.pid) for member in tree)
    process.stop()


def test_a_log_is_rotated(tmp_path: Path) -> None:
    from ttsc.backends.sglang.guard import Log

    log = Log(str(tmp_path / "l"), limit_bytes=10)
    for _ in range(4):
        log.write(b"12345678")
    assert (tmp_path / "l").read_bytes() == b"12345678"
    assert (tmp_path / "l.1").read_bytes() == b"12345678"


def test_only_the_newest_logs_are_kept(stub_engine: Callable[..., None]) -> None:
    for _ in range(15):
        state.new_log_path("m").write_text("x")
    assert len(list((state.state_dir() / "logs").glob("*.log"))) <= 10


def test_phases_only_move_forward(tmp_path: Path) -> None:
    log = tmp_path / "log"
    phases = LogPhases(log)
    assert phases.advance() is None
    log.write_text("Load weight begin.\nhalf a li")
    assert phases.advance() == "loading weights"
    with log.open("a") as out:
        out.write("ne: KV Cache is allocated\n")
    assert phases.advance() == "allocating the KV cache"
    with log.open("a") as out:
        out.write("Load weight begin.\n")
    assert phases.advance() is None


# -- kept engines -----------------------------------------------------------------------------------------------


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
    stub_engine("--live-s", "2", "--say", "MemoryError: no more")
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
