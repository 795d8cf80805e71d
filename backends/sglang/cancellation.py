"""Requests that a server has not ended yet, and how they are aborted.

An abort that overtakes its request is ignored by SGLang, silently, and so is one that gets lost: it is repeated until
the request has ended. A closed connection is no abort (the server notices after seconds): what nobody waits for any
more is aborted by id, too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any

from ttsc.backends.protocol import EngineError

# When to repeat an abort, in seconds after the first: quickly at first, for one that overtook its request. One whose
# tokens have been seen can't be overtaken, and a server that is about to stop it has other things to do.
_AGAIN_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
_SEEN_AGAIN_S = _AGAIN_S[4:]
_REPEATED_S = 2.0
_TOLD_S = 10.0

# An abort is a round trip of a millisecond: a few connections, kept open, carry more of them than one for each would.
_AT_ONCE = 16


class Outstanding:
    """A request that the server has not ended yet. As a context: from before it is sent until its answer is here."""

    __slots__ = ("_aborts", "_over", "aborted", "ended", "request_id", "seen", "wire_id")

    def __init__(self, aborts: Aborts, request_id: str) -> None:
        self._aborts = aborts
        self._over: asyncio.Event | None = None
        self.request_id = request_id
        self.wire_id = request_id
        """The id that the server has it by."""
        self.aborted = False
        self.ended = False
        self.seen = False
        """Whether a token of it has arrived."""

    def __enter__(self) -> Outstanding:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Cancelled, or the caller's own `on_progress` failed. Nobody waits any more: the server would go on for
        # seconds after the connection closed.
        self._aborts.end(self, deserted=error is not None and not isinstance(error, EngineError))
        self.ended = True
        if self._over is not None:
            self._over.set()

    async def over(self, within_s: float) -> bool:
        """Whether it has ended, now or in a while."""
        if not self.ended:
            self._over = self._over or asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._over.wait()
        return self.ended


class Aborts:
    """The outstanding requests of one engine by id, and the aborts that are under way."""

    def __init__(self, tell: Callable[[str], Awaitable[bool]]) -> None:
        """`tell` asks the server to stop one request; whether it took note."""
        self._tell_server = tell
        self._outstanding: dict[str, Outstanding] = {}
        self._telling: set[asyncio.Task[None]] = set()
        self._repeating: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def begin(self, request_id: str) -> Outstanding:
        """A request that is about to be sent. Raises `EngineError` if one of this id is outstanding."""
        if request_id in self._outstanding:
            raise EngineError(f"request id {request_id!r} is already in flight")
        request = self._outstanding[request_id] = Outstanding(self, request_id)
        return request

    def end(self, request: Outstanding, *, deserted: bool) -> None:
        """Its answer is here, or it is `deserted`: nobody will see its end."""
        self._outstanding.pop(request.request_id, None)
        if deserted:
            self._spawn(self._telling, self._desert(request))

    async def abort(self, request_ids: Sequence[str]) -> None:
        """Ask the server to stop working on these; returns once it has been told. Repeated until they have ended."""
        found = (self._outstanding.get(request_id) for request_id in request_ids)
        fresh = [request for request in found if request is not None and not request.aborted]
        for request in fresh:
            request.aborted = True
        told = await asyncio.gather(*(self._tell(request) for request in fresh))
        for request, arrived in zip(fresh, told, strict=True):
            if not request.ended:
                again = _SEEN_AGAIN_S if arrived and request.seen else _AGAIN_S
                self._spawn(self._repeating, self._insist(request, again))

    async def close(self) -> None:
        """Wait until the server has been told of everything, and a moment for what is repeated."""
        if self._telling:
            await asyncio.wait(tuple(self._telling), timeout=_TOLD_S)
        if self._repeating:
            await asyncio.wait(tuple(self._repeating), timeout=_REPEATED_S)
        left = [*self._telling, *self._repeating]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _tell(self, request: Outstanding) -> bool:
        async with self._slots:
            return await self._tell_server(request.wire_id)

    async def _insist(self, request: Outstanding, again_s: Sequence[float]) -> None:
        for delay_s in again_s:
            if await request.over(delay_s):
                return
            await self._tell(request)

    async def _desert(self, request: Outstanding) -> None:
        """Abort a request whose end nobody will see, because its connection is closed."""
        await self._tell(request)
        if not request.seen:
            self._spawn(self._repeating, self._again(request))

    async def _again(self, request: Outstanding) -> None:
        for delay_s in _AGAIN_S[:3]:
            await asyncio.sleep(delay_s)
            await self._tell(request)

    @staticmethod
    def _spawn(among: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        among.add(task)
        task.add_done_callback(among.discard)
