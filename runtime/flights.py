"""One request from submission to its outcome: attempts, retries, a hedge, an end.

    submitted -> attempt (`attempts.py`) -> answered
                   ^               |
                   +-- a delay, or the engine's return -- failed

A flight outlives the element that wants its tokens: when the element is needed no more, the flight has the engine
abort and stays, holding its place under the limit, until the engine's answer says that decoding has stopped. When
nothing of it is left it is over, and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ttsc.backends.protocol import EngineError, EngineUnavailable
from ttsc.compiler.cost.units import TokenUse
from ttsc.runtime.admission import Rank
from ttsc.runtime.attempts import Attempt
from ttsc.runtime.events import Event, RequestRetried
from ttsc.runtime.failures import Broken, RunFailed, RunStopped, engine_failure
from ttsc.runtime.leases import Promise
from ttsc.runtime.ledger import Claim, Reservation
from ttsc.runtime.records import Site
from ttsc.runtime.work import Answer, Work, ability

if TYPE_CHECKING:
    from ttsc.runtime.session import Lane, Session


class Starting(Protocol):
    """Asked before every attempt with the flight's number, its role and the most it may take. Calls the first function
    with a reservation once that fits the budget, or the second with what refuses them; never both, and none after the
    claim was withdrawn.
    """

    def __call__(
        self,
        number: int,
        role: str,
        most: TokenUse,
        granted: Callable[[Reservation], None],
        refused: Callable[[RunFailed], None],
    ) -> Claim: ...


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a flight needs to know.

    `speculative`: nobody is sure to need the answer, so it goes only where there is room (see `admission.py`).
    `critical`: tokens that may still be decoded one after another from here to the program's end. `site`: where in
    the program the request is, equal from run to run.
    """

    node: str
    op: str
    role: str
    index: int
    input_index: int
    ids: tuple[int, ...]
    work: Work
    share_prefix: bool
    parent: str | None
    emit: Callable[[Event], None]
    on_tokens: Callable[[int], None]
    starting: Starting
    speculative: bool = False
    critical: int = 0
    site: Site = Site("")


class Flight:
    """A request under way. `outcome` resolves to the engine's answer, or fails; it stays open if nobody needs it any
    more. `over`: nothing of it is left on the engine.
    """

    __slots__ = (
        "_abandoned",
        "_backoff",
        "_count",
        "_lane",
        "_landed",
        "_live",
        "_node",
        "_number",
        "_session",
        "_speculative",
        "_ticket",
        "_tries",
        "outcome",
        "over",
    )

    def __init__(self, session: Session, lane: Lane, ticket: Ticket, number: int) -> None:
        self.outcome = Promise()
        self.over = False
        self._session = session
        self._lane = lane
        self._ticket = ticket
        self._number = number
        self._speculative = ticket.speculative
        self._live: list[Attempt] = []
        self._count = 0
        self._tries = 0
        self._abandoned = False
        self._backoff: asyncio.TimerHandle | None = None
        self._landed: Callable[[], None] | None = None
        self._node = lane.gate.keep(ticket.ids) if ticket.share_prefix else None
        if session.hedging is not None:
            session.hedging.joined(self)
        self._begin()

    @property
    def rank(self) -> Rank:
        ticket = self._ticket
        return self._speculative, ticket.input_index, -ticket.critical, self._number

    @property
    def group(self) -> tuple[int, str]:
        """Flights of one group are siblings: of one node, for one input."""
        return self._ticket.input_index, self._ticket.node

    def on_over(self, landed: Callable[[], None]) -> None:
        """Have `landed` called when the flight is over; at once if it is."""
        if self.over:
            landed()
        else:
            self._landed = landed

    def promote(self) -> None:
        """The answer is certainly needed now. Does nothing to a flight that is not speculative or has been sent."""
        if self._speculative:
            self._speculative = False
            for attempt in self._live:
                attempt.promoted()

    def abandon(self) -> None:
        """Nobody needs the tokens: abort if the engine has the request, else never send it."""
        if self._abandoned or self.outcome.done or self.over:
            return
        self._abandoned = True
        if self._backoff is not None:
            self._backoff.cancel()
            self._backoff = None
        for attempt in tuple(self._live):
            attempt.abort()
        self._check_over()

    def expire(self, error: RunFailed) -> None:
        """Time is up: whoever waits gets the error, and the engine is asked to stop."""
        self.abandon()
        self.outcome.resolve(None, error)

    def hedge(self) -> None:
        """Send it a second time; the first answer counts. Same seed, same ids: where seeds are honoured both say the
        same.
        """
        if self._abandoned or self.outcome.done or len(self._live) != 1:
            return
        self._attempt(hedge_of=self._live[0].request_id)

    # --- attempts ---

    def _begin(self) -> None:
        self._backoff = None
        self._tries += 1
        try:
            ability(self._ticket.work, self._lane.engine.info)
        except EngineError as error:
            self._fail(engine_failure(error))
            return
        self._attempt()

    def _attempt(self, hedge_of: str = "") -> None:
        self._count += 1
        attempt = Attempt(
            self, self._session, self._lane, self._ticket, self._number, self._count, self._node, hedge_of
        )
        self._live.append(attempt)
        attempt.start()

    def progressed(self) -> None:
        """A retried request may fall back; of two that are under way the one that is further counts."""
        self._ticket.on_tokens(max(attempt.progress for attempt in self._live))

    def answered(self, attempt: Attempt, answer: Answer) -> None:
        self._live.remove(attempt)
        if not attempt.aborted and self._session.hedging is not None:
            self._session.hedging.answered(self, self._session.now_s() - attempt.started_s)
        self.outcome.resolve(answer)
        for other in tuple(self._live):
            other.abort()
        self._check_over()

    def failed(self, attempt: Attempt, error: EngineError, final: bool) -> None:
        self._live.remove(attempt)
        if self._live and not final:
            return
        if self._abandoned or self.outcome.done:
            self._fail(engine_failure(error))
            return
        if final:
            self._fail(RunStopped(engine_failure(error).failure))
            return
        delay = self._session.retry.delay_s(error, self._tries)
        if delay is None:
            self._fail(engine_failure(error))
            if isinstance(error, EngineUnavailable) and not error.retryable:
                self._lane.breaker.gone(error)
            return
        ticket, now = self._ticket, self._session.now_s()
        ticket.emit(
            RequestRetried(attempt.request_id, ticket.node, self._tries, error.message, delay, now, ticket.input_index)
        )
        if isinstance(error, EngineUnavailable):
            self._lane.breaker.gone(error)
            self._begin()
            return
        if error.retry_after_s:
            self._lane.admission.hold_for(error.retry_after_s)
        self._backoff = asyncio.get_running_loop().call_later(delay, self._begin)

    def refused(self, attempt: Attempt, error: RunFailed) -> None:
        self._live.remove(attempt)
        if not self._live:
            self._fail(error)

    def broken(self, attempt: Attempt, defect: BaseException) -> None:
        if attempt in self._live:
            self._live.remove(attempt)
        self._fail(Broken(defect))

    def withdrawn(self, attempt: Attempt) -> None:
        self._live.remove(attempt)
        self._check_over()

    def sent(self, attempt: Attempt) -> None:
        if self._session.hedging is not None and not attempt.hedge_of:
            self._session.hedging.sent(self, attempt.started_s)

    def _fail(self, error: RunFailed) -> None:
        self.outcome.resolve(None, error)
        for other in tuple(self._live):
            other.abort()
        self._check_over()

    def _check_over(self) -> None:
        if self.over or self._live or self._backoff is not None:
            return
        self.over = True
        if self._node is not None:
            self._lane.gate.drop(self._node)
        if self._session.hedging is not None:
            self._session.hedging.left(self)
        landed, self._landed = self._landed, None
        if landed is not None:
            landed()
