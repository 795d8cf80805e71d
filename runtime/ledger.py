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

import heapq
import math
from collections.abc import Callable, Sequence

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


class Claim:
    """A request that asks for a reservation: it is told of it, or of what refuses it, unless it was withdrawn."""

    __slots__ = ("granted", "open", "refused", "tokens")

    def __init__(
        self, tokens: int, granted: Callable[[Reservation], None], refused: Callable[[RunFailed], None]
    ) -> None:
        self.tokens = tokens
        self.granted = granted
        self.refused = refused
        self.open = True

    def withdraw(self) -> None:
        self.open = False


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
        self._waiting: list[tuple[int, int, Claim]] = []
        self._order = 0
        self._serving = False
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

    def claim(
        self, ticket: int, tokens: int, granted: Callable[[Reservation], None], refused: Callable[[RunFailed], None]
    ) -> Claim:
        """Ask for a reservation for a request that may cost so many tokens. Once it fits, lowest ticket first,
        `granted` is called with it; `refused` if it never will. Either may be called before this returns.
        """
        claim = Claim(tokens, granted, refused)
        if self._waiting or not self._fits(tokens):
            self._order += 1
            heapq.heappush(self._waiting, (ticket, self._order, claim))
            self._serve()
        else:
            self._grant(claim)
        return claim

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
        for *_, claim in waiting:
            if claim.open:
                claim.open = False
                claim.refused(error)
        return error

    def _serve(self) -> None:
        """Let go what fits, lowest ticket first, and refuse what never will."""
        if self._serving:  # called by what is told here: the loop below sees what it changed
            return
        self._serving = True
        try:
            self._serve_all()
        finally:
            self._serving = False

    def _serve_all(self) -> None:
        while self._waiting:
            claim = self._waiting[0][2]
            resource = self._breaks(claim.tokens) if claim.open else None
            if claim.open and resource is None and not self._fits(claim.tokens):
                return
            heapq.heappop(self._waiting)
            if not claim.open:
                continue
            if resource is None:
                self._grant(claim)
            else:
                claim.open = False
                claim.refused(self._refused(resource, claim.tokens))

    def _grant(self, claim: Claim) -> None:
        claim.open = False
        self._reserved += claim.tokens
        self._calls += 1
        claim.granted(Reservation(self, claim.tokens))

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
