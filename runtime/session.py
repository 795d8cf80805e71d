"""What all inputs of one `ttsc run` share: engines, the queues before them, the prefix gates, retries, kept offline
values. Several programs may share a session, too.

Each engine has a lane. Roles bound to the same engine share its lane, so that prefixes are warmed once and the limit
counts all of its requests.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping

from ttsc.backends.protocol import Engine
from ttsc.compiler.plan.nodes import Plan
from ttsc.runtime.aborts import AbortCoalescer
from ttsc.runtime.admission import Admission
from ttsc.runtime.artifacts import Artifacts
from ttsc.runtime.breaker import Breaker
from ttsc.runtime.embeddings import Embeddings
from ttsc.runtime.flights import Flight, Ticket
from ttsc.runtime.hedging import Hedging
from ttsc.runtime.limiter import Limiter
from ttsc.runtime.operands import Operands
from ttsc.runtime.prefix import PrefixGate, default_threshold
from ttsc.runtime.records import Records
from ttsc.runtime.retries import RetryPolicy

ENGINE_WAIT_S = 30.0
"""How long an engine may be gone before what waits for it fails."""


class Lane:
    """One engine and what orders the requests to it."""

    def __init__(self, engine: Engine, concurrency: int | None, threshold: int | None, engine_wait_s: float) -> None:
        self.engine = engine
        self.admission = Admission(engine, concurrency)
        self.gate = PrefixGate(default_threshold(engine.info) if threshold is None else threshold)
        self.breaker = Breaker(engine, self.admission, self.gate, engine_wait_s)
        self.aborts = AbortCoalescer(engine)
        self.embeddings = Embeddings()

    async def close(self) -> None:
        await self.aborts.drain()
        await self.breaker.close()
        await self.admission.close()


class Session:
    """Shared by any number of concurrent inputs on one event loop.

    `concurrency`: requests in flight per engine at most; None: what the engine can take (`capacity.py`).
    `engine_wait_s`: how long an engine may be gone before what waits for it fails. `hedge`: send a request again that
    takes so many times as long as its siblings (`hedging.py`); None: never. `prefix_threshold` None: chosen by the
    engine's device.
    `abort_timeout_s`: how long an aborted request may take to be acknowledged before its connection is closed.
    `artifacts`: where offline values are kept; None: in memory, as long as the session lasts. `records`: answers that
    are known before they are asked for (a journal, a trace that is replayed).
    """

    def __init__(
        self,
        engines: Mapping[str, Engine],
        *,
        concurrency: int | None = None,
        prefix_threshold: int | None = None,
        retry: RetryPolicy | None = None,
        extern_timeout_s: float = 60.0,
        extern_concurrency: int = 16,
        abort_timeout_s: float = 10.0,
        artifacts: Artifacts | None = None,
        records: Records | None = None,
        engine_wait_s: float = ENGINE_WAIT_S,
        hedge: float | None = None,
    ) -> None:
        lanes: dict[int, Lane] = {}
        for engine in engines.values():
            if id(engine) not in lanes:
                lanes[id(engine)] = Lane(engine, concurrency, prefix_threshold, engine_wait_s)
        self.lanes: dict[str, Lane] = {role: lanes[id(engine)] for role, engine in engines.items()}
        self.retry = retry or RetryPolicy()
        self.hedging = None if hedge is None else Hedging(hedge)
        self.extern_timeout_s = extern_timeout_s
        self.extern_limit = Limiter(extern_concurrency)
        self.abort_timeout_s = abort_timeout_s
        self.artifacts = artifacts or Artifacts()
        self.records = records
        self._operands: dict[int, tuple[Plan, Operands]] = {}
        self._name = uuid.uuid4().hex[:8]
        self._flights = 0
        self._started = _clock_s()

    def now_s(self) -> float:
        """Seconds since the session began: the time of all its events."""
        return _clock_s() - self._started

    def request_id(self, number: int, attempt: int) -> str:
        """Fixed width, so that none is a prefix of another; every attempt has its own."""
        return f"ttsc-{self._name}-{number:08x}-{attempt:02d}"

    def submit(self, role: str, ticket: Ticket) -> Flight:
        """Take a request into the queue. Call in the order in which requests should be served."""
        number = self.draw()
        return Flight(self, self.lanes[role], ticket, number)

    def operands(self, plan: Plan) -> Operands:
        """What the nodes of a plan read: worked out once for all of its runs."""
        known = self._operands.get(id(plan))
        if known is None:
            extra = {request.node: tuple(name for _, name in request.dynamic) for request in plan.requests}
            known = self._operands[id(plan)] = plan, Operands(extra)
        return known[1]

    def draw(self) -> int:
        """A ticket number for the limits."""
        self._flights += 1
        return self._flights

    async def close(self) -> None:
        """Wait for aborts under way, and end what watches engines. Engines belong to whoever made them."""
        await asyncio.gather(*(lane.close() for lane in self.lanes.values()))


def _clock_s() -> float:
    """The event loop's clock, which may be a virtual one."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()
