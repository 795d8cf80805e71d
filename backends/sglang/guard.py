"""A small process that owns one SGLang server and never lets it outlive its purpose.

SGLang's server spawns scheduler and detokenizer processes of its own, so ending the server's main process from outside
is not enough, and a parent that is killed outright (SIGKILL, the kernel's memory killer) cannot end anything at all.
`PR_SET_PDEATHSIG` does not help: it is tied to the *thread* that forked, and it does not reach grandchildren. The
launcher therefore starts this guard, and the guard starts the server:

    parent ──pipe──▶ guard (own session, subreaper) ──▶ server (own session) ──▶ scheduler, detokenizer, …

- The parent holds the write end of a pipe and never writes to it. When the parent ends, however it ends, the guard
  reads end-of-file and ends the whole tree. A parent forked without exec could hold that end open, so the guard also
  watches its own parent id.
- The byte `D` on that pipe means "detach": the engine is kept, and only a signal ends it.
- As a subreaper (Linux) the guard adopts every orphan of the tree, so the tree can always be listed and ended.
- If the guard itself is killed outright, the server's main process goes with it (`PR_SET_PDEATHSIG`, set by this
  single-threaded process), and SGLang's children follow their parent by SGLang's own means.

The server's output goes through the guard into one log file, which is rotated once it is too large. How the server
ended is written to a status file as JSON. Run by path, with the standard library only: it must start fast, and must
not depend on what a broken installation can still import.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from typing import BinaryIO

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
TICK_S = 0.2
# SGLang polls for its own shutdown every few seconds, and has nothing to save.
GRACE_S = 1.0
LOG_LIMIT_BYTES = 32 * 1024 * 1024
DETACH = b"D"


def _prctl(option: int, value: int) -> None:
    """Call Linux's prctl; elsewhere do nothing (the process group is then all we have)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def parent_ids() -> dict[int, int]:
    """Every process of this machine that we can see, with its parent."""
    table: dict[int, int] = {}
    if os.path.isdir("/proc/self"):
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    with open(f"/proc/{entry}/stat", "rb") as stat:
                        # The command name may hold spaces and brackets: fields count from the last bracket.
                        table[int(entry)] = int(stat.read().rpartition(b")")[2].split()[1])
                except (OSError, ValueError, IndexError):
                    continue
        return table
    listing = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=False).stdout
    for line in listing.splitlines():
        pid, ppid = line.split()
        table[int(pid)] = int(ppid)
    return table


def descendants(root: int) -> list[int]:
    """All processes below `root`, without `root` itself."""
    children: dict[int, list[int]] = {}
    for pid, ppid in parent_ids().items():
        children.setdefault(ppid, []).append(pid)
    found: list[int] = []
    pending = list(children.get(root, ()))
    while pending:
        pid = pending.pop()
        found.append(pid)
        pending.extend(children.get(pid, ()))
    return found


class Log:
    """An append-only file that keeps one older part of itself: `path` and `path.1`."""

    def __init__(self, path: str, limit_bytes: int) -> None:
        self._path = path
        self._limit = limit_bytes
        self._file: BinaryIO = open(path, "ab", buffering=0)  # noqa: SIM115 (lives as long as the guard)
        self._size = self._file.tell()

    def write(self, data: bytes) -> None:
        if self._size + len(data) > self._limit:
            self._file.close()
            os.replace(self._path, self._path + ".1")
            self._file = open(self._path, "ab", buffering=0)  # noqa: SIM115
            self._size = 0
        try:
            self._file.write(data)
        except OSError:
            return  # a full disk must not take the server down with it
        self._size += len(data)


class Guard:
    """Runs one server to its end."""

    def __init__(self, command: list[str], log: Log, status_path: str, pipe: int, grace_s: float) -> None:
        self._command = command
        self._log = log
        self._status_path = status_path
        self._pipe: int | None = pipe
        self._grace_s = grace_s
        self._parent = os.getppid()
        self._reason = ""
        self._server: subprocess.Popen[bytes] | None = None
        self._ended: int | None = None

    def _write_status(self, **facts: object) -> None:
        temporary = f"{self._status_path}.{os.getpid()}"
        with open(temporary, "w", encoding="utf-8") as out:
            json.dump({"guard_pid": os.getpid(), "at": time.time(), **facts}, out)
        os.replace(temporary, self._status_path)

    def _on_signal(self, number: int, _frame: object) -> None:
        self._reason = self._reason or "stopped"

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        try:
            server = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: _prctl(PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509 (single-threaded)
            )
        except OSError as error:
            self._log.write(f"cannot start {self._command[0]}: {error}\n".encode())
            self._write_status(state="ended", reason="spawn", exit_code=127, signal=None)
            return 127
        self._server = server
        self._write_status(state="running", server_pid=server.pid)
        self._watch(server)
        self._end_tree(server)
        code = self._ended if self._ended is not None else 0
        self._write_status(
            state="ended",
            server_pid=server.pid,
            reason=self._reason or "exited",
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
        )
        return 0

    def _watch(self, server: subprocess.Popen[bytes]) -> None:
        """Copy output and wait until the server ends or must end."""
        assert server.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(server.stdout, selectors.EVENT_READ)
            if self._pipe is not None:
                selector.register(self._pipe, selectors.EVENT_READ)
            while not self._reason and self._ended is None:
                for key, _events in selector.select(TICK_S):
                    if key.fd == self._pipe:
                        self._on_pipe(selector)
                    elif not self._copy(key.fd):
                        selector.unregister(key.fileobj)
                self._reap(server)
                if self._pipe is not None and os.getppid() != self._parent:
                    self._reason = self._reason or "parent ended"

    def _on_pipe(self, selector: selectors.BaseSelector) -> None:
        assert self._pipe is not None
        word = os.read(self._pipe, 1)
        if word != DETACH:
            self._reason = self._reason or "parent ended"
        selector.unregister(self._pipe)
        os.close(self._pipe)
        self._pipe = None

    def _copy(self, fd: int) -> bool:
        data = os.read(fd, 65536)
        if data:
            self._log.write(data)
        return bool(data)

    def _reap(self, server: subprocess.Popen[bytes]) -> None:
        """Collect ended children, the adopted ones too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == server.pid:
                self._ended = server.returncode = os.waitstatus_to_exitcode(status)

    def _end_tree(self, server: subprocess.Popen[bytes]) -> None:
        """End every process of the tree: politely, and after `grace_s` by force, until none is left."""
        assert server.stdout is not None
        os.set_blocking(server.stdout.fileno(), False)
        if self._ended is None:
            self._send(signal.SIGTERM, [server.pid])
        deadline = time.monotonic() + self._grace_s
        forced = False
        while True:
            self._drain(server.stdout.fileno())
            self._reap(server)
            alive = descendants(os.getpid())
            if not alive and self._ended is not None:
                self._drain(server.stdout.fileno())
                return
            # An orphan of a dead server has nobody left to shut it down politely.
            if time.monotonic() > deadline or self._ended is not None:
                self._send(signal.SIGKILL, alive)
                if forced and time.monotonic() > deadline + 10 * self._grace_s:
                    self._log.write(f"processes that cannot be ended: {alive}\n".encode())
                    return
                forced = True
            time.sleep(0.05)

    def _drain(self, fd: int) -> None:
        try:
            while self._copy(fd):
                pass
        except BlockingIOError:
            return

    @staticmethod
    def _send(number: int, pids: list[int]) -> None:
        for pid in pids:
            try:
                os.kill(pid, number)
            except (ProcessLookupError, PermissionError):
                continue


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description="own one server process tree")
    parser.add_argument("--status", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--pipe", type=int, required=True)
    parser.add_argument("--grace-s", type=float, default=GRACE_S)
    parser.add_argument("--log-limit-bytes", type=int, default=LOG_LIMIT_BYTES)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(argv)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    os.set_inheritable(options.pipe, False)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    log = Log(options.log, options.log_limit_bytes)
    return Guard(command, log, options.status, options.pipe, options.grace_s).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
