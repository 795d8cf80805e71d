"""What all inputs of one `ttsc run` share: engines, the limit on what is in flight, the prefix gate, retries, kept
offline values.

Each engine has a lane. Roles bound to the same engine share its lane, so that prefixes are warmed once and the limit
counts all of its requests.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping

from ttsc.backends.protocol import Engine
from ttsc.runtime.aborts import AbortCoalescer
from ttsc.runtime.artifacts import Artifacts
from ttsc.runtime.embeddings import Embeddings
from ttsc.runtime.flights import Flight, Ticket
from ttsc.runtime.limiter import Limiter
from ttsc.runtime.prefix import PrefixGate, default_threshold
from ttsc.runtime.retries import RetryPolicy

DEFAULT_CONCURRENCY = 64


class Lane:
    """One engine and what orders the requests to it."""

    def __init__(self, engine: Engine, concurrency: int, threshold: int | None) -> None:
        self.engine = engine
        self.limiter = Limiter(concurrency)
        self.gate = PrefixGate(default_threshold(engine.info) if threshold is None else threshold)
        self.aborts = AbortCoalescer(engine)
        self.embeddings = Embeddings()


class Session:
    """Shared by any number of concurrent inputs on one event loop.

    `concurrency` limits requests in flight per engine. `prefix_threshold` None: chosen by the engine's device.
    `abort_timeout_s`: how long an aborted request may take to be acknowledged before its connection is closed.
    `artifacts`: where offline values are kept; None: in memory, as long as the session lasts.
    """

    def __init__(
        self,
        engines: Mapping[str, Engine],
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        prefix_threshold: int | None = None,
        retry: RetryPolicy | None = None,
        extern_timeout_s: float = 60.0,
        extern_concurrency: int = 16,
        abort_timeout_s: float = 10.0,
        artifacts: Artifacts | None = None,
    ) -> None:
        lanes: dict[int, Lane] = {}
        for engine in engines.values():
            if id(engine) not in lanes:
                lanes[id(engine)] = Lane(engine, concurrency, prefix_threshold)
        self.lanes: dict[str, Lane] = {role: lanes[id(engine)] for role, engine in engines.items()}
        self.retry = retry or RetryPolicy()
        self.extern_timeout_s = extern_timeout_s
        self.extern_limit = Limiter(extern_concurrency)
        self.abort_timeout_s = abort_timeout_s
        self.artifacts = artifacts or Artifacts()
        self._name = uuid.uuid4().hex[:8]
        self._flights = 0
        self._started = time.monotonic()

    def now_s(self) -> float:
        """Seconds since the session began: the time of all its events."""
        return time.monotonic() - self._started

    def request_id(self, number: int, attempt: int) -> str:
        """Fixed width, so that none is a prefix of another; every attempt has its own."""
        return f"ttsc-{self._name}-{number:08x}-{attempt:02d}"

    def submit(self, role: str, ticket: Ticket) -> Flight:
        """Take a request into the queue. Call in the order in which requests should be served."""
        number = self.draw()
        return Flight(self, self.lanes[role], ticket, number)

    def draw(self) -> int:
        """A ticket number for the limits."""
        self._flights += 1
        return self._flights

    async def close(self) -> None:
        """Wait for aborts under way. Engines belong to whoever made them."""
        await asyncio.gather(*(lane.aborts.drain() for lane in self.lanes.values()))
