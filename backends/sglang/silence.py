"""Telling a server that has hung from one that is only busy.

A decode may be silent for minutes, and a closed connection or a dead process is noticed at once; what is left is a
server that has accepted a request and never answers. While one has been silent for long, the server's health is asked
aside: as long as that is answered, waiting goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from ttsc.backends.protocol import EngineError, EngineUnavailable
from ttsc.backends.sglang.http1 import HttpConnection

DEFAULT_SILENCE_S = 60.0
_FAILED_CHECKS = 3


class SilenceWatch:
    """Watches the requests that compute. It costs a timer as long as any is under way."""

    def __init__(
        self,
        busy: Callable[[], Iterable[HttpConnection]],
        url: str,
        silence_s: float,
        healthy: Callable[[float], Awaitable[bool]],
    ) -> None:
        """`busy()`: the connections whose answer has not ended. `healthy(timeout_s)`: whether the server answers a
        question about its health.
        """
        self._busy = busy
        self._url = url
        self._silence_s = silence_s
        self._healthy = healthy
        self._timer: asyncio.TimerHandle | None = None
        self._check: asyncio.Task[None] | None = None
        self._well_s = 0.0
        self.hung = False
        """Whether requests were given up, and the server has not said since that it is well."""

    async def recovered(self, timeout_s: float) -> None:
        """Whether a server that has hung is well again. Raises `EngineUnavailable`."""
        if not self.hung:
            return
        if not await self._healthy(timeout_s):
            raise self._unavailable("it does not answer when asked how it is")
        self.hung = False

    def begin(self) -> None:
        """A request has been sent."""
        if self._timer is None and self._check is None:
            self._timer = asyncio.get_running_loop().call_later(self._silence_s, self._look)

    def close(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
        if self._check is not None:
            self._check.cancel()

    def _look(self) -> None:
        self._timer = None
        heard_s = min((connection.heard_s for connection in self._busy()), default=None)
        if heard_s is None:
            return
        loop = asyncio.get_running_loop()
        due = max(heard_s, self._well_s) + self._silence_s
        if due > loop.time():
            self._timer = loop.call_at(due, self._look)
            return
        self._check = loop.create_task(self._ask(), name="silence")
        self._check.add_done_callback(self._asked)

    def _asked(self, _task: asyncio.Task[None]) -> None:
        self._check = None
        if any(True for _ in self._busy()):
            self.begin()

    async def _ask(self) -> None:
        """Ask until the server answers for itself, or has failed to often enough."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(_FAILED_CHECKS):
            asked = loop.time()
            try:
                well = await self._healthy(self._silence_s / 2)
            except EngineError:
                well = False
            if well:
                self._well_s = loop.time()
                return
            # One that fails at once gets as much time as one that does not answer.
            await asyncio.sleep(max(0.0, asked + self._silence_s / 4 - loop.time()))
        for connection in tuple(self._busy()):
            if connection.heard_s <= began:
                self.hung = True
                silent_s = loop.time() - connection.heard_s
                why = f"it has been silent for {silent_s:.0f} s, and does not answer when asked how it is"
                connection.give_up(self._unavailable(why))

    def _unavailable(self, why: str) -> EngineUnavailable:
        hint = "restart it; `ttsc engine logs` says what it was doing"
        error = EngineUnavailable(f"the engine at {self._url} has hung: {why}", hint)
        error.retryable = True
        return error
