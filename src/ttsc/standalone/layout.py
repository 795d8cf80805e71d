"""Python text: literals, calls that are broken where they are too long, names that are free."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields

from ttsc.compiler.values.abstain import Abstain
from ttsc.compiler.values.types import Interval, ListOf, OptionalOf, PairOf, RecordType, Scalar, Type

WIDTH = 120
_RESERVED = frozenset(dir(builtins)) | frozenset(keyword.kwlist)


def literal(value: object) -> str:
    """A constant as Python writes it, texts in double quotes."""
    match value:
        case Abstain():
            return "ABSTAINED"
        case str():
            return quoted(value)
        case tuple():
            inner = ", ".join(map(literal, value))
            return f"({inner},)" if len(value) == 1 else f"({inner})"
    return repr(value)


def quoted(text: str) -> str:
    """A text in double quotes, or in single ones where it holds only those of the other kind."""
    shown = repr(text)
    if shown[0] == '"' or ('"' in text and "'" not in text):
        return shown
    return '"' + shown[1:-1].replace('"', '\\"').replace("\\'", "'") + '"'


def call(head: str, arguments: Sequence[str]) -> str:
    """`head(argument, …)`"""
    return f"{head}({', '.join(arguments)})"


def wrapped(text: str, indent: int) -> str:
    """A statement, broken inside its last bracket where it is too long: the parts on one line, else one a line."""
    first = text.split("\n", 1)[0]
    if indent + len(first) <= WIDTH:
        return text
    brackets = list(_outermost(text))
    if not brackets:
        return text
    start, stop = max(brackets, key=lambda each: each[1] - each[0])
    head, inner, tail = text[: start + 1], text[start + 1 : stop], text[stop:]
    if not inner.strip():
        return text
    pad = " " * (indent + 4)
    if len(pad) + len(inner) <= WIDTH and "\n" not in inner and len(list(_parts(inner))) > 0:
        return f"{head}\n{pad}{inner.rstrip(',')}\n{' ' * indent}{tail}"
    parts = "".join(f"{pad}{wrapped(part, indent + 4)},\n" for part in _parts(inner))
    return f"{head}\n{parts}{' ' * indent}{tail}"


def _outermost(text: str) -> Iterator[tuple[int, int]]:
    """The places of each outermost bracket and of the one that closes it."""
    opened: list[int] = []
    for place, character in _outside_of_texts(text):
        if character in "([{":
            opened.append(place)
        elif character in ")]}":
            start = opened.pop()
            if not opened:
                yield start, place


def _parts(text: str) -> Iterator[str]:
    """What stands between the commas that are in no bracket."""
    depth = start = 0
    for place, character in _outside_of_texts(text):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and not depth:
            yield text[start:place].strip()
            start = place + 1
    if text[start:].strip():
        yield text[start:].strip()


def _outside_of_texts(text: str) -> Iterator[tuple[int, str]]:
    place, quote = 0, ""
    while place < len(text):
        character = text[place]
        if quote and character == "\\":
            place += 1
        elif quote and text.startswith(quote, place):
            place += len(quote) - 1
            quote = ""
        elif not quote and character in "\"'":
            quote = text[place : place + 3] if text[place : place + 3] in ('"""', "'''") else character
            place += len(quote) - 1
        elif not quote:
            yield place, character
        place += 1


def type_expression(type_: Type) -> str:
    """A type as its constructors; records by the names of their constants."""
    match type_:
        case Scalar(name):
            return f'Scalar("{name}")'
        case ListOf(item, limit):
            return f"ListOf({type_expression(item)}{'' if limit is None else f', {limit}'})"
        case OptionalOf(item):
            return f"OptionalOf({type_expression(item)})"
        case PairOf(first, second):
            return f"PairOf({type_expression(first)}, {type_expression(second)})"
        case RecordType(name):
            return constant_name(name)


def record_expression(record: RecordType) -> str:
    """What defines a record's constant."""
    parts = _tuple(f"({quoted(name)}, {type_expression(kind)})" for name, kind in record.fields)
    allowed = _tuple(f"({quoted(name)}, {_allowed(values)})" for name, values in record.allowed)
    return call("RecordType", [quoted(record.name), parts, *([allowed] if record.allowed else [])])


def _tuple(items: Iterable[str]) -> str:
    found = list(items)
    return f"({', '.join(found)}{',' if len(found) == 1 else ''})"


def _allowed(values: Interval | tuple[object, ...]) -> str:
    return f"Interval({values.low!r}, {values.high!r})" if isinstance(values, Interval) else literal(values)


def words_of(type_: Type) -> set[str]:
    """The constructors that a type's expression uses."""
    match type_:
        case ListOf(item) | OptionalOf(item):
            return {type(type_).__name__} | words_of(item)
        case PairOf(first, second):
            return {"PairOf"} | words_of(first) | words_of(second)
        case RecordType(fields=parts, allowed=allowed):
            inner = set().union(*(words_of(kind) for _, kind in parts)) if parts else set()
            return (
                {"RecordType"} | inner | ({"Interval"} if any(isinstance(v, Interval) for _, v in allowed) else set())
            )
        case Scalar():
            return {"Scalar"}


def data_expression(value: object) -> str:
    """A dataclass of settings as its constructor, what is at its default left out."""
    assert hasattr(value, "__dataclass_fields__")
    given = [
        f"{each.name}={literal(getattr(value, each.name))}"
        for each in fields(value)  # type: ignore[arg-type]
        if getattr(value, each.name) != each.default
    ]
    return f"{type(value).__name__}({', '.join(given)})"


def constant_name(name: str) -> str:
    """`Execution` as `EXECUTION`, `write_test` as `WRITE_TEST`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", identifier(name)).upper()


def identifier(name: str) -> str:
    """A name that Python takes, near to the given one."""
    found = re.sub(r"\W", "_", name)
    return f"{found}_" if found in _RESERVED or not found[:1].isidentifier() else found


class Names:
    """Names of one file or function, each given once."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def fresh(self, wanted: str) -> str:
        """A free name near to the wanted one."""
        name = identifier(wanted)
        while name in self._taken or name in _RESERVED:
            name += "_"
        self._taken.add(name)
        return name
