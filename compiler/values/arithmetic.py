"""Operators: arithmetic, comparison, logic; equality of all values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ttsc.compiler.values.abstain import ABSTAINED
from ttsc.compiler.values.evaluation import (
    EvaluationFailed,
    Operation,
    boolean,
    integer,
    is_number,
    items,
    kind_of,
    number,
    text,
)
from ttsc.compiler.values.types import BOOL, FLOAT


def equal(a: object, b: object) -> bool:
    """Equality in the language: 1 is 1.0 but not true, `none` is not `abstain`, lists and records by their parts."""
    if isinstance(a, bool) != isinstance(b, bool):
        return False
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a)
    return bool(a == b)


def identity(value: object) -> object:
    """A hashable stand-in for a value of data: equal exactly if the values are `equal`."""
    if isinstance(value, bool):
        return ("bool", value)
    if value is None or value == ABSTAINED or isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple):
        return ("list", tuple(identity(each) for each in value))
    if isinstance(value, Mapping):
        return ("record", frozenset((name, identity(each)) for name, each in value.items()))
    raise EvaluationFailed(f"values of {kind_of(value)} are no keys: take a field, such as `text`")


def _add(a: object, b: object) -> object:
    if isinstance(a, str) and isinstance(b, str):
        return a + b
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return (*a, *b)
    return number(a) + number(b)


def _divided(run: Callable[[Any, Any], object]) -> Callable[[object, object], object]:
    def divide(a: object, b: object) -> object:
        if number(b) == 0:
            raise EvaluationFailed("division by zero")
        return run(number(a), b)

    return divide


def _ordered(run: Callable[[Any, Any], bool]) -> Callable[[object, object], bool]:
    def compare(a: object, b: object) -> bool:
        if (isinstance(a, str) and isinstance(b, str)) or (is_number(a) and is_number(b)):
            return run(a, b)
        raise TypeError

    return compare


def _in(item: object, whole: object) -> bool:
    if isinstance(whole, str):
        return text(item) in whole
    return any(equal(item, each) for each in items(whole))


def _round(x: object, digits: object = None) -> object:
    """Half to even, as in Python; without `digits` an int."""
    return round(number(x)) if digits is None else round(float(number(x)), max(-20, min(20, integer(digits))))


def _clamp(x: object, low: object, high: object) -> object:
    if number(low) > number(high):
        raise EvaluationFailed("`clamp`: the low bound is above the high one")
    return max(number(low), min(number(high), number(x)))


def _missing(value: object) -> bool:
    return value is None or value == ABSTAINED


def _or_else(value: object, default: object) -> object:
    return default if _missing(value) else value


ARITHMETIC = (
    Operation("add", _add, 2, 2, None),
    Operation("sub", lambda a, b: number(a) - number(b), 2, 2, None),
    Operation("mul", lambda a, b: number(a) * number(b), 2, 2, None),
    Operation("div", _divided(lambda a, b: a / b), 2, 2, FLOAT),
    Operation("floordiv", _divided(lambda a, b: a // b), 2, 2, None),
    Operation("mod", _divided(lambda a, b: a % b), 2, 2, None),
    Operation("neg", lambda a: -number(a), 1, 1, None, total=True),
    Operation("eq", equal, 2, 2, BOOL, total=True),
    Operation("ne", lambda a, b: not equal(a, b), 2, 2, BOOL, total=True),
    Operation("lt", _ordered(lambda a, b: a < b), 2, 2, BOOL, total=True),
    Operation("le", _ordered(lambda a, b: a <= b), 2, 2, BOOL, total=True),
    Operation("gt", _ordered(lambda a, b: a > b), 2, 2, BOOL, total=True),
    Operation("ge", _ordered(lambda a, b: a >= b), 2, 2, BOOL, total=True),
    Operation("not", lambda a: not boolean(a), 1, 1, BOOL, total=True),
    Operation("and", lambda a, b: boolean(a) & boolean(b), 2, 2, BOOL, total=True),
    Operation("or", lambda a, b: boolean(a) | boolean(b), 2, 2, BOOL, total=True),
    Operation("in", _in, 2, 2, BOOL, total=True),
    Operation("round", _round, 1, 2, None),
    Operation("clamp", _clamp, 3, 3, None),
    Operation("or_else", _or_else, 2, 2, None, total=True),
    Operation("missing", _missing, 1, 1, BOOL, total=True),
    Operation("known", lambda value: value, 1, 1, None, foldable=False, total=True),
)
"""`or_else` and `missing`: an abstention is a missing value too. `known`: its argument, which the checker has
shown to have a value.
"""
