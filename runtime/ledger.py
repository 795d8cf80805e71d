"""A budget as a ledger: what a run has spent, what its requests in flight may still cost, and what may start.

A request reserves the most it can cost before it is sent, and settles for what it did cost when it ends: no request
starts that could break the budget. One that does not fit beside those in flight waits for them, in order; one that
would not fit if they cost nothing is refused, and so is every later one that costs as much.

- `calls`: requests sent, each attempt of a retried one.
- `tokens`: prompt tokens the engine computed (those it had cached are free) and tokens it decoded, those of aborted
  requests included. Reserved is the whole prompt and max_tokens. What an attempt cost that ended without an answer of
  the engine is unknown, so all of its reservation counts.
- `flops`, `eflops`, `cost`: the price of the same tokens on the engine of the request's role
  (`compiler/cost/prices.py`), reserved and settled like tokens.
- `latency`: seconds since the run began. At the deadline what runs is aborted and nothing starts any more.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from ttsc.compiler.cost.units import UNITS, TokenUse
from ttsc.compiler.ir.nodes import Limit
from ttsc.runtime.failures import BUDGET_SPENT, RunFailed, failed

if TYPE_CHECKING:
    from ttsc.compiler.cost.prices import Price

COUNTED = ("tokens", "calls", "latency")
"""Resources that are counted while a program runs; those of `UNITS` are priced."""

Bill = tuple[int, ...]
"""Whole units of each resource of `Ledger.resources`."""


class Reservation:
    """What one request may cost. Settle it once; settling again does nothing."""

    __slots__ = ("_bill", "_ledger", "_open", "_role")

    def __init__(self, ledger: Ledger, role: str, bill: Bill) -> None:
        self._ledger = ledger
        self._role = role
        self._bill = bill
        self._open = True

    def settle(self, use: TokenUse | None) -> None:
        """The request ended and took so many tokens; None: nobody knows, so all that was reserved."""
        if self._open:
            self._open = False
            self._ledger.settled(self._bill, self._bill if use is None else self._ledger.bill(self._role, use))

    def withdraw(self) -> None:
        """The request was not sent after all."""
        if self._open:
            self._open = False
            self._ledger.withdrawn(self._bill)


class Claim:
    """A request that asks for a reservation: it is told of it, or of what refuses it, unless it was withdrawn."""

    __slots__ = ("bill", "granted", "open", "refused", "role")

    def __init__(
        self, role: str, bill: Bill, granted: Callable[[Reservation], None], refused: Callable[[RunFailed], None]
    ) -> None:
        self.role = role
        self.bill = bill
        self.granted = granted
        self.refused = refused
        self.open = True

    def withdraw(self) -> None:
        self.open = False


class Ledger:
    """The account of one run. Without limits everything starts at once.

    `prices`: of each role's engine; needed for limits of what `UNITS` has. `resources`: what is summed up: tokens, and
    what else is limited and has a price.
    """

    def __init__(self, limits: Sequence[Limit] = (), prices: Mapping[str, Price] | None = None) -> None:
        self._limits: dict[str, Limit] = {}
        for limit in limits:
            known = self._limits.get(limit.resource)
            if known is None or limit.amount < known.amount:
                self._limits[limit.resource] = limit
        self._prices = prices or {}
        priced = tuple(name for name in UNITS if name in self._limits)
        self.resources: tuple[str, ...] = ("tokens", *priced)
        self._priced = priced
        self._most = tuple(self._units(name) for name in self.resources)
        self._spent: Bill = (0,) * len(self.resources)
        self._reserved: Bill = self._spent
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
        return self._spent[0]

    @property
    def priced(self) -> dict[str, int]:
        """What they have cost of each resource that is limited and has a price, in its units."""
        return dict(zip(self._priced, self._spent[1:], strict=True))

    @property
    def amounts(self) -> dict[str, float]:
        """The same in FLOPs, eFLOPs and dollars."""
        return {name: units * UNITS[name] for name, units in self.priced.items()}

    @property
    def calls(self) -> int:
        """Requests sent, and those that are about to be."""
        return self._calls

    def charge(self, tokens: int, calls: int, priced: Mapping[str, int] | None = None) -> None:
        """Count what a run that was cut off has spent on this input."""
        before = priced or {}
        self._spent = _sum(self._spent, (tokens, *(before.get(name, 0) for name in self._priced)))
        self._calls += calls

    def bill(self, role: str, use: TokenUse) -> Bill:
        """What so many tokens cost on a role's engine."""
        if not self._priced:
            return (use.tokens,)
        price = self._prices.get(role)
        if price is None or any(name not in price.rates for name in self._priced):
            raise ValueError(f"a budget of {', '.join(self._priced)} can't be kept without a price for '{role}'")
        return (use.tokens, *(price.of(name, use) for name in self._priced))

    def claim(
        self,
        ticket: int,
        role: str,
        most: TokenUse,
        granted: Callable[[Reservation], None],
        refused: Callable[[RunFailed], None],
    ) -> Claim:
        """Ask for a reservation for a request that may take so many tokens. Once it fits, lowest ticket first,
        `granted` is called with it; `refused` if it never will. Either may be called before this returns.
        """
        claim = Claim(role, self.bill(role, most), granted, refused)
        if self._waiting or not self._fits(claim.bill):
            self._order += 1
            heapq.heappush(self._waiting, (ticket, self._order, claim))
            self._serve()
        else:
            self._grant(claim)
        return claim

    def settled(self, reserved: Bill, cost: Bill) -> None:
        if not self._limits:
            self._spent = (self._spent[0] + cost[0],)
            return
        self._reserved = tuple(a - b for a, b in zip(self._reserved, reserved, strict=True))
        self._spent = _sum(self._spent, cost)
        self._serve()

    def withdrawn(self, reserved: Bill) -> None:
        """A reservation that was granted and not used."""
        self._calls -= 1
        self.settled(reserved, (0,) * len(reserved))

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
        if self._serving or not self._waiting:  # called by what is told here: the loop below sees what it changed
            return
        self._serving = True
        try:
            self._serve_all()
        finally:
            self._serving = False

    def _serve_all(self) -> None:
        while self._waiting:
            claim = self._waiting[0][2]
            resource = self._breaks(claim.bill) if claim.open else None
            if claim.open and resource is None and not self._fits(claim.bill):
                return
            heapq.heappop(self._waiting)
            if not claim.open:
                continue
            if resource is None:
                self._grant(claim)
            else:
                claim.open = False
                claim.refused(self._refused(resource, claim.bill))

    def _grant(self, claim: Claim) -> None:
        claim.open = False
        if self._limits:
            self._reserved = _sum(self._reserved, claim.bill)
        self._calls += 1
        claim.granted(Reservation(self, claim.role, claim.bill))

    def _fits(self, bill: Bill) -> bool:
        if not self._limits:
            return True
        if self._breaks(bill) is not None:
            return False
        return all(
            spent + reserved + cost <= most
            for spent, reserved, cost, most in zip(self._spent, self._reserved, bill, self._most, strict=True)
        )

    def _breaks(self, bill: Bill) -> str | None:
        """The resource that refuses such a request whatever those in flight cost."""
        if self._expired:
            return "latency"
        calls = self._limits.get("calls")
        if calls is not None and self._calls + 1 > calls.amount:
            return "calls"
        for name, spent, cost, most in zip(self.resources, self._spent, bill, self._most, strict=True):
            if spent + cost > most:
                return name
        return None

    def _units(self, resource: str) -> float:
        """A limit in whole units of its resource; infinite where there is none."""
        limit = self._limits.get(resource)
        if limit is None:
            return math.inf
        return math.floor(Fraction(repr(limit.amount)) / Fraction(repr(UNITS.get(resource, 1.0))))

    def _refused(self, resource: str, bill: Bill = ()) -> RunFailed:
        limit = self._limits[resource]
        self.cut = self.cut or clause(limit)
        said = "is over" if resource == "latency" else "has no room for another request"
        if resource in self.resources:
            place = self.resources.index(resource)
            left = max(0, int(self._most[place]) - self._spent[place])
            said += f", which may cost {amount(resource, bill[place])} where {amount(resource, left)} are left"
        return failed(BUDGET_SPENT, f"the budget `{clause(limit)}` {said}", "raise it, or lower counts and max_tokens")


def _sum(a: Bill, b: Bill) -> Bill:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def amount(resource: str, units: int) -> str:
    """So many units as people say them: "120 tokens", "1.5e+12 FLOPs", "$0.0031"."""
    match resource:
        case "cost":
            return f"${units * UNITS['cost']:.4g}"
        case "flops":
            return f"{units:.4g} FLOPs"
        case "eflops":
            return f"{units:.4g} eFLOPs"
    return f"{units} {resource}"


def clause(limit: Limit) -> str:
    """A limit as it is written: `tokens <= 20000`, `latency <= 30s`, `cost <= $0.05`."""
    number = f"{limit.amount:.10g}"
    match limit.resource:
        case "latency":
            return f"latency <= {number}s"
        case "cost":
            return f"cost <= ${Decimal(number):f}"
    return f"{limit.resource} <= {number}"
