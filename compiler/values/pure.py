"""The pure operations: what a `Pure` node computes.

One table serves constant folding, the executor and the verifier, so that `-O0` and `-O2` cannot disagree about what an
operation means. Programs are untrusted: integers, texts and lists have bounds here, and regular expressions run in
an engine that honours a timeout (`pattern.py`). Lists are tuples, records are mappings, `none` is None.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ttsc.compiler.values.answers import last_boxed, last_number, parse_float, parse_int
from ttsc.compiler.values.pattern import PatternFailed, first_match, last_match
from ttsc.compiler.values.pattern import valid_pattern as valid_pattern
from ttsc.compiler.values.types import BOOL, CANDIDATE, CANDIDATE_FIELDS, FLOAT, INT, STR, OptionalOf, Type

MAX_INTEGER = 2**63 - 1
MAX_TEXT = 1_000_000
"""Longest text, in characters."""
MAX_ITEMS = 100_000
"""Longest list."""


class EvaluationFailed(Exception):
    """A pure operation has no result for these arguments. The message is for the program's author."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table. `most` None: any number of arguments. `returns` None: the type depends on the arguments.

    `foldable`: never touches a candidate, so equal constants give an equal constant at compile time.
    """

    name: str
    run: Callable[..., object]
    least: int
    most: int | None
    returns: Type | None
    foldable: bool = True


def evaluate(op: str, attr: str, args: Sequence[object]) -> object:
    """The value of an operation, or `EvaluationFailed`. Lists come back as tuples."""
    operation = OPERATIONS.get(op)
    if operation is None:
        raise EvaluationFailed(f"there is no operation `{op}`")
    if len(args) < operation.least or (operation.most is not None and len(args) > operation.most):
        raise EvaluationFailed(f"`{op}` takes {_arity(operation)}, not {len(args)}")
    try:
        result = operation.run(*args, attr) if op == "field" else operation.run(*args)
    except PatternFailed as failure:
        raise EvaluationFailed(f"`{op}`: {failure}") from failure
    except (TypeError, ValueError, OverflowError, RecursionError, AttributeError) as failure:
        raise EvaluationFailed(f"`{op}` has no result for {_kinds(args)}") from failure
    return _bounded(result)


def foldable(op: str) -> bool:
    """Whether a constant may take the place of the operation when its arguments are constants."""
    operation = OPERATIONS.get(op)
    return operation is not None and operation.foldable


def cannot_fail(op: str) -> bool:
    """Whether the operation has a result for all arguments of its types (so that leaving it out changes nothing)."""
    return op in _TOTAL


def text_of(value: object) -> str:
    """How a value reads in a prompt and in `to_str`: text as it is, `true`, `none`, lists and records as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple | Mapping):
        try:
            return json.dumps(value, ensure_ascii=False, default=_plain)
        except (ValueError, RecursionError) as failure:
            raise EvaluationFailed("this value cannot be written as text") from failure
    text = getattr(value, "text", None)
    if isinstance(text, str):
        return text
    raise EvaluationFailed(f"{_kind(value)} cannot be written as text")


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else text_of(value)


def _arity(operation: Operation) -> str:
    if operation.most is None:
        return f"at least {operation.least} arguments"
    if operation.least == operation.most:
        return f"{operation.least} argument{'' if operation.least == 1 else 's'}"
    return f"{operation.least} to {operation.most} arguments"


def _kind(value: object) -> str:
    names = {str: "str", int: "int", float: "float", bool: "bool", type(None): "none", list: "list", tuple: "list"}
    return names.get(type(value), "record" if isinstance(value, Mapping) else type(value).__name__)


def _kinds(args: Sequence[object]) -> str:
    return " and ".join(_kind(a) for a in args) or "no arguments"


def _bounded(value: object) -> object:
    """The value with lists as tuples, or a failure if a bound is exceeded."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise EvaluationFailed("integer out of range (64 bits)")
    if isinstance(value, float) and not math.isfinite(value):
        raise EvaluationFailed("number out of range")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise EvaluationFailed(f"text longer than {MAX_TEXT} characters")
    if isinstance(value, list | tuple):
        if len(value) > MAX_ITEMS:
            raise EvaluationFailed(f"list longer than {MAX_ITEMS} items")
        return tuple(value)
    return value


# --- arguments ------------------------------------------------------------------------------------------------------


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: object) -> Any:
    if not _is_number(value):
        raise TypeError
    return value


def _int(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _items(value: object) -> tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError
    return tuple(value)


def _filled(values: object, op: str) -> tuple[object, ...]:
    items = _items(values)
    if not items:
        raise EvaluationFailed(f"`{op}` of an empty list")
    return items


# --- arithmetic and comparison --------------------------------------------------------------------------------------


def _add(a: object, b: object) -> object:
    if isinstance(a, str) and isinstance(b, str):
        return a + b
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return (*a, *b)
    return _number(a) + _number(b)


def _divided(run: Callable[[Any, Any], object]) -> Callable[[object, object], object]:
    def divide(a: object, b: object) -> object:
        if _number(b) == 0:
            raise EvaluationFailed("division by zero")
        return run(_number(a), b)

    return divide


def _equal(a: object, b: object) -> bool:
    if isinstance(a, bool) != isinstance(b, bool):
        return False
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def _ordered(run: Callable[[Any, Any], bool]) -> Callable[[object, object], bool]:
    def compare(a: object, b: object) -> bool:
        if (isinstance(a, str) and isinstance(b, str)) or (_is_number(a) and _is_number(b)):
            return run(a, b)
        raise TypeError

    return compare


def _in(item: object, whole: object) -> bool:
    if isinstance(whole, str):
        return _text(item) in whole
    return any(_equal(item, each) for each in _items(whole))


def _round(x: object, digits: object = None) -> object:
    """Half to even, as in Python; without `digits` an int."""
    return round(_number(x)) if digits is None else round(float(_number(x)), max(-20, min(20, _int(digits))))


def _clip(x: object, low: object, high: object) -> object:
    if _number(low) > _number(high):
        raise EvaluationFailed("`clamp`: the low bound is above the high one")
    return max(_number(low), min(_number(high), _number(x)))


# --- text -----------------------------------------------------------------------------------------------------------


def _replace(text: object, old: object, new: object) -> str:
    whole, gone, fresh = _text(text), _text(old), _text(new)
    if not gone:
        raise EvaluationFailed("`replace` of an empty text")
    if len(whole) + whole.count(gone) * (len(fresh) - len(gone)) > MAX_TEXT:
        raise EvaluationFailed(f"text longer than {MAX_TEXT} characters")
    return whole.replace(gone, fresh)


def _split(text: object, separator: object = None) -> tuple[str, ...]:
    if separator == "":
        raise EvaluationFailed("`split` at an empty text")
    return tuple(_text(text).split(None if separator is None else _text(separator)))


def _join(items: object, separator: object = "") -> str:
    texts = [_text(item) for item in _items(items)]
    if sum(map(len, texts)) + len(texts) * len(_text(separator)) > MAX_TEXT + len(_text(separator)):
        raise EvaluationFailed(f"text longer than {MAX_TEXT} characters")
    return _text(separator).join(texts)


def _group(value: object) -> int | str:
    return value if isinstance(value, str) else _int(value)


def _head(whole: object, n: object) -> object:
    if _int(n) < 0:
        raise EvaluationFailed("`head` of a negative length")
    return whole[: _int(n)] if isinstance(whole, str) else _items(whole)[: _int(n)]


def _length(value: object) -> int:
    return len(value) if isinstance(value, str) else len(_items(value))


# --- lists, optionals, records, candidates --------------------------------------------------------------------------


def _item(values: object, index: object) -> object:
    items, i = (values if isinstance(values, str) else _items(values)), _int(index)
    if not -len(items) <= i < len(items):
        raise EvaluationFailed(f"index {i} is outside of a list of {len(items)}")
    return items[i]


def _count(values: object, wanted: object = ...) -> int:
    """How many items there are, or how many equal `wanted`."""
    items = _items(values)
    return len(items) if wanted is ... else sum(_equal(item, wanted) for item in items)


def _sum(values: object) -> object:
    numbers = [_number(v) for v in _items(values)]
    return math.fsum(numbers) if any(isinstance(v, float) for v in numbers) else sum(numbers)


def _mean(values: object) -> float:
    """0 for an empty list."""
    numbers = [_number(v) for v in _items(values)]
    return math.fsum(numbers) / len(numbers) if numbers else 0.0


def _extreme(op: str, pick: Callable[[Any], object]) -> Callable[[object], object]:
    def extreme(values: object) -> object:
        items = _filled(values, op)
        if not (all(isinstance(v, str) for v in items) or all(_is_number(v) for v in items)):
            raise TypeError
        return pick(items)

    return extreme


def _field(value: object, attr: str) -> object:
    if isinstance(value, Mapping):
        if attr not in value:
            raise EvaluationFailed(f"the record has no field `{attr}`")
        return value[attr]
    if attr not in CANDIDATE_FIELDS or value is None or isinstance(value, str | int | float | list | tuple):
        raise EvaluationFailed(f"{_kind(value)} has no field `{attr}`")
    return getattr(value, attr)


def _with_score(candidate: object, score: object) -> object:
    return replace(candidate, score=float(_number(score)))  # type: ignore[type-var]


def _one(values: object, otherwise: object = ...) -> object:
    items = _items(values)
    if items:
        return items[0]
    if otherwise is ...:
        raise EvaluationFailed("`one` of an empty list: no candidate is left")
    return otherwise


def _table(*operations: Operation) -> dict[str, Operation]:
    return {operation.name: operation for operation in operations}


_MAYBE_STR = OptionalOf(STR)

OPERATIONS: dict[str, Operation] = _table(
    Operation("add", _add, 2, 2, None),
    Operation("sub", lambda a, b: _number(a) - _number(b), 2, 2, None),
    Operation("mul", lambda a, b: _number(a) * _number(b), 2, 2, None),
    Operation("div", _divided(lambda a, b: a / b), 2, 2, FLOAT),
    Operation("floordiv", _divided(lambda a, b: a // b), 2, 2, None),
    Operation("mod", _divided(lambda a, b: a % b), 2, 2, None),
    Operation("neg", lambda a: -_number(a), 1, 1, None),
    Operation("eq", _equal, 2, 2, BOOL),
    Operation("ne", lambda a, b: not _equal(a, b), 2, 2, BOOL),
    Operation("lt", _ordered(lambda a, b: a < b), 2, 2, BOOL),
    Operation("le", _ordered(lambda a, b: a <= b), 2, 2, BOOL),
    Operation("gt", _ordered(lambda a, b: a > b), 2, 2, BOOL),
    Operation("ge", _ordered(lambda a, b: a >= b), 2, 2, BOOL),
    Operation("not", lambda a: not _bool(a), 1, 1, BOOL),
    Operation("and", lambda a, b: _bool(a) & _bool(b), 2, 2, BOOL),
    Operation("or", lambda a, b: _bool(a) | _bool(b), 2, 2, BOOL),
    Operation("in", _in, 2, 2, BOOL),
    Operation("round", _round, 1, 2, None),
    Operation("clamp", _clip, 3, 3, None),
    Operation("strip", lambda a: _text(a).strip(), 1, 1, STR),
    Operation("lower", lambda a: _text(a).lower(), 1, 1, STR),
    Operation("upper", lambda a: _text(a).upper(), 1, 1, STR),
    Operation("length", _length, 1, 1, INT),
    Operation("contains", lambda a, b: _text(b) in _text(a), 2, 2, BOOL),
    Operation("starts_with", lambda a, b: _text(a).startswith(_text(b)), 2, 2, BOOL),
    Operation("ends_with", lambda a, b: _text(a).endswith(_text(b)), 2, 2, BOOL),
    Operation("replace", _replace, 3, 3, STR),
    Operation("find", lambda a, p, g=0: first_match(_text(a), _text(p), _group(g)), 2, 3, _MAYBE_STR),
    Operation("find_last", lambda a, p, g=0: last_match(_text(a), _text(p), _group(g)), 2, 3, _MAYBE_STR),
    Operation("last_boxed", lambda a: last_boxed(_text(a)), 1, 1, _MAYBE_STR),
    Operation("last_number", lambda a: last_number(_text(a)), 1, 1, _MAYBE_STR),
    Operation("split", _split, 1, 2, None),
    Operation("join", _join, 1, 2, STR),
    Operation("head", _head, 2, 2, None),
    Operation("to_str", text_of, 1, 1, STR),
    Operation("to_float", lambda a: float(a) if _is_number(a) else parse_float(_text(a)), 1, 1, OptionalOf(FLOAT)),
    Operation("to_int", lambda a: _int(a) if _is_number(a) else parse_int(_text(a)), 1, 1, OptionalOf(INT)),
    Operation("item", _item, 2, 2, None),
    Operation("list", lambda *items: items, 0, None, None),
    Operation("count", _count, 1, 2, INT),
    Operation("sum", _sum, 1, 1, None),
    Operation("mean", _mean, 1, 1, FLOAT),
    Operation("minimum", _extreme("minimum", min), 1, 1, None),
    Operation("maximum", _extreme("maximum", max), 1, 1, None),
    Operation("or_else", lambda value, default: default if value is None else value, 2, 2, None),
    Operation("one", _one, 1, 2, None),
    Operation("field", _field, 1, 1, None, foldable=False),
    Operation("with_score", _with_score, 2, 2, CANDIDATE, foldable=False),
)

_TOTAL = frozenset(
    "eq ne lt le gt ge not and or in neg strip lower upper length contains starts_with ends_with last_boxed last_number"
    " to_str to_float to_int list count or_else field with_score".split()
)
