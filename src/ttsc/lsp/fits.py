"""Whether a value may be piped into a function or into what a program declares; an operator says so itself."""

from __future__ import annotations

from typing import Any

from ttsc.compiler.semantics.declarations import BASIC
from ttsc.compiler.semantics.functions import Signature, lifts, result_type
from ttsc.compiler.values.types import (
    CANDIDATE,
    CONTEXT,
    FLOAT,
    INT,
    NEVER,
    STR,
    ListOf,
    OptionalOf,
    RecordType,
    Type,
    assignable,
)
from ttsc.grammar import ast


def function_takes(signature: Signature, given: Type) -> bool:
    """As its first argument, or element by element."""
    if not signature.parameters:
        return False
    first = signature.parameters[0]
    if first is not None:
        return _takes(first, given) or lifts(signature, given)
    others = [given, INT, FLOAT, STR, *([given.item] if isinstance(given, ListOf | OptionalOf) else [])]
    return any(result_type(signature, [given, *[other] * (len(signature.parameters) - 1)]) for other in others)


def declared_takes(d: Any, given: Type) -> bool:
    """As the first parameter of a prompt, extern, function or program."""
    if not getattr(d, "parameters", ()):
        return False
    first = type_of(d.parameters[0].type)
    if _takes(first, given):
        return True
    return isinstance(d, ast.Function) and isinstance(given, ListOf) and _takes(first, given.item)


def type_of(written: ast.TypeExpr) -> Type:
    """The type that is written; a record by its name alone."""
    match written:
        case ast.ListType(item):
            return ListOf(type_of(item))
        case ast.OptionalType(item):
            return OptionalOf(type_of(item))
        case ast.NamedType(name):
            return BASIC[name] if name in BASIC else RecordType(name, ())


def _takes(first: Type, given: Type) -> bool:
    if isinstance(first, RecordType) or isinstance(given, RecordType):
        return str(first) == str(given)
    return assignable(given, first) or (first == STR and given in (CANDIDATE, CONTEXT)) or given == NEVER
