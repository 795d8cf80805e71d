"""Waiting for work outside of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def outside(*, calls: bool = False) -> Iterator[None]:
    """Around a wait for something that no timer of the running loop brings about: a virtual clock (`virtual_time.py`)
    stands still meanwhile. With `calls` for a coroutine of somebody else, which may wait for files, then at their own
    pace, or for timers, then at the clock's. A loop without such a clock is not told.
    """
    told = getattr(asyncio.get_running_loop(), "outside", None)
    if told is None:
        yield
        return
    with told(calls=calls):
        yield
