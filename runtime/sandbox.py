"""Runs Python that a model wrote: the standard library's extern `run_python`.

The code runs in a process of its own (`sandbox_child.py`) with an empty environment, in an empty folder that is
removed afterwards, confined by the kernel (`confinement.py`), and killed with its process group at the timeout.
Without Landlock or seccomp it is refused, unless TTSC_ALLOW_UNSANDBOXED=1 says that the machine itself is the
sandbox.

"Passed" means that the code ran to its end and every test after it. It is not read off the output: the child must
return a random token, which the harness fetches only after the last test. Code that prints whatever it likes, exits
early, or replaces builtins does not pass. Code written to attack the harness itself (walking interpreter frames for
the pipe) shares an interpreter with it and is not held off by this; it gains a wrong verdict, never a way out of the
sandbox.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ALLOW_UNSANDBOXED = "TTSC_ALLOW_UNSANDBOXED"
MAX_OUTPUT = 64 * 1024
"""Bytes of output that are kept."""
MAX_TIMEOUT_S = 300.0
MEMORY_BYTES = 512 * 1024 * 1024
FILE_BYTES = 8 * 1024 * 1024
FOLDER_BYTES = 32 * 1024 * 1024
"""All files of a run together; looked at while it runs."""
_WATCH_S = 0.1


@dataclass(frozen=True, slots=True)
class Execution:
    """`passed`: the code ended and all tests held. `output`: what it printed, and why it failed."""

    passed: bool
    output: str


class SandboxUnavailable(RuntimeError):
    """This machine cannot confine untrusted code."""


def run_python(code: str, tests: list[str], timeout_s: float = 5.0) -> Execution:
    """Run `code`, then each of `tests` (statements, say an assert) in its namespace, confined. Blocks.

    Only the standard library can be imported. Raises `SandboxUnavailable`.
    """
    if not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise ValueError(f"timeout_s must be above 0 and at most {MAX_TIMEOUT_S:g}")
    folder = tempfile.mkdtemp(prefix="ttsc-run-")
    try:
        return _run(code, list(tests), timeout_s, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(code: str, tests: Sequence[str], timeout_s: float, folder: str) -> Execution:
    token = secrets.token_hex(16).encode()
    secret, secret_in = os.pipe()
    answer_out, answer = os.pipe()
    child = str(Path(__file__).with_name("sandbox_child.py"))
    try:
        os.write(secret_in, token)
        process = subprocess.Popen(
            [os.path.realpath(sys.executable), "-I", "-S", "-X", "utf8", child],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={"LC_ALL": "C.UTF-8"},
            pass_fds=(secret, answer),
            start_new_session=True,
        )
    finally:
        for end in (secret, secret_in, answer):
            os.close(end)
    try:
        job = {
            "code": code, "tests": tests, "secret": secret, "answer": answer,
            "confined": os.environ.get(ALLOW_UNSANDBOXED) != "1",
            "stdlib": os.path.realpath(sysconfig.get_path("stdlib")),
            "cpu_s": int(timeout_s) + 2, "memory_bytes": MEMORY_BYTES, "file_bytes": FILE_BYTES,
        }  # fmt: skip
        output, said, stopped = _watch(process, json.dumps(job).encode(), answer_out, timeout_s, folder)
    finally:
        os.close(answer_out)
        _kill(process)
    return _verdict(output, said, stopped, process.returncode, token)


def _watch(
    process: subprocess.Popen[bytes], job: bytes, answer: int, timeout_s: float, folder: str
) -> tuple[bytes, bytes, str]:
    """Feed the job and collect output and answer, until the process ends or has to be stopped; why, if so."""
    assert process.stdin is not None and process.stdout is not None
    output, said, stopped = bytearray(), bytearray(), ""
    pending = memoryview(job)
    deadline = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        os.set_blocking(process.stdin.fileno(), False)
        selector.register(process.stdin, selectors.EVENT_WRITE)
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(answer, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                stopped = f"timed out after {timeout_s:g} s"
                break
            if _folder_bytes(folder) > FOLDER_BYTES:
                stopped = f"wrote more than {FOLDER_BYTES // 2**20} MB of files"
                break
            for key, _ in selector.select(min(left, _WATCH_S)):
                if key.fileobj is process.stdin:
                    with suppress(BrokenPipeError):
                        pending = pending[os.write(key.fd, pending[:65536]) :]
                        if pending:
                            continue
                    selector.unregister(process.stdin)
                    process.stdin.close()
                    continue
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stdout:
                    output += data[: MAX_OUTPUT + 1 - len(output)]
                else:
                    said += data[: 4096 - len(said)]
    if not stopped:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()) + 1)
    return bytes(output), bytes(said), stopped


def _folder_bytes(folder: str) -> int:
    total = 0
    with suppress(OSError):
        for entry in os.scandir(folder):
            with suppress(OSError):
                total += entry.stat(follow_symlinks=False).st_size + 512
    return total


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


def _verdict(output: bytes, said: bytes, stopped: str, status: int, token: bytes) -> Execution:
    if said.startswith(b"unconfined:"):
        why = said.partition(b":")[2].decode(errors="replace")
        raise SandboxUnavailable(
            f"cannot confine untrusted code on this machine: {why}. Set {ALLOW_UNSANDBOXED}=1 to run it unconfined, "
            "if the machine itself is a sandbox"
        )
    text = output[:MAX_OUTPUT].decode("utf-8", errors="replace")
    if len(output) > MAX_OUTPUT:
        text += "\n[output cut]"
    passed = not stopped and status == 0 and hmac.compare_digest(said, token)
    if not passed:
        why = stopped or _ending(status, bool(text))
        text = f"{text.rstrip()}\n{why}".lstrip() if why else text
    return Execution(passed, text)


def _ending(status: int, explained: bool) -> str:
    """How a process ended that did not pass, where its output does not say so."""
    if status == -signal.SIGXCPU or status == -signal.SIGKILL:
        return "killed: too much CPU time or memory"
    if status < 0:
        return f"killed by signal {-status}"
    if status == 1 and explained:
        return ""
    return f"the process ended with status {status} before its tests had passed"
