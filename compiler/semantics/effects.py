"""What a checked program does besides giving a value, read off its tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.state import ENVIRONMENT
from ttsc.compiler.values.types import RecordType

_RANDOM = frozenset({"resample", "shuffle", "select", "random"})
"""Operators that draw random numbers of their own; what a model samples is the model's."""


def effects_of(statements: Sequence[typed.Statement]) -> frozenset[typed.Effect]:
    """The effects of a body, those of the programs it calls included."""
    found: set[typed.Effect] = set()
    for e in expressions(statements):  # an append reads its store
        found |= _effects(e)
    return frozenset(found)


_NONE: frozenset[typed.Effect] = frozenset()
_EXTERNS: dict[str, frozenset[typed.Effect]] = {
    "plain": frozenset({"extern"}),
    "environment": frozenset({"extern", "environment"}),
    "oracle": frozenset({"extern", "oracle"}),
}


def _effects(e: typed.Expr | typed.Lambda) -> frozenset[typed.Effect]:
    match e:
        case typed.Read(symbol) if symbol.kind == "store":
            return frozenset({"store"})
        case typed.ExternCall(extern):
            return _EXTERNS[extern.kind]
        case typed.ProgramCall(program):
            return program.effects
        case typed.Operator(name):
            drawn: frozenset[typed.Effect] = frozenset({"random"}) if name in _RANDOM else _NONE
            asks = any(a == "model" and v is not None for a, v in e.arguments)
            return drawn | (frozenset({"model"}) if asks else _NONE)
    return _NONE


def changed(statements: Sequence[typed.Statement]) -> set[typed.Symbol]:
    """Variables that statements may assign, with the state of the stores and of the world that they may change."""
    found: set[typed.Symbol] = set()
    waiting = list(statements)
    while waiting:
        s = waiting.pop()
        match s:
            case typed.Assign(symbol):
                found.add(symbol)
            case typed.If(_, then, otherwise):
                waiting += (*then, *otherwise)
            case typed.Repeat(_, body) | typed.For(_, _, body):
                waiting += body
        for e in _own(s):
            for part in walk(e):
                if isinstance(part, typed.ExternCall) and part.extern.kind == "environment":
                    found.add(ENVIRONMENT)
                elif isinstance(part, typed.ProgramCall):
                    found |= part.program.changes
    return found


def changed_state(statements: Sequence[typed.Statement]) -> frozenset[typed.Symbol]:
    """Stores that statements may append to, and the environment if they may act on it."""
    return frozenset(s for s in changed(statements) if s.kind in ("store", "environment"))


def expressions(statements: Sequence[typed.Statement]) -> Iterator[typed.Expr | typed.Lambda]:
    """Every expression of some statements, and every part of one."""
    for s in statements:
        for e in _own(s):
            yield from walk(e)
        match s:
            case typed.If(_, then, otherwise):
                yield from expressions(then)
                yield from expressions(otherwise)
            case typed.Repeat(_, body) | typed.For(_, _, body):
                yield from expressions(body)


def _own(s: typed.Statement) -> tuple[typed.Expr, ...]:
    match s:
        case typed.Bind(_, value) | typed.Assign(_, value) | typed.Return(value):
            return (value,)
        case typed.If(condition):
            return (condition,)
        case typed.Repeat(count, _, until):
            return (count,) if until is None else (count, until)
        case typed.For(_, over, _, until):
            return (over,) if until is None else (over, until)


def walk(e: typed.Expr | typed.Lambda) -> Iterator[typed.Expr | typed.Lambda]:
    """An expression and all its parts. Bodies of functions are pure and left out; programs' are not entered."""
    waiting = [e]
    while waiting:
        part = waiting.pop()
        yield part
        waiting.extend(reversed(_parts(part)))


def _parts(e: typed.Expr | typed.Lambda) -> tuple[typed.Expr | typed.Lambda, ...]:
    match e:
        case typed.Read() | typed.Const():
            return ()
        case typed.Operator(_, source, arguments):
            given = [v for _, v in arguments if v is not None and not isinstance(v, str | RecordType)]
            return (source, *given)
        case typed.Conditional(condition, then, otherwise):
            return (condition, then, otherwise)
        case typed.Lambda(_, body):
            return (body,)
        case typed.RecordValue(fields):
            return fields
        case _:
            return e.args
