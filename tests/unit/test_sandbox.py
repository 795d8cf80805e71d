"""Untrusted Python stays inside, and only code whose tests ran passes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from ttsc.runtime import confinement
from ttsc.runtime.sandbox import MAX_OUTPUT, SandboxUnavailable, _verdict, run_python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Landlock and seccomp are Linux's")


def output(code: str, *tests: str, timeout_s: float = 10.0) -> str:
    result = run_python(code, list(tests), timeout_s)
    assert not result.passed, result.output
    return result.output


def test_code_that_works_passes() -> None:
    result = run_python("def add(a, b):\n    print('adding')\n    return a + b", ["assert add(1, 2) == 3", "add(0, 0)"])
    assert result.passed and result.output == "adding\nadding\n"


def test_the_output_says_what_failed() -> None:
    said = output("def add(a, b):\n    return a - b", "assert add(0, 0) == 0", "assert add(1, 2) == 3")
    assert "test 2 failed" in said and "assert add(1, 2) == 3" in said and "AssertionError" in said
    said = output("def f():\n    return 1 / 0\n", "f()")
    assert "return 1 / 0" in said and "ZeroDivisionError" in said and "sandbox_child" not in said
    assert "SyntaxError" in output("def f(:")
    assert "SyntaxError" in output("x = 1", "assert ==")


@pytest.mark.parametrize(
    "code",
    [
        "import sys; sys.exit(0)",
        "import os; os._exit(0)",
        "raise SystemExit",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "import atexit; atexit.register(print, 'passed')\nraise ValueError",
        "print('passed\\n' * 100); raise ValueError",
        "import os\nfor fd in range(3, 30):\n    try: os.write(fd, b'passed')\n    except OSError: pass",
        "import builtins\nbuiltins.exec = builtins.compile = lambda *a: None",
        "import os\nos.read = lambda *a: b''\nos._exit = lambda *a: None",
        "import sys\nsys.modules['solution'] = None",
    ],
)
def test_a_pass_cannot_be_faked(code: str) -> None:
    assert not run_python(code, ["assert False"]).passed


def test_leaving_early_is_no_pass_even_without_tests() -> None:
    assert "before its tests had passed" in output("import os; os._exit(0)")
    assert "SystemExit" in output("import sys; sys.exit(0)")


def test_files_outside_cannot_be_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    secret.chmod(0o666)
    for path in ("/etc/passwd", str(secret), "/proc/self/environ", "/proc/self/maps", os.path.abspath(__file__)):
        assert "PermissionError" in output(f"print(open({path!r}).read())"), path
    for folder in ("/", "/tmp", str(tmp_path), "/proc"):
        assert "PermissionError" in output(f"import os; print(os.listdir({folder!r}))"), folder


def test_nothing_is_written_outside(tmp_path: Path) -> None:
    target = tmp_path / "written"
    for call in (
        f"open({str(target)!r}, 'w')",
        f"os.mkdir({str(target)!r})",
        f"os.symlink('/etc', {str(target)!r})",
        f"os.rename('mine', {str(target)!r})",
        f"os.chmod({str(tmp_path)!r}, 0)",
        f"os.unlink({str(tmp_path / 'kept')!r})",
        f"os.link({str(tmp_path / 'kept')!r}, 'linked')",
    ):
        (tmp_path / "kept").write_text("kept")
        said = output(f"import os\nopen('mine', 'w').write('x')\n{call}")
        assert "PermissionError" in said or "OSError" in said, (call, said)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["kept"]


def test_its_own_folder_is_empty_writable_and_removed() -> None:
    result = run_python("import os\nassert os.listdir() == []\nopen('a', 'w').write('x')\nprint(os.getcwd())", [])
    assert result.passed, result.output
    assert not os.path.exists(result.output.strip())


def test_the_environment_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTSC_TEST_SECRET", "hidden")
    result = run_python("import os; print(sorted(os.environ))", [])
    assert result.output.strip() == "['LC_ALL']"


def test_there_is_no_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert "PermissionError" in output(f"import socket; socket.create_connection(('127.0.0.1', {port}))")
    assert "PermissionError" in output("import socket; socket.socket(socket.AF_UNIX)")
    assert "PermissionError" in output("import socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)")
    assert "PermissionError" in output("import socket; socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)")


def test_there_are_no_other_processes() -> None:
    for code in (
        "import subprocess; subprocess.run(['true'])",
        "import os; os.system('true') and 1 / 0",
        "import os; os.fork()",
        "import os; os.execv('/bin/true', ['true'])",
        "import os; os.posix_spawn('/bin/true', ['true'], {})",
        "import multiprocessing; multiprocessing.Process(target=print).start()",
    ):
        assert not run_python(code, []).passed, code
    assert "PermissionError" in output(f"import os; os.kill({os.getpid()}, 10)")


def test_a_fork_bomb_is_no_bomb() -> None:
    started = time.monotonic()
    assert "PermissionError" in output("import os\nwhile True:\n    os.fork()")
    assert "RuntimeError" in output(
        "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(60,)).start()"
    )
    assert time.monotonic() - started < 20


def test_a_memory_bomb_is_killed_or_refused() -> None:
    said = output("x = []\nwhile True:\n    x.append(bytearray(10**7))")
    assert "MemoryError" in said or "killed" in said


def test_an_endless_loop_and_a_sleep_time_out() -> None:
    for code in ("while True: pass", "import time; time.sleep(60)", "import signal\nsignal.pause()"):
        started = time.monotonic()
        assert "timed out after 0.5 s" in output(code, timeout_s=0.5)
        assert time.monotonic() - started < 10


def test_huge_output_is_cut() -> None:
    result = run_python("for _ in range(200):\n    print('x' * 10**5)", [])
    assert result.passed and len(result.output) < MAX_OUTPUT + 100 and result.output.endswith("[output cut]")


def test_files_are_limited() -> None:
    said = output("open('big', 'wb').write(bytes(10**8))")
    assert "OSError" in said or "signal" in said
    assert "MB of files" in output("for i in range(500):\n    open(f'f{i}', 'wb').write(bytes(10**6))")


@pytest.mark.parametrize(
    "call",
    [
        "libc.system(b'true')",
        "libc.execve(b'/bin/true', None, None)",
        "libc.ptrace(16, 1, 0, 0)",
        "libc.syscall(NUMBER['socket'], 2, 1, 0)",
        "libc.syscall(NUMBER['kill'], PARENT, 9)",
        "libc.syscall(NUMBER['unshare'], 0x10000000)",
        "libc.chmod(b'/etc/passwd', 0o777)",
        "libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)",
        "libc.prctl(22, 0, 0, 0, 0)",
        "libc.truncate(TARGET, 0)",
        "libc.setrlimit(7, b'\\xff' * 16)",
        "libc.open(b'/etc/passwd', 0)",
        "libc.memfd_create(b'x', 0)",
        "libc.syscall(NUMBER['io_uring_setup'], 8, ctypes.create_string_buffer(120))",
    ],
)
def test_ctypes_meets_the_kernels_no(call: str, tmp_path: Path) -> None:
    target = tmp_path / "kept"
    target.write_text("kept")
    arm = os.uname().machine == "aarch64"
    numbers = {"socket": 198, "kill": 129, "unshare": 97} if arm else {"socket": 41, "kill": 62, "unshare": 272}
    result = run_python(
        f"import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nPARENT = {os.getpid()}\n"
        f"NUMBER = { ({**numbers, 'io_uring_setup': 425})!r}\nTARGET = {os.fsencode(target)!r}\n"
        f"done = {call}\nassert done not in (0, 1) and done < 2**31, done",
        [],
    )
    assert result.passed or "status" in result.output or "signal" in result.output, result.output
    assert target.read_text() == "kept"


def test_it_dies_with_its_parent() -> None:
    code = "import time\nprint(__import__('os').getpid(), flush=True)\nopen('started', 'w').close()\ntime.sleep(60)"
    script = f"from ttsc.runtime.sandbox import run_python\nrun_python({code!r}, [], 60)"
    before = set(Path(tempfile.gettempdir()).glob("ttsc-run-*"))
    with subprocess.Popen([sys.executable, "-c", script]) as parent:
        try:
            deadline = time.monotonic() + 30
            while not (folders := _started(before)):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            children = _children(parent.pid)
            assert children
        finally:
            parent.kill()
    time.sleep(0.3)
    assert not [pid for pid in children if _alive(pid)]
    for folder in folders:
        shutil.rmtree(folder)


def _started(before: set[Path]) -> list[Path]:
    found = set(Path(tempfile.gettempdir()).glob("ttsc-run-*")) - before
    return [folder for folder in found if (folder / "started").exists()]


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def _alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_ordinary_libraries_work() -> None:
    result = run_python(
        "import asyncio, bisect, collections, dataclasses, decimal, fractions, functools, hashlib, heapq, itertools\n"
        "import json, math, random, re, sqlite3, statistics, string, tempfile, threading, typing, datetime\n"
        "async def f():\n    await asyncio.sleep(0.01)\n    return 3\n"
        "@dataclasses.dataclass\nclass Point:\n    x: int\n"
        "seen = []\nthread = threading.Thread(target=seen.append, args=(1,))\nthread.start(); thread.join()\n",
        ["assert asyncio.run(f()) == 3", "assert seen == [1]", "assert Point(1) == Point(1)", "random.random()"],
    )
    assert result.passed, result.output


def test_only_the_standard_library_is_there() -> None:
    assert "ModuleNotFoundError" in output("import pytest")


def test_without_walls_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SandboxUnavailable, match="TTSC_ALLOW_UNSANDBOXED"):
        _verdict(b"", b"unconfined:the kernel has no Landlock", "", 3, b"token")
    monkeypatch.setenv("TTSC_ALLOW_UNSANDBOXED", "1")
    assert run_python("import os; os.listdir('/')", ["assert True"]).passed


def test_wrong_timeouts_are_refused() -> None:
    with pytest.raises(ValueError, match="timeout_s"):
        run_python("", [], 0)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_filters_are_well_formed(machine: str) -> None:
    program = confinement.filter_program(machine, 1234)
    assert len(program) % 8 == 0 and len(program) // 8 < 4096
    instructions = [program[i : i + 8] for i in range(0, len(program), 8)]
    for at, instruction in enumerate(instructions):
        code, yes, no = instruction[0], instruction[2], instruction[3]
        if code in (0x15, 0x45):
            assert at + 1 + max(yes, no) < len(instructions)
