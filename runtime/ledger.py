"""A budget as a ledger: what a run has spent, what its requests in flight may still cost, and what may start.

A request reserves the most it can cost before it is sent, and settles for what it did cost when it ends: no request
starts that could break the budget. One that does not fit beside those in flight waits for them, in order; one that
would not fit if they cost nothing is refused, and so is every later one that costs as much.

- `calls`: requests sent, each attempt of a retried one.
- `tokens`: prompt tokens the engine computed (those it had cached are free) and tokens it decoded, those of aborted
  requests included. Reserved is the whole prompt and max_tokens. What an attempt cost that ended without an answer of
  the engine is unknown, so all of its reservation counts.
- `latency`: seconds since the run began. At the deadline what runs is aborted and nothing starts any more.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Sequence

from ttsc.compiler.ir.nodes import Limit
from ttsc.runtime.failures import BUDGET_SPENT, RunFailed, failed

ENFORCED = ("tokens", "calls", "latency")
"""Resources that are counted while a program runs; the others need a cost model."""


class Reservation:
    """What one request may cost. Settle it once; settling again does nothing."""

    def __init__(self, ledger: Ledger, tokens: int) -> None:
        self._ledger = ledger
        self._tokens = tokens
        self._open = True

    def settle(self, tokens: int | None) -> None:
        """The request ended and cost so many tokens; None: nobody knows, so all that was reserved."""
        if self._open:
            self._open = False
            self._ledger.settled(self._tokens, self._tokens if tokens is None else tokens)

    def withdraw(self) -> None:
        """The request was not sent after all."""
        if self._open:
            self._open = False
            self._ledger.withdrawn(self._tokens)


class Ledger:
    """The account of one run. Without limits everything starts at once."""

    def __init__(self, limits: Sequence[Limit] = ()) -> None:
        self._limits: dict[str, Limit] = {}
        for limit in limits:
            if limit.resource not in ENFORCED:
                raise ValueError(f"a budget of {limit.resource} can't be kept without a cost model")
            known = self._limits.get(limit.resource)
            if known is None or limit.amount < known.amount:
                self._limits[limit.resource] = limit
        self._spent = 0
        self._reserved = 0
        self._calls = 0
        self._waiting: list[tuple[int, int, int, asyncio.Future[None]]] = []
        self._order = 0
        self._expired = False
        self.cut = ""
        """The first clause that refused something, as written in a budget; "" so far."""

    @property
    def limited(self) -> bool:
        return bool(self._limits)

    @property
    def deadline_s(self) -> float | None:
        """Seconds that the run may take."""
        limit = self._limits.get("latency")
        return None if limit is None else limit.amount

    @property
    def spent(self) -> int:
        """Tokens that requests which ended have cost."""
        return self._spent

    @property
    def calls(self) -> int:
        """Requests sent, and those that are about to be."""
        return self._calls

    def charge(self, tokens: int, calls: int) -> None:
        """Count what a run that was cut off has spent on this input."""
        self._spent += tokens
        self._calls += calls

    async def reserve(self, ticket: int, tokens: int) -> Reservation:
        """Wait until a request that may cost so many tokens fits; lowest ticket first. Raises what refuses it."""
        if self._waiting or not self._fits(tokens):
            self._order += 1
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (ticket, self._order, tokens, turn))
            self._serve()
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled() and turn.exception() is None:
                    self.withdrawn(tokens)
                raise
        else:
            self._take(tokens)
        return Reservation(self, tokens)

    def settled(self, reserved: int, cost: int) -> None:
        self._reserved -= reserved
        self._spent += cost
        self._serve()

    def withdrawn(self, reserved: int) -> None:
        """A reservation that was granted and not used."""
        self._calls -= 1
        self.settled(reserved, 0)

    def refusal(self) -> RunFailed | None:
        """Why nothing may start any more: the time is over."""
        return self._refused("latency") if self._expired else None

    def expire(self) -> RunFailed:
        """The deadline is there: everything that waits is refused."""
        self._expired = True
        error = self._refused("latency")
        waiting, self._waiting = self._waiting, []
        for *_, turn in waiting:
            if not turn.done():
                turn.set_exception(error)
        return error

    def _serve(self) -> None:
        """Let go what fits, lowest ticket first, and refuse what never will."""
        while self._waiting:
            _, _, tokens, turn = self._waiting[0]
            if turn.done():
                heapq.heappop(self._waiting)
                continue
            resource = self._breaks(tokens)
            if resource is not None:
                heapq.heappop(self._waiting)
                turn.set_exception(self._refused(resource, tokens))
            elif self._fits(tokens):
                heapq.heappop(self._waiting)
                self._take(tokens)
                turn.set_result(None)
            else:
                return

    def _fits(self, tokens: int) -> bool:
        if self._breaks(tokens) is not None:
            return False
        limit = self._limits.get("tokens")
        return limit is None or self._spent + self._reserved + tokens <= limit.amount

    def _breaks(self, tokens: int) -> str | None:
        """The resource that refuses such a request whatever those in flight cost."""
        if self._expired:
            return "latency"
        calls, total = self._limits.get("calls"), self._limits.get("tokens")
        if calls is not None and self._calls + 1 > calls.amount:
            return "calls"
        if total is not None and self._spent + tokens > total.amount:
            return "tokens"
        return None

    def _take(self, tokens: int) -> None:
        self._reserved += tokens
        self._calls += 1

    def _refused(self, resource: str, tokens: int = 0) -> RunFailed:
        limit = self._limits[resource]
        self.cut = self.cut or clause(limit)
        said = "is over" if resource == "latency" else "has no room for another request"
        if resource == "tokens":
            left = max(0, math.floor(limit.amount) - self._spent)
            said += f", which may cost {tokens} tokens where {left} are left"
        return failed(BUDGET_SPENT, f"the budget `{clause(limit)}` {said}", "raise it, or lower counts and max_tokens")


def clause(limit: Limit) -> str:
    """A limit as it is written: `tokens <= 20000`, `latency <= 30s`, `cost <= $0.05`."""
    amount = f"{limit.amount:.10g}"
    match limit.resource:
        case "latency":
            return f"latency <= {amount}s"
        case "cost":
            return f"cost <= ${amount}"
    return f"{limit.resource} <= {amount}"
