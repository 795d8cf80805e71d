"""Where sizes come from: parameters (symbols), values that are given (measured), and values from outside (unknown)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from ttsc.compiler.bounds.domain import (
    NEVER,
    NOTHING,
    PLAIN,
    UNBOUNDED,
    Abstract,
    Conversation,
    Fields,
    Items,
    Number,
    Text,
    Tree,
    Unknown,
    join,
)
from ttsc.compiler.bounds.expr import INFINITE, ZERO, Expr, Symbol, atom, constant
from ttsc.compiler.values.abstain import Abstain
from ttsc.compiler.values.types import (
    CANDIDATE,
    Interval,
    ListOf,
    OptionalOf,
    PairOf,
    RecordType,
    Scalar,
    Type,
)

Count = Callable[[str], int]
MAX_TEXT_BYTES = 4_000_000
"""A message has at most a million characters (`values/templates.py`), of at most four bytes each."""
SHORT = constant(64)
"""Tokens of a text that the language makes: how a candidate ended, a model's role."""


def utf8(text: str) -> int:
    """Bytes of a text: no tokenizer of bytes makes more tokens of it."""
    return len(text.encode("utf-8", "surrogatepass"))


def parameter(name: str, type_: Type, rank: int, tunable: object = None) -> Abstract:
    """A parameter: `tokens(question)`, `|tests|`, `n`."""
    low = math.ceil(tunable.low) if isinstance(tunable, Interval) and tunable.low > 0 else 0

    def symbol(text: str, least: int = 0) -> Expr:
        return atom(Symbol(text, rank, least))

    def make(path: str, each: Type) -> Abstract:
        match each:
            case Scalar("str"):
                return Text(symbol(f"tokens({path})"), symbol(f"length({path})"))
            case Scalar("int" | "float"):
                return Number(symbol(path, low), symbol(path, low))
            case ListOf(item):
                return Items(symbol(f"|{path}|"), make(f"{path}[]", item))
            case OptionalOf(item):
                return join(make(path, item), NOTHING)
            case PairOf(first, second):
                return Fields((("first", make(f"{path}.first", first)), ("second", make(f"{path}.second", second))))
            case RecordType(fields=fields):
                return Fields(tuple((field, make(f"{path}.{field}", kind)) for field, kind in fields))
        return PLAIN

    return make(name, type_)


def foreign(origin: str, type_: Type, what: str, text: Callable[[str], Expr]) -> Abstract:
    """A value from outside, of which only the declared type is known. `text(path)`: the size of a text in it."""
    way_out_list = "declare its limit, as in `list[str, 8]`, or take the first few: `|> take(8)`"
    way_out_int = "bound it: `clamp(x, 1, 8)`, or declare the range of a record's field: `in 1..8`"

    def make(path: str, each: Type, allowed: object = None) -> Abstract:
        match each:
            case Scalar("str"):
                return Text(text(path), INFINITE)
            case Scalar("int" | "float"):
                if isinstance(allowed, Interval):
                    return Number(constant(max(0, math.ceil(allowed.high))), constant(math.floor(allowed.low)))
                if isinstance(allowed, tuple):
                    return chosen(allowed)
                return Number(INFINITE, None, Unknown(what, way_out_int))
            case ListOf(item, limit):
                length = INFINITE if limit is None else constant(limit)
                return Items(length, make(f"{path}[]", item), Unknown(what, way_out_list) if limit is None else None)
            case OptionalOf(item):
                return join(make(path, item, allowed), NOTHING)
            case PairOf(first, second):
                return Fields((("first", make(path, first)), ("second", make(path, second))))
            case RecordType(fields=fields):
                ranges = dict(each.allowed)
                return Fields(tuple((f, make(f"{path}.{f}", kind, ranges.get(f))) for f, kind in fields))
            case Scalar("Context" | "Candidate"):
                return Conversation(INFINITE, INFINITE, Text(INFINITE, INFINITE), INFINITE, until=None)
            case Scalar("Tree"):
                return Tree(INFINITE, make(path, CANDIDATE))
            case Scalar("Node"):
                return tree_node(INFINITE, make(path, CANDIDATE))
        return PLAIN

    return make(origin, type_)


def chosen(values: tuple[object, ...], count: Count = utf8) -> Abstract:
    """One of some constants."""
    result: Abstract = NEVER
    for value in values:
        result = join(result, measured(value, count))
    return result


def tree_node(nodes: Expr, candidate: Abstract) -> Fields:
    """A node of a search tree of so many."""
    count = Number(nodes, ZERO)
    anything = Number(INFINITE, None)
    fields = (("candidate", candidate), ("visits", anything), ("value", anything), ("depth", count), ("index", count))
    return Fields(fields)


def measured(value: object, count: Count = utf8) -> Abstract:
    """The size of a value that is known."""
    match value:
        case None | Abstain():
            return NOTHING
        case bool():
            return PLAIN
        case int():
            return Number(constant(max(0, value)), constant(value))
        case float():
            if not math.isfinite(value):
                return UNBOUNDED
            return Number(constant(max(0, math.ceil(value))), constant(math.floor(value)))
        case str():
            return Text(constant(count(value)), constant(len(value)))
        case Mapping():
            return Fields(tuple((str(key), measured(each, count)) for key, each in value.items()))
        case list() | tuple():
            return Items(constant(len(value)), chosen(tuple(value), count))
    return PLAIN


def written_number(value: Number) -> Expr:
    """Characters of a number: a float takes up to 24, an int of 64 bits 20, one that a template made of 256 bits 78."""
    if value.high.infinite:
        return constant(80)
    return constant(max(25, len(str(value.high.number or 0)) + 1, len(str(value.low.number or 0)) if value.low else 0))
