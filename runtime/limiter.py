"""A fair limit on how many calls of host functions are under way. Waiters are served by ticket, not by when they
began to wait. Requests to engines have a queue of their own (`admission.py`).
"""

from __future__ import annotations

import asyncio
import heapq


class Limiter:
    """At most `limit` holders at a time, lowest ticket first."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError("the concurrency limit must be at least 1")
        self._free = limit
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = 0

    async def acquire(self, ticket: int) -> None:
        if self._free > 0 and not self._waiting:
            self._free -= 1
            return
        self._order += 1
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (ticket, self._order, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()
            raise

    def release(self) -> None:
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
