"""One request of a flight: from the budget to the queue, past the prefix gate, to the engine and back.

    asked of the budget -> in the queue <-> held by a leader
                              |
                              v
                            sent -> ended

Every attempt is a request of its own, with an id of its own and a started and an ended event. Only one that was sent
has a task; before that it is an entry in a heap, so that thousands may wait. What is asked of the engine is the
flight's work: decoding, or scoring of one kind.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal, Protocol

from ttsc.backends.protocol import Completion, EngineError, Origin, Progress, RequestFailed, RequestRefused
from ttsc.compiler.cost.units import NO_TOKENS, TokenUse
from ttsc.runtime.admission import Rank
from ttsc.runtime.bars import Listener, stopped
from ttsc.runtime.events import RequestEnded, RequestStarted, TokensArrived
from ttsc.runtime.failures import RunFailed
from ttsc.runtime.ledger import Claim, Reservation
from ttsc.runtime.prefix import Leader
from ttsc.runtime.prefix_trie import Node
from ttsc.runtime.work import Answer, Decoding, Tally, kind_of, most_tokens, most_use, perform, tally

if TYPE_CHECKING:
    from ttsc.runtime.flights import Ticket
    from ttsc.runtime.session import Lane, Session

MOST_PRIORITY = 9
"""SGLang takes a running sequence back for one whose priority is greater by more than 10, and computes it again: all
of ours are closer to each other.
"""


class Owner(Protocol):
    """Who made the attempt, and is told of its end: exactly one of the last five, once."""

    @property
    def rank(self) -> Rank: ...

    def sent(self, attempt: Attempt) -> None: ...

    def progressed(self) -> None: ...

    def answered(self, attempt: Attempt, answer: Answer) -> None: ...

    def failed(self, attempt: Attempt, error: EngineError, final: bool) -> None: ...

    def refused(self, attempt: Attempt, error: RunFailed) -> None: ...

    def broken(self, attempt: Attempt, defect: BaseException) -> None: ...

    def withdrawn(self, attempt: Attempt) -> None: ...


class Attempt:
    """`node`: the place of the prompt in the prefix gate, None if it does not go through it. `hedge_of`: the request
    whose answer it may replace: that one has gone through the gate.
    """

    __slots__ = (
        "_claim",
        "_deadline",
        "_entered",
        "_first_s",
        "_lane",
        "_leader",
        "_node",
        "_number",
        "_owner",
        "_refusal",
        "_reservation",
        "_seen",
        "_session",
        "_state",
        "_task",
        "_ticket",
        "_watch",
        "aborted",
        "hedge_of",
        "request_id",
        "started_s",
        "tokens",
    )

    def __init__(
        self,
        owner: Owner,
        session: Session,
        lane: Lane,
        ticket: Ticket,
        number: int,
        attempt: int,
        node: Node | None,
        hedge_of: str = "",
    ) -> None:
        self.request_id = session.request_id(number, attempt)
        self.hedge_of = hedge_of
        self.tokens = 0
        self.started_s = 0.0
        self.aborted = False
        self._owner = owner
        self._session = session
        self._lane = lane
        self._ticket = ticket
        self._number = number
        self._node = node
        self._state: Literal["asking", "queued", "held", "sent", "over"] = "asking"
        self._claim: Claim | None = None
        self._reservation: Reservation | None = None
        self._leader: Leader | None = None
        """While held the request it waits for; once sent itself, if it leads."""
        self._task: asyncio.Task[None] | None = None
        self._entered = False
        self._first_s = 0.0
        self._seen: int | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._refusal: EngineError | None = None
        bar = ticket.work.bar if isinstance(ticket.work, Decoding) else None
        self._watch = None if bar is None else Listener(bar)

    def start(self) -> None:
        ticket = self._ticket
        most = most_use(ticket.work, ticket.ids)
        self._claim = ticket.starting(self._number, ticket.role, most, self._granted, self._denied)

    @property
    def progress(self) -> int:
        """Tokens so far that may count."""
        return self.tokens if self._watch is None or self._watch.place is None else self._watch.place

    @property
    def sent(self) -> bool:
        return self._state == "sent"

    def abort(self) -> None:
        """Nobody needs the tokens: have the engine stop if it has the request, else never send it."""
        if self.aborted or self._state == "over":
            return
        self.aborted = True
        if not self._entered:
            if self._task is not None:
                self._task.cancel()
            self._leave()
            self._owner.withdrawn(self)
            return
        self._stop()

    def _stop(self) -> None:
        """Have the engine stop; its answer says when it has."""
        self._seen = self.tokens
        self._lane.aborts.add(self.request_id)
        if self._deadline is not None:
            self._deadline.cancel()
        loop, task = asyncio.get_running_loop(), self._task
        assert task is not None
        self._deadline = loop.call_later(self._session.abort_timeout_s, task.cancel)

    def promoted(self) -> None:
        """The rank has changed."""
        if self._state == "queued":
            self._lane.admission.join(self)

    # --- before it is sent ---

    def _granted(self, reservation: Reservation) -> None:
        self._reservation = reservation
        self._queue()

    def _denied(self, error: RunFailed) -> None:
        self._state = "over"
        self._owner.refused(self, error)

    def _queue(self) -> None:
        self._state = "queued"
        self._leader = None
        self._lane.admission.join(self)

    @property
    def rank(self) -> Rank:
        return self._owner.rank

    def ready(self) -> int | None:
        most = most_tokens(self._ticket.work, self._ticket.ids)
        if self._node is None:
            return most
        warm, leader = self._lane.gate.look(self._node)
        if leader is not None and not self.hedge_of:
            self._state = "held"
            self._leader = leader
            leader.hold(self._queue)
            return None
        return most - warm

    def go(self) -> None:
        self._state = "sent"
        if self._node is not None and not self.hedge_of:
            self._leader = self._lane.gate.enter(self._node)
        self._task = asyncio.get_running_loop().create_task(self._send(), name=self.request_id)

    def refuse(self, error: EngineError) -> None:
        """The engine is gone for good."""
        if self._entered:
            self._refusal = error
            assert self._task is not None
            self._task.cancel()
            return
        if self._task is not None:
            self._task.cancel()
        self._leave()
        self._owner.failed(self, error, final=True)

    # --- on its way ---

    async def _send(self) -> None:
        self._entered = True
        try:
            await self._ask()
        except Exception as defect:  # a bug of ours or of a backend: whoever waits must hear of it
            self._leave()
            self._owner.broken(self, defect)

    async def _ask(self) -> None:
        ticket = self._ticket
        self.started_s = self._session.now_s()
        self._begin()
        self._owner.sent(self)
        leads = self._leader is not None
        try:
            answer = await perform(
                self._lane.engine,
                self.request_id,
                ticket.ids,
                ticket.work,
                self._progress,
                leads,
                self._priority,
                self._origin if self._lane.engine.info.simulated else None,
            )
        except EngineError as error:
            refused = isinstance(error, RequestRefused)
            self._lost("abort" if self.aborted else "error", error.message, NO_TOKENS if refused else None)
            self._owner.failed(self, error, final=False)
        except BaseException as error:
            if self._refusal is not None and isinstance(error, asyncio.CancelledError):
                self._lost("error", self._refusal.message, None)
                self._owner.failed(self, self._refusal, final=True)
                return
            if isinstance(error, asyncio.CancelledError) and self._stopping:
                self._unconfirmed()
                return
            self._lost("abort", "the engine did not confirm the abort", None)
            if isinstance(error, asyncio.CancelledError):
                self._owner.withdrawn(self)
            raise
        else:
            self._answered(answer)

    def _progress(self, report: Progress) -> None:
        if not self.tokens:
            self._first_s = self._session.now_s()
            if self._leader is not None:
                self._lane.gate.first_token(self._leader)
        self.tokens = report.tokens
        if self._watch is not None and self._watch.place is None and self._watch.hear(report):
            self._stop()
        self._owner.progressed()
        text = self._lane.engine.tokenizer.decode(report.new_ids)
        now, ticket = self._session.now_s(), self._ticket
        ticket.emit(TokensArrived(self.request_id, report.tokens, text, now, ticket.input_index))

    def _unconfirmed(self) -> None:
        """Stopped, but the engine does not say so: what was heard is all that is wanted, unless an answer says more."""
        work = self._ticket.work
        if self._watch is None or (isinstance(work, Decoding) and work.logprobs):
            self._lost("abort", "the engine did not confirm the abort", None)
            self._owner.failed(self, RequestFailed("the engine did not confirm the abort"), final=False)
            return
        if self._reservation is not None:
            self._reservation.settle(None)
        self._answered(self._watch.heard(self.request_id, self._ticket.ids))

    def _answered(self, answer: Answer) -> None:
        lane, decision = self._lane, ""
        if isinstance(answer, Completion) and isinstance(self._ticket.work, Decoding):
            answer, decision = stopped(self._ticket.work.bar, answer)
        counts = tally(answer)
        if self._reservation is not None:
            self._reservation.settle(counts.use)
        if self._node is not None:
            lane.gate.warm(self._node, counts.output_ids)
        if isinstance(self._ticket.work, Decoding):
            seconds = self._session.now_s() - (self._first_s or self.started_s)
            lane.admission.pace.observe(lane.admission.in_flight, counts.completion_tokens, seconds)
        self._leave()
        if self._session.records is not None and counts.finish != "abort":
            self._session.records.answered(self._ticket, answer)
        self._end(counts.finish, counts, lane.engine.tokenizer.decode(counts.output_ids), "", decision)
        if counts.finish == "abort" and not self.aborted:
            error = RequestFailed("the engine aborted the request, although nobody here asked for it")
            self._owner.failed(self, error, final=False)
        else:
            self._owner.answered(self, answer)

    def _lost(self, finish: str, error: str, cost: TokenUse | None) -> None:
        """It ended without an answer, and took so many tokens; None: nobody knows."""
        if self._reservation is not None:
            self._reservation.settle(cost)
        self._leave()
        self._end(finish, None, "", error)

    def _leave(self) -> None:
        """Hold nothing any more: neither of the budget, nor a place, nor followers."""
        claim, self._claim = self._claim, None
        if claim is not None:
            claim.withdraw()
        if self._reservation is not None:
            self._reservation.withdraw()
        leader, self._leader = self._leader, None
        if leader is not None and self._state == "held":
            leader.let_go(self._queue)
        elif leader is not None:
            self._lane.gate.leave(leader)
        self._state = "over"
        self._lane.admission.leave(self)
        if self._deadline is not None:
            self._deadline.cancel()

    @property
    def _stopping(self) -> bool:
        """Whether it was stopped for want of confidence, and its answer is wanted."""
        return self._watch is not None and self._watch.place is not None and not self.aborted

    @property
    def _priority(self) -> int:
        """0 for a speculative request, then more for a longer way to the program's end: 1 to 9."""
        if not self._lane.engine.info.priorities:
            return 0
        speculative, _, critical, _ = self.rank
        return 0 if speculative else min(MOST_PRIORITY, 1 + (-critical).bit_length() // 2)

    @property
    def _origin(self) -> Origin:
        ticket = self._ticket
        return Origin(ticket.node, ticket.op, ticket.role, ticket.index, str(ticket.site), ticket.input_index)

    # --- what is told of it ---

    def _begin(self) -> None:
        ticket = self._ticket
        ticket.emit(
            RequestStarted(
                self.request_id,
                ticket.node,
                ticket.op,
                ticket.role,
                ticket.index,
                len(ticket.ids),
                ticket.parent,
                self.started_s,
                ticket.input_index,
                kind_of(ticket.work),
                str(ticket.site),
                hedge_of=self.hedge_of,
            )
        )

    def _end(self, finish: str, counts: Tally | None, text: str, error: str, decision: str = "") -> None:
        ticket, now = self._ticket, self._session.now_s()
        counts = counts or Tally(finish, 0, completion_tokens=self.tokens)
        ticket.emit(
            RequestEnded(
                self.request_id,
                ticket.node,
                finish,
                counts.prompt_tokens,
                counts.cached_tokens,
                counts.completion_tokens,
                text,
                now,
                now - self.started_s,
                self._seen,
                error,
                ticket.input_index,
                kind_of(ticket.work),
                counts.scored_tokens,
                counts.output_ids,
                counts.matched,
                counts.logprobs,
                counts.values,
                counts.confidences,
                decision,
            )
        )
