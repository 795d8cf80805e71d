"""One request from submission to its end: gate, limit, attempts, abort.

    submitted -> behind the prefix gate -> reserved in the budget -> behind the limit -> sent -> ended
                       ^                                                                   |
                       +------------------------ failed, retried --------------------------+

A flight runs as its own task, apart from the element that wants its tokens, because it outlives it: when the element
is needed no more, the flight asks the engine to abort and stays, holding its place under the limit, until the
engine's answer says that decoding has stopped. Every attempt is a request of its own, with an id of its own and a
started and an ended event. What is asked of the engine is the flight's work: decoding, or scoring of one kind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ttsc.backends.protocol import EngineError, Progress, RequestFailed, RequestRefused
from ttsc.runtime.events import Event, RequestEnded, RequestRetried, RequestStarted, TokensArrived
from ttsc.runtime.failures import Broken, RunFailed, engine_failure
from ttsc.runtime.leases import Promise
from ttsc.runtime.ledger import Reservation
from ttsc.runtime.prefix import Leader
from ttsc.runtime.records import Site
from ttsc.runtime.work import Answer, Work, ability, kind_of, most_tokens, perform, tally

if TYPE_CHECKING:
    from ttsc.runtime.session import Lane, Session


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a flight needs to know. `starting` is asked before every attempt with the flight's number and the most
    tokens it may cost; it waits until they fit the budget, and may refuse with a `RunFailed`.

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
    starting: Callable[[int, int], Awaitable[Reservation]]
    speculative: bool = False
    critical: int = 0
    site: Site = Site("")


class Flight:
    """A request under way. `outcome` resolves to the engine's answer, or fails."""

    def __init__(self, session: Session, lane: Lane, ticket: Ticket, number: int) -> None:
        self.outcome = Promise()
        self.request_id = ""
        self._session = session
        self._lane = lane
        self._ticket = ticket
        self._number = number
        self._speculative = ticket.speculative
        self._tokens = 0
        self._started_s = 0.0
        self._seen: int | None = None
        self._sent = False
        self._abandoned = False
        self._deadline: asyncio.TimerHandle | None = None
        self.task = asyncio.get_running_loop().create_task(self._run(), name=f"flight-{number}")
        self.task.add_done_callback(self._over)

    def promote(self) -> None:
        """The answer is certainly needed now. Does nothing to a flight that is not speculative or has been sent."""
        self._speculative = False

    def abandon(self) -> None:
        """Nobody needs the tokens: abort if the engine has the request, else never send it."""
        if self._abandoned or self.outcome.done or self.task.done():
            return
        self._abandoned = True
        if not self._sent:
            self.task.cancel()
            return
        self._seen = self._tokens
        self._lane.aborts.add(self.request_id)
        self._deadline = asyncio.get_running_loop().call_later(self._session.abort_timeout_s, self.task.cancel)

    def expire(self, error: RunFailed) -> None:
        """Time is up: whoever waits gets the error, and the engine is asked to stop."""
        self.abandon()
        self.outcome.resolve(None, error)

    def _over(self, task: asyncio.Task[None]) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.outcome.resolve(None, Broken(error))

    async def _run(self) -> None:
        attempt = 1
        while True:
            try:
                self.outcome.resolve(await self._attempt(attempt))
                return
            except RunFailed as failure:
                self.outcome.resolve(None, failure)
                return
            except EngineError as error:
                delay = None if self._abandoned else self._session.retry.delay_s(error, attempt)
                if delay is None:
                    self.outcome.resolve(None, engine_failure(error))
                    return
                now = self._session.now_s()
                self._emit(RequestRetried(self.request_id, self._ticket.node, attempt, error.message, delay, now))
                await asyncio.sleep(delay)
                attempt += 1

    async def _attempt(self, attempt: int) -> Answer:
        ticket, lane = self._ticket, self._lane
        ability(ticket.work, lane.engine.info)
        entry = await lane.gate.enter(ticket.ids) if ticket.share_prefix else Leader(ticket.ids, leads=False)
        try:
            reservation = await ticket.starting(self._number, most_tokens(ticket.work, ticket.ids))
            try:
                await lane.limiter.acquire(self._number)
                try:
                    self.request_id = self._session.request_id(self._number, attempt)
                    return await self._send(entry, reservation)
                finally:
                    self._sent = False
                    lane.limiter.release()
            finally:
                reservation.withdraw()
        finally:
            lane.gate.leave(entry)

    async def _send(self, entry: Leader, reservation: Reservation) -> Answer:
        ticket, lane = self._ticket, self._lane
        request_id, tokenizer = self.request_id, lane.engine.tokenizer
        arrived: list[int] = []

        def progress(report: Progress) -> None:
            if not self._tokens:
                lane.gate.first_token(entry)
            self._tokens = report.tokens
            arrived.extend(report.new_ids)
            ticket.on_tokens(report.tokens)
            text = tokenizer.decode(report.new_ids)
            self._emit(TokensArrived(request_id, report.tokens, text, self._session.now_s()))

        self._tokens, self._started_s, self._sent = 0, self._session.now_s(), True
        self._emit(
            RequestStarted(
                request_id,
                ticket.node,
                ticket.op,
                ticket.role,
                ticket.index,
                len(ticket.ids),
                ticket.parent,
                self._started_s,
                kind=kind_of(ticket.work),
                site=str(ticket.site),
            )
        )
        try:
            answer = await perform(lane.engine, request_id, ticket.ids, ticket.work, progress, entry.leads)
        except EngineError as error:
            reservation.settle(0 if isinstance(error, RequestRefused) else None)
            self._end("abort" if self._abandoned else "error", None, "", error.message)
            raise
        except BaseException:
            reservation.settle(None)
            self._end("abort", None, tokenizer.decode(arrived), "the engine did not confirm the abort")
            raise
        counts = tally(answer)
        reservation.settle(counts.computed)
        lane.gate.warm((*ticket.ids, *counts.output_ids))
        self._end(counts.finish, answer, tokenizer.decode(counts.output_ids), "")
        if counts.finish == "abort" and not self._abandoned:
            raise RequestFailed("the engine aborted the request, although nobody here asked for it")
        if self._session.records is not None and counts.finish != "abort":
            self._session.records.answered(ticket, answer)
        return answer

    def _end(self, finish: str, answer: Answer | None, text: str, error: str) -> None:
        now = self._session.now_s()
        counts = None if answer is None else tally(answer)
        self._emit(
            RequestEnded(
                self.request_id,
                self._ticket.node,
                finish,
                counts.prompt_tokens if counts else 0,
                counts.cached_tokens if counts else 0,
                counts.completion_tokens if counts else self._tokens,
                text,
                now,
                now - self._started_s,
                self._seen,
                error,
                kind=kind_of(self._ticket.work),
                scored_tokens=counts.scored_tokens if counts else 0,
                output_ids=counts.output_ids if counts else (),
                matched=counts.matched if counts else None,
                logprobs=counts.logprobs if counts else None,
                values=counts.values if counts else (),
            )
        )

    def _emit(self, event: RequestStarted | RequestEnded | RequestRetried | TokensArrived) -> None:
        self._ticket.emit(replace(event, input=self._ticket.input_index))
