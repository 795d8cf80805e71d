"""The state of one input's run: its tasks, its requests, its limits, and how it is stopped.

Whatever goes on during a run is a task or a flight known here, so that a run can leave nothing behind.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from ttsc.backends.protocol import Tokenizer
from ttsc.compiler.cost.units import TokenUse
from ttsc.compiler.ir.nodes import ExternSignature, Limit
from ttsc.compiler.plan.nodes import Plan, Request
from ttsc.runtime.events import DeadlineReached, Event, RequestGivenUp
from ttsc.runtime.failures import LIMIT_REACHED, MODEL_UNBOUND, Broken, RunFailed, RunStopped, failed
from ttsc.runtime.flights import Ticket
from ttsc.runtime.leases import Cascade, Promise
from ttsc.runtime.ledger import Claim, Ledger, Reservation
from ttsc.runtime.prefix_trie import PrefixTrie
from ttsc.runtime.records import Flying
from ttsc.runtime.session import Lane, Session

if TYPE_CHECKING:
    from ttsc.compiler.cost.prices import Price

MAX_ROUNDS = 10_000
"""Rounds of one `repeat`, whatever its limit evaluates to."""
MAX_REQUESTS = 100_000
"""Requests of one input."""

Path = tuple[int | str, ...]
"""Rounds and indices of the regions around a node. A text is the key of an offline region: what is within it depends
on nothing further out.
"""

T = TypeVar("T")


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
        budget: Sequence[Limit] = (),
        prices: Mapping[str, Price] | None = None,
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
        self.operands = session.operands(plan)
        self.stopped = Promise()
        self.cancelled = False
        """Whether all has been given up: an answer that still comes is nobody's."""
        self.ledger = Ledger(budget, prices)
        self.expired = Promise()
        self.world = asyncio.Lock()
        """Held by the environment call under way: there is one at a time, also where a budget gave a round up."""
        self.elapsed_before_s = 0.0
        """Seconds that this input has had in a run that was cut off."""
        self._deadline: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._flights: set[Flying] = set()
        self._tries: dict[int, PrefixTrie] = {}
        self._counted: tuple[Lane, tuple[int, ...]] | None = None
        """The last prompt that was counted: continuations of one source share it, and come one after the other."""
        self._open: set[object] = set()
        """What goes on without a task."""
        self._idle: Promise | None = None
        """Resolves when nothing goes on any more."""
        self._acts: deque[Callable[[], None]] = deque()
        self._acting = False
        self._max_requests = max_requests
        self.inlined = 0
        """Bodies of maps that are being computed within each other now."""
        self._started = 0

    # --- what goes on ---

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._check_idle()

    def act(self, go_on: Callable[[], None]) -> None:
        """Do it now, or after what is being done: a chain of nodes may be of any length."""
        self._acts.append(go_on)
        if self._acting:
            return
        self._acting = True
        try:
            while self._acts:
                self._acts.popleft()()
        finally:
            self._acting = False

    def open(self, work: object) -> None:
        """The run does not end before this has, see `shut`."""
        self._open.add(work)

    def shut(self, work: object) -> None:
        """It has ended."""
        self._open.discard(work)
        self._check_idle()

    def fly(self, lane: Lane, ticket: Ticket) -> Flying:
        if self._counted is None or self._counted[0] is not lane or self._counted[1] is not ticket.ids:
            self._counted = lane, ticket.ids
            self._tries.setdefault(id(lane), PrefixTrie()).insert(ticket.ids)
        if ticket.speculative and self.ledger.limited:  # it would hold what it reserved while it waits for room
            ticket = replace(ticket, speculative=False)
        records = self.session.records
        known = None if records is None else records.flight(self, lane, ticket)
        flight: Flying = known or self.session.submit(ticket.role, ticket)
        flight.outcome.on_done(lambda outcome: self._given_up(ticket, outcome))
        self.join(flight)
        return flight

    def join(self, flight: Flying) -> None:
        """The run does not end before this has."""
        self._flights.add(flight)
        flight.on_over(lambda: self._landing(flight))

    def _landing(self, flight: Flying) -> None:
        self._flights.discard(flight)
        self._check_idle()

    @property
    def busy(self) -> bool:
        """Whether anything goes on."""
        return bool(self._tasks or self._flights or self._open)

    def _check_idle(self) -> None:
        if self._idle is not None and not self.busy:
            idle, self._idle = self._idle, None
            idle.resolve(None)

    def on_idle(self, act: Callable[[Promise], None]) -> None:
        """Once nothing goes on; more may have begun when `act` is called."""
        if self._idle is None:
            self._idle = Promise()
        self._idle.on_done(act)
        self._check_idle()

    def _given_up(self, ticket: Ticket, outcome: Promise) -> None:
        error = outcome.error
        if error is not None and not isinstance(error, Broken):
            fatal, now = isinstance(error, RunStopped), self.session.now_s()
            cut = self.ledger.cut
            self.emit(RequestGivenUp(ticket.node, str(ticket.site), error.failure, fatal, cut, now, self.input_index))

    def starting(
        self,
        number: int,
        role: str,
        most: TokenUse,
        granted: Callable[[Reservation], None],
        refused: Callable[[RunFailed], None],
    ) -> Claim:
        """Asked before every request: grants it once it fits the budget, and refuses one too many."""

        def begun(reservation: Reservation) -> None:
            self._started += 1
            if self._started <= self._max_requests:
                granted(reservation)
                return
            reservation.withdraw()
            error = RunStopped(
                failed(
                    LIMIT_REACHED,
                    f"the run needs more than {self._max_requests} requests",
                    "lower the counts or the repeat limits, or raise max_requests",
                ).failure
            )
            self.stop(error)
            refused(error)

        return self.ledger.claim(number, role, most, begun, refused)

    def watch_deadline(self) -> None:
        """From now on the time that the budget gives runs."""
        records = self.session.records
        if self.ledger.deadline_s is not None and not (records is not None and records.deadline(self)):
            left = max(0.0, self.ledger.deadline_s - self.elapsed_before_s)
            self._deadline = asyncio.get_running_loop().call_later(left, self.expire)

    def end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def expire(self) -> None:
        """The time is over: what runs is given up, and nothing starts any more."""
        error = self.ledger.expire()
        self.emit(DeadlineReached(self.ledger.cut, self.session.now_s(), self.input_index))
        for flight in tuple(self._flights):
            flight.expire(error)
        self.expired.resolve(None, error)

    async def in_time(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives, or the failure of the deadline if that is there first; then `work` is cancelled."""
        if self.ledger.deadline_s is None:
            return await work
        task = asyncio.ensure_future(work)
        late = asyncio.ensure_future(self.expired.wait())
        try:
            await asyncio.wait({task, late}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await late
            return await task
        finally:
            task.cancel()
            late.cancel()
            await asyncio.gather(task, late, return_exceptions=True)

    def stop(self, error: RunFailed) -> None:
        """End the run with a failure, whatever else could still finish."""
        self.stopped.resolve(None, error)

    def stop_if_fatal(self, error: RunFailed) -> None:
        if isinstance(error, RunStopped):
            self.stop(error)

    async def settle(self) -> None:
        """Until everything that was started has ended."""
        while self.busy:
            if self._idle is None:
                self._idle = Promise()
            await self._idle.wait()

    def cancel(self) -> None:
        """Give up everything: requests are aborted, tasks cancelled."""
        self.cancelled = True
        self._open.clear()
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
        return int.from_bytes(self._digest(node, path, str(index), 4), "big") & 0x7FFF_FFFF

    def draw_seed(self, node: str, path: Path) -> int:
        """64 bits for a node's own random numbers."""
        return int.from_bytes(self._digest(node, path, "draw", 8), "big")

    def _digest(self, node: str, path: Path, what: str, size: int) -> bytes:
        offline = max((i for i, step in enumerate(path) if isinstance(step, str)), default=None)
        root = (self.seed, self.input_index) if offline is None else (path[offline],)
        if offline is not None:  # names inside of a region begin with its own, which is no part of its key
            node = node.rpartition(".")[2]
        place = ":".join(map(str, (*root, node, *path[0 if offline is None else offline + 1 :], what)))
        return hashlib.blake2b(place.encode(), digest_size=size).digest()
