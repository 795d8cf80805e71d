"""A run that keeps to a budget of tokens, calls or seconds."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from ttsc.backends.protocol import Completion, GenerateRequest
from ttsc.compiler.cost.units import TokenUse
from ttsc.compiler.ir.nodes import Limit
from ttsc.runtime.failures import BUDGET_SPENT, RunFailed
from ttsc.runtime.ledger import Ledger
from ttsc.runtime.work import MOST_IMAGE_TOKENS
from ttsc.standalone.support.coming import cause_of, whole
from ttsc.standalone.support.job import Job, Place, rounds
from ttsc.standalone.support.server import Server


class BudgetedJob(Job):
    """Asks for nothing that could break the budget. What a cancelled request cost is unknown: all it could counts."""

    def __init__(
        self,
        servers: Mapping[str, Server],
        seed: int,
        limits: Sequence[Limit],
        *,
        externs: Mapping[str, Callable[..., Any]] | None = None,
        artifacts: str | None = None,
    ) -> None:
        super().__init__(servers, seed, externs=externs, artifacts=artifacts)
        self._ledger = Ledger(limits)
        self._numbers = itertools.count(1)
        loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = loop.create_future()
        if self._ledger.deadline_s is not None:
            loop.call_later(self._ledger.deadline_s, self._expire)

    def _expire(self) -> None:
        self._over.set_exception(self._ledger.expire())
        self._over.exception()

    async def may_begin(self) -> None:
        """Raise once the time is over."""
        refusal = self._ledger.refusal()
        if refusal is not None:
            raise refusal

    async def in_time(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What `work` gives, unless the time is over before; then it is cancelled."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self._over}, return_when=asyncio.FIRST_COMPLETED)
            return self._over.result() if not task.done() else task.result()
        finally:
            task.cancel()

    async def request(
        self,
        server: Server,
        make: Callable[[str], GenerateRequest],
        warm: bool,
        on_tokens: Callable[[int], None],
        confident: Any = None,
    ) -> Completion:
        """One sequence, decoded, once it fits the budget."""
        plan = make("")
        most = TokenUse(len(plan.input_ids) + MOST_IMAGE_TOKENS * len(plan.images), 0, plan.sampling.max_tokens)

        def cost(answer: Completion) -> TokenUse:
            return TokenUse(answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens)

        found: Completion = await self._paid(most, server.generate(make, warm, on_tokens, confident), cost)
        return found

    async def ask(
        self, server: Server, path: str, body: dict[str, Any], read: Callable[[dict[str, Any]], Any], tokens: int
    ) -> Any:
        """What a server computes without decoding, once it fits the budget."""
        spent = [TokenUse(tokens)]

        def reading(answer: dict[str, Any]) -> Any:
            meta = answer["meta_info"]
            spent[0] = TokenUse(int(meta["prompt_tokens"]), int(meta.get("cached_tokens", 0)))
            return read(answer)

        return await self._paid(TokenUse(tokens), server.ask(path, body, reading), lambda _: spent[0])

    async def _paid(self, most: TokenUse, work: Coroutine[Any, Any, Any], cost: Callable[[Any], TokenUse]) -> Any:
        granted: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def refused(error: RunFailed) -> None:
            if not granted.done():
                granted.set_exception(error)

        def begun(reservation: Any) -> None:
            if granted.done():
                reservation.withdraw()
            else:
                granted.set_result(reservation)

        claim = self._ledger.claim(next(self._numbers), "", most, begun, refused)
        try:
            reservation = await granted
        except BaseException:
            work.close()
            claim.withdraw()
            raise
        try:
            answer = await self.in_time(work)
            reservation.settle(cost(answer))
            return answer
        finally:
            reservation.settle(None)

    async def repeat(
        self,
        limit: object,
        body: Callable[..., Coroutine[Any, Any, tuple[Sequence[Any], Any]]],
        carried: Sequence[Any],
        *,
        at: Place = (),
    ) -> Sequence[Any]:
        """A loop that the budget may end: then its result is what the last round had that is whole."""
        history = [carried]
        error: RunFailed | None = None
        try:
            for number in rounds(limit):
                found: tuple[Sequence[Any], Any] = await body(*carried, (*at, number))
                carried = found[0]
                history.append(carried)
                if await whole(found[1]) is True:
                    break
        except RunFailed as failure:
            if failure.failure.code != BUDGET_SPENT:
                raise
            error = failure
        values: Sequence[Any]
        for values in reversed(history):
            if not [value for value in values if await self._taken(value)]:
                return values
        if error is not None:
            raise error
        return carried

    async def _taken(self, value: object) -> bool:
        """Whether the budget took a value: it failed for it, or is a list that has lost all of its elements."""
        try:
            found = await whole(value)
        except RunFailed as error:
            return error.failure.code == BUDGET_SPENT
        cause = cause_of(found)
        return found == () and cause is not None and cause.code == BUDGET_SPENT

    async def end(self) -> None:
        """Cancel what is still going on, and say whether the budget ended the run early."""
        await super().end()
        if self._ledger.cut:
            print(f"cut: the budget `{self._ledger.cut}` ended the run early", file=sys.stderr)
