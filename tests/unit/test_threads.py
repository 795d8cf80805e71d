"""Threads for host functions: one is used again when it is free, and not while its work goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from ttsc.runtime.threads import in_thread


def ran_in(*before: Callable[[], None]) -> int:
    """The thread that work runs in."""
    found: SimpleQueue[int] = SimpleQueue()

    def work() -> None:
        for each in before:
            each()
        found.put(threading.get_ident())

    in_thread(work)
    return found.get(timeout=10)


def test_a_free_thread_is_used_again() -> None:
    assert len({ran_in() for _ in range(100)}) < 50


def test_work_that_goes_on_keeps_its_thread_to_itself() -> None:
    begun, end = threading.Event(), threading.Event()
    busy: list[int] = []

    def long() -> None:
        busy.append(threading.get_ident())
        begun.set()
        end.wait(10)

    in_thread(long)
    assert begun.wait(10)
    others = {ran_in() for _ in range(20)}
    end.set()
    assert busy[0] not in others
