"""Loops: what carried values can grow to, and what all rounds cost together.

The carried values are taken apart into sizes. One pass through the body with a symbol for each size gives a system of
recurrences s' = g(s), solved one after the other:

    g does not grow with s                 bounded: max(start, g)
    g(s) = s + c                           linear: start + rounds * c
    g(s) = a * s + c                       geometric: (start + rounds * c) * max(1, a) ** rounds
    sizes that depend on one another       all of them as one, the largest
    anything else                          unbounded

What a round costs in terms of linear sizes is summed as an arithmetic series. With a known number of rounds the rounds
are walked through one by one instead, until nothing changes any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ttsc.compiler.bounds.cost import LIVE, NO_COST, Cost
from ttsc.compiler.bounds.domain import Abstract, fitted, join, leaves, shape
from ttsc.compiler.bounds.expr import (
    INFINITE,
    LOOP_RANK,
    ONE,
    ZERO,
    Applied,
    Expr,
    Symbol,
    at_least,
    atom,
    constant,
    maximum,
    minus,
    pairs,
    power,
    substitute,
    symbols,
)

State = list[Abstract]
Step = Callable[[State], tuple[State, Cost]]
"""A round: the carried values after it, and its cost, from those before it."""
WALKED = 256
"""Rounds that are walked through one by one."""


class Recurrence:
    """One loop. `serial`: makes the names of its symbols its own. `exclusive`: rounds' requests don't overlap."""

    def __init__(self, step: Step, serial: int, *, exclusive: bool) -> None:
        self._step = step
        self._exclusive = exclusive
        self._serial = serial
        self._round = Symbol(f"round {serial}", LOOP_RANK)

    def walked(self, start: State, rounds: int, tired: Callable[[], bool]) -> tuple[State, Cost] | None:
        """Round by round; None if that takes too many, or too long."""
        state, total = start, NO_COST
        seen = start
        for done in range(rounds):
            if done == WALKED or tired():
                return None
            following, cost = self._step(state)
            following = [_covering(old, new) for old, new in zip(state, following, strict=True)]
            seen = [join(a, b) for a, b in zip(seen, following, strict=True)]
            if following == state:
                return seen, self._in_turn(total, self._repeated(cost, constant(rounds - done)))
            total = self._in_turn(total, cost)
            state = following
        return seen, total

    def closed(self, start: State, rounds: Expr) -> tuple[State, Cost]:
        """In terms of the number of rounds, at most."""
        form = [shape(value) for value in start]
        lows = _lows(start)
        while True:
            state, names = self._symbolic(form, lows)
            after, cost = self._step(state)
            grown = [shape(join(a, b)) for a, b in zip(state, after, strict=True)]
            if grown != form:
                form = grown
                lows = _lows([fitted(value, each) for value, each in zip(start, form, strict=True)])
                continue
            after = [fitted(value, each) for value, each in zip(after, form, strict=True)]
            found = _lows(after)
            kept = [low if low is not None and new is not None and at_least(new, low) else None
                    for low, new in zip(lows, found, strict=True)]  # fmt: skip
            if kept == lows:
                break
            lows = kept
        first = [fitted(value, each) for value, each in zip(start, form, strict=True)]
        solution = _Solution(names, _highs(first), _highs(after), rounds)
        total = cost.mapped(lambda amount: self._summed(amount, solution, rounds))
        if self._exclusive and LIVE in total.parts:
            total = Cost({**total.parts, LIVE: substitute(cost.parts[LIVE], solution.hull.get)})
        return _rebuilt(form, [solution.hull[name] for name in names], lows), total

    @staticmethod
    def unbounded(state: State) -> bool:
        return any(e.infinite for e in _highs(state))

    def settled(self, start: State) -> tuple[State, Cost]:
        """Which sizes stay finite, all finite ones being 1: until nothing more becomes infinite."""
        state = start
        while True:
            after, cost = self._step(state)
            grown = [_finite(join(a, b)) for a, b in zip(state, after, strict=True)]
            if grown == state:
                return state, cost
            state = grown

    def coarse(self, anything: State, rounds: Expr) -> tuple[State, Cost]:
        """Without looking how values grow: one pass, from values of which nothing is known, stands for every round."""
        _, cost = self._step(anything)
        return anything, self._repeated(cost, rounds)

    def _in_turn(self, before: Cost, after: Cost) -> Cost:
        return before.then(after) if self._exclusive else before + after

    def _repeated(self, cost: Cost, rounds: Expr) -> Cost:
        total = cost.times(rounds)
        if self._exclusive and LIVE in total.parts:
            return Cost({**total.parts, LIVE: cost.parts[LIVE]})
        return total

    def _symbolic(self, form: State, lows: list[Expr | None]) -> tuple[State, list[Symbol]]:
        count = len(_highs(form))
        names = [Symbol(f"size {self._serial}.{i}", LOOP_RANK + i) for i in range(count)]
        return _rebuilt(form, [atom(name) for name in names], lows), names

    def _summed(self, amount: Expr, solution: _Solution, rounds: Expr) -> Expr:
        """An amount of one round, over all of them."""
        at = atom(self._round)
        each = substitute(amount, lambda s: solution.at_round(s, at))
        flat, slope = ZERO, ZERO
        for monomial, coefficient in each.terms:
            factors = dict(monomial)
            exponent = factors.pop(self._round, 0)
            rest = Expr(((tuple(factors.items()), coefficient),))
            if exponent > 1 or self._round in symbols(rest):
                return rounds * substitute(each, lambda s: minus(rounds, ONE) if s == self._round else None)
            flat, slope = (flat, slope + rest) if exponent else (flat + rest, slope)
        if each.infinite:
            return INFINITE
        return flat * rounds + slope * pairs(rounds)


class _Solution:
    """The hull of each size over all rounds, and for linear ones what they grow by."""

    def __init__(self, names: list[Symbol], start: list[Expr], after: list[Expr], rounds: Expr) -> None:
        self.hull: dict[Symbol, Expr] = {}
        self._grows: dict[Symbol, tuple[Expr, Expr]] = {}
        self._rounds = rounds
        first = dict(zip(names, start, strict=True))
        waiting = dict(zip(names, after, strict=True))
        while waiting:
            ready = self._ready(waiting)
            if ready is None:
                self._together(waiting, first)
                return
            name, rule = ready
            self._solve(name, rule, first[name])
            del waiting[name]

    def at_round(self, name: Symbol, number: Expr) -> Expr | None:
        if name in self._grows:
            start, by = self._grows[name]
            return start + number * by
        return self.hull.get(name)

    def _ready(self, waiting: dict[Symbol, Expr]) -> tuple[Symbol, Expr] | None:
        for name, rule in waiting.items():
            known = substitute(rule, self.hull.get)
            if all(s == name or s not in waiting for s in symbols(known)):
                return name, known
        return None

    def _together(self, waiting: dict[Symbol, Expr], first: dict[Symbol, Expr]) -> None:
        """Sizes that depend on one another, as one."""
        one = next(iter(waiting))
        merged = maximum(
            *(substitute(rule, lambda s: self.hull.get(s) or (atom(one) if s in waiting else None))
              for rule in waiting.values())
        )  # fmt: skip
        start = maximum(*(first[name] for name in waiting))
        self._solve(one, merged, start)
        growth = self._grows.get(one)
        for name in waiting:
            self.hull[name] = self.hull[one]
            if growth is not None:
                self._grows[name] = growth

    def _solve(self, name: Symbol, rule: Expr, start: Expr) -> None:
        top = substitute(_without(rule, name), lambda s: INFINITE if s == name else None)
        if not top.infinite:
            self.hull[name] = maximum(start, top)
            return
        slope = _affine(_without(rule, name), name)
        if slope is None:
            self.hull[name] = INFINITE
            return
        factor, by = slope
        if factor == ONE:
            self._grows[name] = (start, by)
            self.hull[name] = start + self._rounds * by
        else:
            self.hull[name] = (start + self._rounds * by) * power(maximum(ONE, factor), self._rounds)


def _without(rule: Expr, name: Symbol) -> Expr:
    """max(s, …) is … for the purpose of growth."""
    if len(rule.terms) == 1 and rule.terms[0][1] == 1 and len(rule.terms[0][0]) == 1:
        only, exponent = rule.terms[0][0][0]
        if isinstance(only, Applied) and only.op == "max" and exponent == 1:
            rest = [arg for arg in only.args if arg != atom(name)]
            return maximum(*rest) if rest else ZERO
    return ZERO if rule == atom(name) else rule


def _affine(rule: Expr, name: Symbol) -> tuple[Expr, Expr] | None:
    """(a, c) with rule <= a * name + c, both free of `name`; None if there are none."""
    if rule.infinite:
        return None
    slope, rest = ZERO, ZERO
    for monomial, coefficient in rule.terms:
        inside = [(each, exponent) for each, exponent in monomial if _mentions(each, name)]
        outside = Expr(((tuple(item for item in monomial if item not in inside), coefficient),))
        if not inside:
            rest = rest + outside
            continue
        if len(inside) > 1 or inside[0][1] > 1:
            return None
        if coefficient < 0:
            continue
        found = _affine_atom(inside[0][0], name)
        if found is None:
            return None
        slope, rest = slope + outside * found[0], rest + outside * found[1]
    return slope, rest


def _mentions(each: Symbol | Applied, name: Symbol) -> bool:
    return each == name if isinstance(each, Symbol) else any(name in symbols(arg) for arg in each.args)


def _affine_atom(each: Symbol | Applied, name: Symbol) -> tuple[Expr, Expr] | None:
    if isinstance(each, Symbol):
        return ONE, ZERO
    match each.op:
        case "max":
            found = [_affine(arg, name) for arg in each.args]
            known = [f for f in found if f is not None]
            if len(known) < len(found):
                return None
            return maximum(*(a for a, _ in known)), maximum(*(c for _, c in known))
        case "min":
            several = [f for f in (_affine(arg, name) for arg in each.args) if f is not None]
            return next((f for f in several if f[0] == ZERO), several[0] if several else None)
        case "ceil_div" | "floor_div" | "minus" if not any(name in symbols(arg) for arg in each.args[1:]):
            return _affine(each.args[0], name)
    return None


def _finite(value: Abstract) -> Abstract:
    return leaves(value, lambda e: INFINITE if e.infinite else ONE, lambda low: None if low is None else ZERO)


def _covering(old: Abstract, new: Abstract) -> Abstract:
    """What is carried into the next round, in the shape of both."""
    return fitted(new, shape(join(old, new)))


def _highs(state: Sequence[Abstract]) -> list[Expr]:
    found: list[Expr] = []

    def take(e: Expr) -> Expr:
        found.append(e)
        return e

    for value in state:
        leaves(value, take, lambda low: low)
    return found


def _lows(state: Sequence[Abstract]) -> list[Expr | None]:
    found: list[Expr | None] = []

    def take(low: Expr | None) -> Expr | None:
        found.append(low)
        return low

    for value in state:
        leaves(value, lambda e: e, take)
    return found


def _rebuilt(form: State, highs: list[Expr], lows: list[Expr | None]) -> State:
    upper, lower = iter(highs), iter(lows)
    return [leaves(value, lambda _: next(upper), lambda _: next(lower)) for value in form]
