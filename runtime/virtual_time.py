"""An event loop whose clock is virtual: where a real one would wait, it jumps to the next timer.

Time passes only when nothing is ready, so whatever an event sets off has happened before the next one, and a program
that waits for hours runs in the time that its own work takes.

Work outside of the loop (a host function in a thread, a file's writer) takes none of its time: who waits for it says so
(`outside.py`), and the clock stands still until it is there. What waits for anything else out there waits in vain:
without a timer to jump to, the loop raises `Stalled`.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_MOMENT_S = 1e-7
"""A jump that is longer than the clock's resolution."""


_PATIENCE_S = 60.0
"""Real seconds that work outside of the loop is waited for. Then the clock goes on, so that timeouts end the wait."""
_OWN_FILES = 1
"""Files that a loop itself watches: the end of its pipe."""


class Stalled(Exception):
    """Everything waits, and there is no timer."""


class _Jumping(selectors.DefaultSelector):
    """Takes what is ready, and calls `jump` with the seconds that it should have waited for more. `outside`: how many
    wait for work outside; `calls`: how many for coroutines that may wait for files of their own.
    """

    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump
        self.outside = 0
        self.calls = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self.outside:
            ready = super().select(_PATIENCE_S)
        elif self.calls and len(self.get_map()) > _OWN_FILES:
            ready = super().select(_PATIENCE_S if timeout is None else min(timeout, _PATIENCE_S))
        if ready:
            return ready
        if timeout is None:
            if self.outside or self.calls:
                return ready
            raise Stalled("everything waits, and nothing is going to happen")
        self._jump(timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Its time begins at 0 and is in seconds."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._jumping = _Jumping(self._pass)
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._now_s

    def _pass(self, seconds: float) -> None:
        self._now_s += seconds

    @contextmanager
    def outside(self, *, calls: bool) -> Iterator[None]:
        """See `ttsc.runtime.outside`."""
        self._jumping.outside += not calls
        self._jumping.calls += calls
        try:
            yield
        finally:
            self._jumping.outside -= not calls
            self._jumping.calls -= calls

    def advance_to(self, time_s: float) -> None:
        """Set the clock, if it is behind, without waiting for what is ready. Timers up to then fire next."""
        self._now_s = max(self._now_s, time_s)

    async def settled(self) -> None:
        """Until nothing is ready any more."""
        await asyncio.sleep(_MOMENT_S)

    async def sleep_until(self, time_s: float) -> None:
        """Until nothing is ready any more, and it is so late."""
        await asyncio.sleep(max(_MOMENT_S, time_s - self._now_s))


def run_in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a virtual clock, and give what it gives. What it has left running is cancelled.

    Raises `Stalled` if it waits for something that can't happen.
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)
