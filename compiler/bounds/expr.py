"""Symbolic natural numbers: polynomials over sizes and parameters, with max, min, division and powers as atoms.

Every quantity that a bound speaks of is a natural number or infinite, and all operations but the second operand of
`minus` and `divided` are monotone. So an upper bound stays one if larger quantities take the place of those in it.
Polynomials have one normal form: equal expressions are equal objects, and sums and products simplify by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

LARGEST = 10**100
"""A number above this counts as infinite."""
MAX_SIZE = 600
"""Atoms in an expression; what would have more is a symbol of its own, written `…`."""
LOOP_RANK = 1_000_000
"""Symbols from this rank on stand for what a loop carries, and must stay visible."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """An unknown. `rank`: its place in reading order. `low`: what it is at least."""

    name: str
    rank: int = 0
    low: int = 0


Operation = Literal["max", "min", "ceil_div", "floor_div", "minus", "power", "pairs"]
_hidden = count(1)


@dataclass(frozen=True, slots=True, eq=True)
class Applied:
    """An operation that is no polynomial. `minus` ends at 0; `pairs` of n is n (n - 1) / 2."""

    op: Operation
    args: tuple[Expr, ...]
    size: int = field(init=False, compare=False, repr=False)
    order: tuple[int, str] = field(init=False, compare=False, repr=False)
    _hash: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        rank = max((_order(each)[0] for arg in self.args for m, _ in arg.terms for each, _ in m), default=0)
        object.__setattr__(self, "size", 1 + sum(arg.size for arg in self.args))
        object.__setattr__(self, "order", (1_000 + rank, f"{self.op}({', '.join(map(_label, self.args))})"))
        object.__setattr__(self, "_hash", hash((self.op, self.args)))

    def __hash__(self) -> int:
        return self._hash


Atom = Symbol | Applied
Monomial = tuple[tuple[Atom, int], ...]


@dataclass(frozen=True, slots=True)
class Expr:
    """A sum of monomials with whole coefficients, never 0; or infinite."""

    terms: tuple[tuple[Monomial, int], ...] = ()
    infinite: bool = False
    size: int = field(init=False, compare=False, repr=False)
    number: int | None = field(init=False, compare=False, repr=False)
    """Its value if it is a finite constant."""

    def __post_init__(self) -> None:
        terms = self.terms
        known = len(terms) <= 1 and not (terms and terms[0][0]) and not self.infinite
        object.__setattr__(self, "number", None if not known else terms[0][1] if terms else 0)
        size = len(terms) if known else len(terms) + sum(
            each.size if isinstance(each, Applied) else 1 for monomial, _ in terms for each, _ in monomial
        )  # fmt: skip
        object.__setattr__(self, "size", size)

    def __add__(self, other: Expr) -> Expr:
        if self.infinite or other.infinite:
            return INFINITE
        if self.number is not None and other.number is not None:
            return constant(self.number + other.number)
        if not self.terms:
            return other
        if not other.terms:
            return self
        return _sum((*self.terms, *other.terms))

    def __mul__(self, other: Expr) -> Expr:
        x, y = self.number, other.number
        if x == 0 or y == 0:
            return ZERO
        if self.infinite or other.infinite:
            return INFINITE
        if x is not None and y is not None:
            return constant(x * y)
        if x == 1 or y == 1:
            return other if x == 1 else self
        if max(self.size * len(other.terms), other.size * len(self.terms)) > MAX_SIZE:
            return _hide(self, other)
        return _sum((_times(m, n), a * b) for m, a in self.terms for n, b in other.terms)


def _order(each: Atom) -> tuple[int, str]:
    """Reading order of factors: by the places of their symbols."""
    return (each.rank, each.name) if isinstance(each, Symbol) else each.order


def _label(e: Expr) -> str:
    return "+".join(f"{c}*{'.'.join(_order(each)[1] for each, _ in m)}" for m, c in e.terms)


def _times(a: Monomial, b: Monomial) -> Monomial:
    if not a or not b:
        return a or b
    powers = dict(a)
    for each, power in b:
        powers[each] = powers.get(each, 0) + power
    return tuple(sorted(powers.items(), key=lambda item: _order(item[0])))


def _degree(monomial: Monomial) -> tuple[int, list[tuple[int, str]]]:
    """Reading order of a sum: products before single quantities before the constant."""
    return -sum(power for _, power in monomial), [_order(each) for each, _ in monomial]


def _sum(terms: Iterable[tuple[Monomial, int]]) -> Expr:
    total: dict[Monomial, int] = {}
    for monomial, coefficient in terms:
        total[monomial] = total.get(monomial, 0) + coefficient
    kept = [(m, c) for m, c in total.items() if c]
    if any(c > LARGEST for _, c in kept):
        return INFINITE
    if len(kept) > 1:
        kept.sort(key=lambda term: _degree(term[0]))
    made = Expr(tuple(kept))
    return made if made.size <= MAX_SIZE else _hide(made)


def _hide(*parts: Expr) -> Expr:
    """A symbol for what is too large to be written; what a loop carries may not disappear in it."""
    if any(s.rank >= LOOP_RANK for part in parts for s in symbols(part)):
        return INFINITE
    return atom(Symbol(f"…{next(_hidden)}", LOOP_RANK - 1))


ZERO = Expr()
INFINITE = Expr((), True)


def constant(value: int) -> Expr:
    """A whole number, which may be negative where a lower bound is meant."""
    if -1 <= value < len(_SMALL) - 1:
        return _SMALL[value + 1]
    return INFINITE if value > LARGEST else Expr((((), value),))


_SMALL = [Expr((((), value),)) if value else ZERO for value in range(-1, 65)]
ONE = constant(1)


def greatest_coefficient(e: Expr) -> int:
    """Of its terms, 0 without any; a number above `LARGEST` if it is infinite."""
    return LARGEST + 1 if e.infinite else max((c for _, c in e.terms), default=0)


def atom(each: Atom) -> Expr:
    return Expr(((((each, 1),), 1),))


def difference(a: Expr, b: Expr) -> Expr:
    """a - b as a polynomial, for finite expressions; it may be negative."""
    return _sum((*a.terms, *((m, -c) for m, c in b.terms)))


def at_least(a: Expr, b: Expr) -> bool:
    """Whether a >= b for certain: a - b has no negative coefficient once symbols are shifted to their lows."""
    if a.number is not None and b.number is not None:
        return a.number >= b.number
    if a.infinite or b.number == 0 or a == b:
        return True
    return not b.infinite and _natural(difference(a, b))


def _natural(e: Expr) -> bool:
    if all(c > 0 for _, c in e.terms):
        return True
    shifted = substitute(e, lambda s: _sum(((((s, 1),), 1), ((), s.low))) if s.low else None, inside=False)
    return all(c > 0 for _, c in shifted.terms)


def maximum(*several: Expr) -> Expr:
    """The greatest, simplified: what is never the greatest is left out, what all have in common stands outside."""
    if any(e.infinite for e in several):
        return INFINITE
    parts: list[Expr] = []
    for e in several:
        parts.extend(_spread("max", e))
    return _chosen("max", parts, lambda a, b: at_least(a, b))


def minimum(*several: Expr) -> Expr:
    finite = [e for e in several if not e.infinite]
    if not finite:
        return INFINITE
    parts: list[Expr] = []
    for e in finite:
        parts.extend(_spread("min", e))
    return _chosen("min", parts, lambda a, b: at_least(b, a))


def _spread(op: Operation, e: Expr) -> tuple[Expr, ...]:
    if len(e.terms) == 1 and e.terms[0][1] == 1 and len(e.terms[0][0]) == 1:
        only, power = e.terms[0][0][0]
        if isinstance(only, Applied) and only.op == op and power == 1:
            return only.args
    return (e,)


def _chosen(op: Literal["max", "min"], several: list[Expr], covers: Callable[[Expr, Expr], bool]) -> Expr:
    kept: list[Expr] = []
    for e in several:
        if any(covers(k, e) for k in kept):
            continue
        kept = [k for k in kept if not covers(e, k)]
        kept.append(e)
    if len(kept) == 1:
        return kept[0]
    common = dict(kept[0].terms)
    for e in kept[1:]:
        other = dict(e.terms)
        common = {m: min(c, other[m]) for m, c in common.items() if m in other and min(c, other[m]) > 0}
    shared = _sum(common.items())
    rest = [difference(e, shared) for e in kept]
    if not all(map(_natural, rest)):  # atoms count as natural, so they must be
        shared, rest = ZERO, kept
    rest.sort(key=lambda e: [_degree(m) for m, _ in e.terms] or [(1, [])])
    return shared + atom(Applied(op, tuple(rest)))


def minus(a: Expr, b: Expr) -> Expr:
    """a - b, or 0 if that is negative. `b` must be finite or the result is 0."""
    if b.infinite:
        return ZERO
    if a.infinite or b == ZERO:
        return a
    left = difference(a, b)
    if _natural(left):
        return left
    return ZERO if _natural(difference(b, a)) else atom(Applied("minus", (a, b)))


def ceil_div(a: Expr, by: Expr) -> Expr:
    return _divided("ceil_div", a, by)


def floor_div(a: Expr, by: Expr) -> Expr:
    return _divided("floor_div", a, by)


def _divided(op: Literal["ceil_div", "floor_div"], a: Expr, by: Expr) -> Expr:
    if a.infinite or by in (ONE, ZERO):
        return a
    if by.infinite:
        return ONE
    x, y = a.number, by.number
    if x is not None and y is not None:
        return constant(-(-x // y) if op == "ceil_div" else x // y)
    if y is not None and y > 0 and all(c % y == 0 for _, c in a.terms):
        return Expr(tuple((m, c // y) for m, c in a.terms))
    return atom(Applied(op, (a, by)))


def power(base: Expr, exponent: Expr) -> Expr:
    """`base` to the `exponent`, for a base of at least 1."""
    b, e = base.number, exponent.number
    if e == 0 or b == 1:
        return ONE
    if e == 1:
        return base
    if base.infinite or exponent.infinite:
        return INFINITE
    if b is not None and e is not None:
        return INFINITE if b > 1 and e * (b.bit_length() - 1) > LARGEST.bit_length() else constant(b**e)
    return atom(Applied("power", (base, exponent)))


def pairs(n: Expr) -> Expr:
    """How many pairs n things make: n (n - 1) / 2."""
    if n.infinite:
        return INFINITE
    value = n.number
    return constant(value * (value - 1) // 2) if value is not None else atom(Applied("pairs", (n,)))


_BUILD: dict[Operation, Callable[..., Expr]] = {
    "max": maximum,
    "min": minimum,
    "ceil_div": ceil_div,
    "floor_div": floor_div,
    "minus": minus,
    "power": power,
    "pairs": pairs,
}


def substitute(e: Expr, by: Callable[[Symbol], Expr | None], inside: bool = True) -> Expr:
    """The expression with other expressions for its symbols (None: the symbol stays)."""
    if e.infinite:
        return e
    total = ZERO
    changed = False
    for monomial, coefficient in e.terms:
        product = constant(coefficient)
        for each, exponent in monomial:
            new = by(each) if isinstance(each, Symbol) else _inside(each, by) if inside else None
            changed = changed or new is not None
            factor = new if new is not None else atom(each)
            for _ in range(exponent):
                product = product * factor
        total = total + product
    return total if changed else e


def _inside(each: Applied, by: Callable[[Symbol], Expr | None]) -> Expr | None:
    args = [substitute(arg, by) for arg in each.args]
    if all(new is old for new, old in zip(args, each.args, strict=True)):
        return None
    return _BUILD[each.op](*args)


def symbols(e: Expr) -> Iterator[Symbol]:
    """Every symbol in an expression, as often as it occurs."""
    for monomial, _ in e.terms:
        for each, _ in monomial:
            if isinstance(each, Symbol):
                yield each
            else:
                for arg in each.args:
                    yield from symbols(arg)
