"""The launcher against a stub server: arguments, health, explained deaths, kept engines, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ttsc.backends.protocol import EngineUnavailable
from ttsc.backends.sglang import death, launcher, server_command, state
from ttsc.backends.sglang.health import LogPhases, wait_ready
from ttsc.backends.sglang.process import EngineProcess
from ttsc.backends.sglang.server_command import ServerCommand, cuda_command, free_port

sys.path.insert(0, str(Path(__file__).parent))
from stub_launch import STUB, gone, own_state, stub_engine_fixture  # noqa: E402, F401 (fixtures)


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
    log.write_text(
        "requests.exceptions.ConnectionError: refused\nThe server is fired up and ready to roll!\n"
        "SIGQUIT received. signum=None, frame=None. It usually means one child failed."
    )
    end = death.explain(None, int(signal.SIGKILL), log)
    assert end.cause == "killed"
    assert "one of its processes" in end.summary
    assert not any("refused" in line for line in end.lines)
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
