"""Aborts, coalesced: what is decided in one turn of the event loop goes to the engine as one call.

An engine's "ok" to an abort says nothing about whether it stopped, so nobody waits for the call: a request counts as
stopped when its own answer comes back. A call that fails is tried once more; after that the request's deadline
(`flights.py`) closes its connection.
"""

from __future__ import annotations

import asyncio

from ttsc.backends.protocol import Engine, EngineError


class AbortCoalescer:
    """Collects request ids of one engine and aborts them together."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ids: list[str] = []
        self._calls: set[asyncio.Task[None]] = set()

    def add(self, request_id: str) -> None:
        if not self._ids:
            asyncio.get_running_loop().call_soon(self._flush)
        self._ids.append(request_id)

    def _flush(self) -> None:
        ids, self._ids = self._ids, []
        call = asyncio.get_running_loop().create_task(self._call(ids))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _call(self, ids: list[str]) -> None:
        for _ in range(2):
            try:
                await self._engine.abort(ids)
                return
            except EngineError:
                await asyncio.sleep(0.05)

    async def drain(self) -> None:
        """Until no call is under way."""
        while self._calls:
            await asyncio.wait(set(self._calls))
