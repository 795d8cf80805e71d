"""A request that is not sent because its answer is known: it takes a flight's place in a run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ttsc.runtime.events import AnswerTaken
from ttsc.runtime.failures import RunFailed
from ttsc.runtime.flights import Ticket
from ttsc.runtime.leases import Promise
from ttsc.runtime.session import Lane, Session
from ttsc.runtime.work import Answer, kind_of, tally


class TakenFlight:
    """Gives its answer in the next turn of the event loop, unless nobody needs it by then. It costs no budget: what an
    answer cost was counted when it was given.
    """

    def __init__(self, session: Session, lane: Lane, ticket: Ticket, answer: Answer) -> None:
        self.outcome = Promise()
        self._session = session
        self._lane = lane
        self._ticket = ticket
        self._answer = answer
        self._over = False
        self._landed: Callable[[], None] | None = None
        self._turn = asyncio.get_running_loop().call_soon(self._give)

    def on_over(self, landed: Callable[[], None]) -> None:
        if self._over:
            landed()
        else:
            self._landed = landed

    def _give(self) -> None:
        ticket, counts = self._ticket, tally(self._answer)
        if counts.completion_tokens:
            ticket.on_tokens(counts.completion_tokens)
        ticket.emit(
            AnswerTaken(
                self._answer.request_id,
                ticket.node,
                ticket.op,
                ticket.role,
                ticket.index,
                ticket.parent,
                counts.finish,
                counts.prompt_tokens,
                counts.cached_tokens,
                counts.completion_tokens,
                self._lane.engine.tokenizer.decode(counts.output_ids) if counts.output_ids else "",
                self._session.now_s(),
                ticket.input_index,
                kind_of(ticket.work),
                counts.scored_tokens,
                counts.output_ids,
                counts.matched,
                counts.logprobs,
                counts.values,
                str(ticket.site),
                counts.confidences,
            )
        )
        self.outcome.resolve(self._answer)
        self._end()

    def _end(self) -> None:
        self._over = True
        landed, self._landed = self._landed, None
        if landed is not None:
            landed()

    def abandon(self) -> None:
        if not self._over:
            self._turn.cancel()
            self._end()

    def expire(self, error: RunFailed) -> None:
        self.abandon()
        self.outcome.resolve(None, error)

    def promote(self) -> None:
        """It is there at once anyway."""
