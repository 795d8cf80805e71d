"""The order in which requests are sent to one engine, and when.

Waiting requests stand in a heap by `(speculative, input, -critical, number)`: what is certainly needed before what
may be; an earlier input before a later one, so that inputs finish one after the other rather than all at the end; the
longest way to the program's end before shorter ones; and then as they were submitted, which is prefix-tree order. One
keeps its place when something else holds it back, and comes again.

The first of them goes as soon as the engine has capacity (`capacity.py`); none behind it is sent before it, however
small. A speculative one goes only when no certain one waits, and only while decoding one more sequence costs the
others next to nothing (`pace.py`): what is not surely needed must not slow down what is.

All that arrives in one turn of the event loop is sorted before the first of it goes. A turn costs a heap operation for
each request that moves, and nothing for those that stay. The engine is asked for its load only while requests wait.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Protocol

from ttsc.backends.protocol import Engine, EngineError
from ttsc.runtime.capacity import Capacity
from ttsc.runtime.pace import Pace

Rank = tuple[bool, int, int, int]
"""`(speculative, input, -critical, number)`; the least goes first."""

LOOK_S = 0.25
"""Between two looks at the engine's load, and before the first."""
ANSWER_S = 5.0
"""An engine that takes longer to tell its load is busy; it is asked again."""


class Waiter(Protocol):
    """A request that waits. Called in turn by the queue."""

    @property
    def rank(self) -> Rank: ...

    def ready(self) -> int | None:
        """The tokens of KV memory it may come to hold; None if something else holds it back: it is out of the queue
        then, and joins again.
        """

    def go(self) -> None:
        """It has its place, until it leaves."""

    def refuse(self, error: EngineError) -> None:
        """It is out of the queue, or has lost its place: the engine is gone for good."""


class Admission:
    """The queue of one engine. `cap`: at most so many in flight, whatever the engine says."""

    def __init__(self, engine: Engine, cap: int | None) -> None:
        self.capacity = Capacity(engine.info, cap)
        self.pace = Pace(engine.info.device)
        self.joining: Callable[[], EngineError | None] | None = None
        """Asked when a request joins: why it can't be sent, now or soon."""
        self._engine = engine
        self._heap: list[tuple[Rank, int, Waiter]] = []
        self._entries: dict[Waiter, int] = {}
        self._in_flight: dict[Waiter, int] = {}
        self._order = 0
        self._serving: asyncio.Handle | None = None
        self._holds: set[object] = set()
        self._tells = True
        self._looking: asyncio.TimerHandle | None = None
        self._look: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        return len(self._entries)

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    def join(self, waiter: Waiter) -> None:
        """Wait for a turn, at the place that the rank says. Joining again moves it there."""
        error = self.joining() if self.joining is not None else None
        if error is not None:
            waiter.refuse(error)
            return
        self._order += 1
        self._entries[waiter] = self._order
        heapq.heappush(self._heap, (waiter.rank, self._order, waiter))
        self._wake()

    def leave(self, waiter: Waiter) -> None:
        """Wait no more, or give the place back. Does nothing if it has left."""
        tokens = self._in_flight.pop(waiter, None)
        if tokens is not None:
            self.capacity.give(tokens)
            if self._entries:
                self._wake()
        elif self._entries.pop(waiter, None) is not None:
            self._tidy()

    def waits(self, waiter: Waiter) -> bool:
        return waiter in self._entries

    def hold(self, reason: object) -> None:
        """Send nothing, until every reason is gone."""
        self._holds.add(reason)

    def resume(self, reason: object) -> None:
        self._holds.discard(reason)
        self._wake()

    def hold_for(self, seconds: float) -> None:
        """The engine wants no requests for so long."""
        reason = object()
        self.hold(reason)
        asyncio.get_running_loop().call_later(seconds, self.resume, reason)

    def refuse_all(self, error: EngineError) -> None:
        """Nothing that waits or is in flight will have an answer."""
        waiters = [*self._entries, *self._in_flight]
        self._entries.clear()
        self._heap.clear()
        for waiter in waiters:
            waiter.refuse(error)

    async def close(self) -> None:
        """Ask the engine nothing any more."""
        for handle in (self._serving, self._looking):
            if handle is not None:
                handle.cancel()
        look, self._look = self._look, None
        if look is not None:
            look.cancel()
            await asyncio.gather(look, return_exceptions=True)

    # --- turns ---

    def _wake(self) -> None:
        if self._serving is None:
            self._serving = asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        self._serving = None
        while self._entries and not self._holds:
            rank, order, waiter = self._heap[0]
            if self._entries.get(waiter) != order:
                heapq.heappop(self._heap)
                continue
            tokens = waiter.ready()
            if tokens is not None and not self.capacity.fits(tokens, self.pace.room if rank[0] else None):
                break
            heapq.heappop(self._heap)
            del self._entries[waiter]
            if tokens is not None:
                self._in_flight[waiter] = tokens
                self.capacity.take(tokens)
                waiter.go()
        if not self._entries:
            self._heap.clear()
        elif self._tells and not self._holds and not self._heap[0][0][0] and (self._looking or self._look) is None:
            self._looking = asyncio.get_running_loop().call_later(LOOK_S, self._begin_look)

    def _tidy(self) -> None:
        """Entries of those that left are passed over; the heap is made anew when they are more than half of it."""
        if not self._entries:
            self._heap.clear()
            if self._looking is not None:
                self._looking.cancel()
                self._looking = None
        elif len(self._heap) > 2 * len(self._entries) + 64:
            self._heap = [entry for entry in self._heap if self._entries.get(entry[2]) == entry[1]]
            heapq.heapify(self._heap)

    # --- the engine's own queue ---

    def _begin_look(self) -> None:
        self._looking = None
        if self._entries and not self._holds:
            self._look = asyncio.get_running_loop().create_task(self._ask(), name="load")

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):  # wait_for may swallow a cancellation
                load = await self._engine.load()
        except (EngineError, TimeoutError):
            pass  # whether it is gone is found out by requests
        else:
            self._tells = load is not None
            if load is not None and self._entries:
                self.capacity.follow(load)
        self._look = None
        self._wake()
