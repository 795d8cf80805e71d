"""Intervals of numbers whose ends are symbolic. An upper end below 0 counts as 0: what is bounded are counts."""

from __future__ import annotations

from collections.abc import Sequence

from ttsc.compiler.bounds.domain import Abstract, Items, Nothing, Number, Unknown
from ttsc.compiler.bounds.expr import (
    INFINITE,
    ONE,
    ZERO,
    Expr,
    at_least,
    ceil_div,
    constant,
    floor_div,
    maximum,
    minimum,
    minus,
)

Args = Sequence[Abstract]
WAY_OUT = "bound it: `clamp(x, 1, 8)`, or declare the range of a record's field: `in 1..8`"


def high(value: Abstract) -> Expr:
    return value.high if isinstance(value, Number) else ZERO if isinstance(value, Nothing) else INFINITE


def low(value: Abstract) -> Expr | None:
    return value.low if isinstance(value, Number) else ZERO if isinstance(value, Nothing) else None


def _natural(value: Abstract) -> bool:
    least = low(value)
    return least is not None and at_least(least, ZERO)


def _unknown(args: Args) -> Unknown | None:
    return next((a.unknown for a in args if isinstance(a, Number) and a.unknown is not None), None)


def _number(args: Args, top: Expr, bottom: Expr | None) -> Number:
    return Number(top, bottom, _unknown(args))


def add(args: Args) -> Number:
    a, b = args[0], args[1]
    la, lb = low(a), low(b)
    bottom = None if la is None or lb is None or la.infinite or lb.infinite else la + lb
    return _number(args, high(a) + high(b), bottom)


def sub(args: Args) -> Number:
    """a - b is greatest where b is least; of a `b` that may be anything below 0 nothing is known."""
    a, b = args
    least = low(b)
    if least is None:
        return _number(args, INFINITE, None)
    value = least.number
    top = high(a) + constant(-value) if value is not None and value < 0 else minus(high(a), least)
    la, hb = low(a), high(b)
    known = None if la is None else la.number
    most = hb.number
    bottom = constant(known - most) if known is not None and most is not None else None
    if bottom is None and la is not None and not hb.infinite and not la.infinite and at_least(la, hb):
        bottom = minus(la, hb)
    return _number(args, top, bottom)


def mul(args: Args) -> Number:
    a, b = args
    if _natural(a) and _natural(b):
        la, lb = low(a), low(b)
        assert la is not None and lb is not None
        return _number(args, high(a) * high(b), la * lb)
    return _number(args, _magnitude(a) * _magnitude(b), None)


def _magnitude(value: Abstract) -> Expr:
    """The greatest of |x|."""
    least = low(value)
    if least is None:
        return INFINITE
    known = least.number
    return maximum(high(value), constant(-known)) if known is not None and known < 0 else high(value)


def div(args: Args) -> Number:
    a, b = args
    least = low(b)
    if not _natural(a) or least is None or not at_least(least, ONE):
        return _number(args, INFINITE, ZERO if _natural(a) and _natural(b) else None)
    return _number(args, ceil_div(high(a), least), ZERO)


def floordiv(args: Args, *, whole: bool) -> Number:
    """`whole`: of ints, so a divisor that is positive is at least 1."""
    a, b = args
    least = low(b)
    if not _natural(a) or least is None or not at_least(least, ONE):
        known = whole and _natural(a) and _natural(b)
        return _number(args, high(a) if known else INFINITE, ZERO if known else None)
    return _number(args, floor_div(high(a), least), ZERO)


def mod(args: Args) -> Number:
    """Below the divisor, and of its sign."""
    a, b = args
    if not _natural(b):
        return _number(args, INFINITE, None)
    return _number(args, minimum(high(a), high(b)) if _natural(a) else high(b), ZERO)


def neg(args: Args) -> Number:
    least, most = low(args[0]), high(args[0])
    value = None if least is None else least.number
    top = INFINITE if least is None else constant(-value) if value is not None and value < 0 else ZERO
    known = most.number
    return _number(args, top, None if known is None else constant(-known))


def absolute(args: Args) -> Number:
    return _number(args, _magnitude(args[0]), ZERO)


def rounded(args: Args) -> Number:
    """The ends are whole, so rounding stays between them; to decimals before the point it may go up by half of one."""
    if len(args) == 1:
        return _number(args, high(args[0]), low(args[0]))
    digits = low(args[1])
    if digits is None or not at_least(digits, ZERO):
        return _number(args, INFINITE, None)
    return _number(args, high(args[0]), low(args[0]))


def clamp(args: Args) -> Number:
    x, bottom, top = args
    most = minimum(high(top), maximum(high(x), high(bottom)))
    unknown = _unknown((bottom, top))
    return Number(most, low(bottom), unknown if most.infinite else None)


def converted(args: Args) -> Number:
    """A number as it is; of a text nothing is known."""
    if isinstance(args[0], Number):
        return args[0]
    if isinstance(args[0], Nothing):
        return Number(ZERO, ZERO)
    return Number(INFINITE, None, Unknown("a number read from a text", WAY_OUT))


def total(args: Args) -> Number:
    source = args[0]
    if not isinstance(source, Items):
        return Number(ZERO if isinstance(source, Nothing) else INFINITE, ZERO)
    each = source.item
    bottom = ZERO if isinstance(each, Nothing) or _natural(each) else None
    return Number(source.length * high(each), bottom, source.unknown or _unknown((each,)))


def average(args: Args) -> Number:
    """Of an empty list 0."""
    each = args[0].item if isinstance(args[0], Items) else args[0]
    return Number(high(each), ZERO if _natural(each) else None)


def share(args: Args) -> Number:
    return Number(ONE, ZERO)
