"""The state of one input's run: its tasks, its requests, its limits, and how it is stopped.

Whatever goes on during a run is a task or a flight known here, so that a run can leave nothing behind.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from ttsc.backends.protocol import Tokenizer
from ttsc.compiler.ir.nodes import ExternSignature
from ttsc.compiler.plan.nodes import Plan, Request
from ttsc.runtime.events import Event
from ttsc.runtime.failures import LIMIT_REACHED, MODEL_UNBOUND, RunFailed, RunStopped, failed
from ttsc.runtime.flights import Flight, Ticket
from ttsc.runtime.leases import Cascade, Promise
from ttsc.runtime.operands import Operands
from ttsc.runtime.prefix_trie import PrefixTrie
from ttsc.runtime.session import Lane, Session

MAX_ROUNDS = 10_000
"""Rounds of one `repeat`, whatever its limit evaluates to."""
MAX_REQUESTS = 100_000
"""Requests of one input."""

Path = tuple[int, ...]


class Run:
    """One plan, one input."""

    def __init__(
        self,
        plan: Plan,
        session: Session,
        externs: Mapping[str, Callable[..., object]],
        *,
        seed: int,
        input_index: int,
        emit: Callable[[Event], None],
        max_requests: int,
    ) -> None:
        self.plan = plan
        self.session = session
        self.externs = externs
        self.seed = seed
        self.input_index = input_index
        self.emit = emit
        self.cascade = Cascade(enabled=plan.level > 0)
        self.requests: dict[str, Request] = {request.node: request for request in plan.requests}
        self.signatures: dict[str, ExternSignature] = {each.name: each for each in plan.program.externs}
        self.operands = Operands({r.node: tuple(name for _, name in r.dynamic) for r in plan.requests})
        self.stopped = Promise()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flights: set[Flight] = set()
        self._tries: dict[int, PrefixTrie] = {}
        self._max_requests = max_requests
        self._started = 0

    # --- what goes on ---

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)

    def fly(self, lane: Lane, ticket: Ticket) -> Flight:
        trie = self._tries.setdefault(id(lane), PrefixTrie())
        trie.insert(ticket.ids)
        flight = self.session.submit(ticket.role, ticket)
        self._flights.add(flight)
        flight.task.add_done_callback(lambda _: self._flights.discard(flight))
        return flight

    def request_starting(self) -> None:
        """Asked before every request; refuses one too many."""
        self._started += 1
        if self._started > self._max_requests:
            error = RunStopped(
                failed(
                    LIMIT_REACHED,
                    f"the run needs more than {self._max_requests} requests",
                    "lower the counts or the repeat limits, or raise max_requests",
                ).failure
            )
            self.stop(error)
            raise error

    def stop(self, error: RunFailed) -> None:
        """End the run with a failure, whatever else could still finish."""
        self.stopped.resolve(None, error)

    def stop_if_fatal(self, error: RunFailed) -> None:
        if isinstance(error, RunStopped):
            self.stop(error)

    async def settle(self) -> None:
        """Until everything that was started has ended."""
        while waiting := {*self._tasks, *(flight.task for flight in self._flights)}:
            await asyncio.wait(waiting)

    def cancel(self) -> None:
        """Give up everything: requests are aborted, tasks cancelled."""
        for flight in tuple(self._flights):
            flight.abandon()
        for task in tuple(self._tasks):
            task.cancel()

    # --- what they need to know ---

    @property
    def distinct_tokens(self) -> int:
        return sum(trie.tokens for trie in self._tries.values())

    def lane(self, role: str) -> Lane:
        lane = self.session.lanes.get(role)
        if lane is None:
            bound = ", ".join(sorted(self.session.lanes)) or "none"
            raise failed(MODEL_UNBOUND, f"no engine is bound to the model role `{role}` (bound: {bound})")
        return lane

    def tokenizer(self) -> Tokenizer:
        """For text that is forced where nothing was generated yet: that of the first role."""
        roles = [role.name for role in self.plan.program.models if role.name in self.session.lanes]
        role = next(iter([*roles, *self.session.lanes]), None)
        return self.lane(role or "default").engine.tokenizer

    def request_seed(self, node: str, path: Path, index: int) -> int:
        """31 bits that depend on where in the program a request is, never on timing."""
        place = ":".join(map(str, (self.seed, self.input_index, node, *path, index)))
        return int.from_bytes(hashlib.blake2b(place.encode(), digest_size=4).digest(), "big") & 0x7FFF_FFFF
