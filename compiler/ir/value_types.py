"""Types of what nodes work on: of constants, of fields, and which types are data."""

from __future__ import annotations

from ttsc.compiler.ir.nodes import Constant
from ttsc.compiler.values.abstain import Abstain
from ttsc.compiler.values.types import (
    ABSTAIN,
    BOOL,
    CANDIDATE,
    CANDIDATE_FIELDS,
    FLOAT,
    INT,
    NEVER,
    NODE_FIELDS,
    NONE,
    PAIR_FIELDS,
    STR,
    ListOf,
    OptionalOf,
    PairOf,
    RecordType,
    Scalar,
    Type,
    assignable,
    join,
)

_LIVE = frozenset({"Context", "Candidate", "Tree", "Node", "Image"})
"""Scalars that are no data: they hold what an engine or a run knows."""


def type_of(value: Constant) -> Type:
    """The type of a constant."""
    match value:
        case str():
            return STR
        case bool():
            return BOOL
        case int():
            return INT
        case float():
            return FLOAT
        case None:
            return NONE
        case Abstain():
            return ABSTAIN
        case tuple():
            item: Type | None = NEVER
            for each in value:
                item = None if item is None else join(item, type_of(each))
            return ListOf(NEVER if item is None else item)


def is_data(type_: Type) -> bool:
    """Whether values of the type are data: texts, numbers, and what is made of them."""
    match type_:
        case Scalar(name=name):
            return name not in _LIVE
        case ListOf(item=item) | OptionalOf(item=item):
            return is_data(item)
        case PairOf(first=first, second=second):
            return is_data(first) and is_data(second)
        case RecordType(fields=fields):
            return all(is_data(each) for _, each in fields)


def field_type(of: Type, name: str) -> Type | None:
    """The type of a field, or None if there is none of that name."""
    match of:
        case RecordType():
            return of.field(name)
        case PairOf(first=first, second=second):
            return dict(zip(PAIR_FIELDS, (first, second), strict=True)).get(name)
        case Scalar("Node"):
            return NODE_FIELDS.get(name)
    return CANDIDATE_FIELDS.get(name) if assignable(of, CANDIDATE) else None
