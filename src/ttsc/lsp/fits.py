"""Whether a value may be piped into an operator, a function or what a program declares."""

from __future__ import annotations

from typing import Any

from ttsc.compiler.semantics.declarations import BASIC
from ttsc.compiler.semantics.functions import Signature, lifts
from ttsc.compiler.semantics.operators import Spec
from ttsc.compiler.values.types import CANDIDATE, CONTEXT, NEVER, STR, ListOf, OptionalOf, RecordType, Type, assignable
from ttsc.grammar import ast


def operator_takes(spec: Spec, given: Type) -> bool:
    """By the operator's own words for what it takes: a Context, a Candidate, a list, of candidates or of anything."""
    item = given.item if isinstance(given, ListOf) else None
    if "list of candidates" in spec.source:
        return item is not None and (assignable(item, CANDIDATE) or ("answers" in spec.source and _text(item)))
    if spec.source.startswith("a list"):
        return item is not None
    element = item if item is not None else given
    if "Candidate" in spec.source:
        return assignable(element, CANDIDATE)
    return element == CONTEXT if "Context" in spec.source else True


def function_takes(signature: Signature, given: Type) -> bool:
    """As its first argument, or element by element."""
    if not signature.parameters:
        return False
    first = signature.parameters[0]
    if first is None:
        return not callable(signature.result) or signature.result([given] * len(signature.parameters)) is not None
    return _takes(first, given) or lifts(signature, given)


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


def _text(type_: Type) -> bool:
    return assignable(type_, OptionalOf(STR))
