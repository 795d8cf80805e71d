"""Threads for work that may block: each piece of work has one to itself, and one that is free is used again.

The number of threads is not limited here. They are daemons: one whose work never ends can't keep the process alive.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

_IDLE_S = 5.0
"""A thread that has had nothing to do for so long ends."""


class _Thread:
    """One thread and what it is to do next."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.work.put(work)
        threading.Thread(target=self._run, name="ttsc-extern", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                work = self.work.get(timeout=_IDLE_S)
            except Empty:
                if _retired(self):
                    return
                continue
            work()
            del work  # what it holds is nobody's while the thread is idle
            with _lock:
                _free.append(self)


_lock = threading.Lock()
_free: list[_Thread] = []
"""Those that wait for work, the one that has worked last at the end."""


def in_thread(work: Callable[[], None]) -> None:
    """Have it done, beside everything else. It must not raise."""
    with _lock:
        thread = _free.pop() if _free else None
    if thread is None:
        _Thread(work)
    else:
        thread.work.put(work)


def _retired(thread: _Thread) -> bool:
    """Whether it could be taken off the list: if not, there is work on its way."""
    with _lock:
        if thread not in _free:
            return False
        _free.remove(thread)
        return True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free.clear)  # a child has none of its parent's threads
