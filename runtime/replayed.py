"""What stands for engines and requests in a replay (`replay.py`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from ttsc.backends.protocol import EngineInfo, Load
from ttsc.runtime.failures import RunFailed
from ttsc.runtime.flights import Ticket
from ttsc.runtime.leases import Promise
from ttsc.runtime.tokenizer_memo import MemoTokenizer
from ttsc.runtime.work import Answer


class ReplayEngine:
    """Stands for an engine of the run: what it is, and what its tokenizer knew. Nothing is ever asked of it."""

    def __init__(self, info: EngineInfo, tokenizer: MemoTokenizer) -> None:
        self.info = info
        self.tokenizer = tokenizer

    async def abort(self, request_ids: Sequence[str]) -> None:
        raise AssertionError("a replay has nothing to abort")

    generate = score = reward = embed = cast(Any, abort)

    async def load(self) -> Load | None:
        return None

    async def close(self) -> None:
        return None


class ReplayedFlight:
    """A request of the replay. Its outcome comes from the trace's lines."""

    def __init__(self, ticket: Ticket) -> None:
        self.outcome = Promise()
        self.ticket = ticket
        self.over = False
        self._landed: Callable[[], None] | None = None
        self._tokens: dict[str, int] = {}

    def on_over(self, landed: Callable[[], None]) -> None:
        self._landed = landed

    def _end(self) -> None:
        if not self.over:
            self.over = True
            if self._landed is not None:
                self._landed()

    def progressed(self, request_id: str, tokens: int) -> None:
        if not self.over:
            self._tokens[request_id] = tokens
            self.ticket.on_tokens(max(self._tokens.values()))

    def ended(self, request_id: str) -> None:
        self._tokens.pop(request_id, None)

    def resolve(self, answer: Answer | None, error: RunFailed | None = None) -> None:
        self.outcome.resolve(answer, error)
        self._end()

    def abandon(self) -> None:
        self._end()

    def expire(self, error: RunFailed) -> None:
        self.resolve(None, error)

    def promote(self) -> None:
        """It is answered when it was."""


class Held:
    """Keeps a run from ending before all of its lines have been delivered."""

    def __init__(self) -> None:
        self.outcome = Promise()
        self._landed: Callable[[], None] | None = None
        self._lifted = False

    def on_over(self, landed: Callable[[], None]) -> None:
        self._landed = landed
        if self._lifted:
            landed()

    def lift(self) -> None:
        self._lifted = True
        if self._landed is not None:
            self._landed()

    def abandon(self) -> None: ...

    def expire(self, error: RunFailed) -> None: ...

    def promote(self) -> None: ...
