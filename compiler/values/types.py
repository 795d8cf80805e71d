"""The types of `.tts` values.

`Context <: Candidate`: a prompt is a candidate after which nothing was generated yet. A pool is `list[Candidate]`.
`int <: float`, `T <: T?`, lists are covariant (values are immutable).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ScalarName = Literal["str", "int", "float", "bool", "none", "Context", "Candidate", "never"]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A type without parts. `none` is the type of `none`; `never` that of an empty list's items."""

    name: ScalarName

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class ListOf:
    item: Type

    def __str__(self) -> str:
        return f"list[{self.item}]"


@dataclass(frozen=True, slots=True)
class OptionalOf:
    """`T?`: a `T` or `none`. Never nested."""

    item: Type

    def __str__(self) -> str:
        return f"{self.item}?"


@dataclass(frozen=True, slots=True)
class RecordType:
    """A declared record; records are equal by name and fields."""

    name: str
    fields: tuple[tuple[str, Type], ...]

    def __str__(self) -> str:
        return self.name

    def field(self, name: str) -> Type | None:
        return dict(self.fields).get(name)


Type = Scalar | ListOf | OptionalOf | RecordType

STR = Scalar("str")
INT = Scalar("int")
FLOAT = Scalar("float")
BOOL = Scalar("bool")
NONE = Scalar("none")
CONTEXT = Scalar("Context")
CANDIDATE = Scalar("Candidate")
NEVER = Scalar("never")
POOL = ListOf(CANDIDATE)

CANDIDATE_FIELDS: dict[str, Type] = {
    "text": STR,
    "tokens": INT,
    "finish": STR,
    "finished": BOOL,
    "truncated": BOOL,
    "score": FLOAT,
    "model": STR,
}
"""Fields of a candidate: generated text; tokens generated since its context; how its last generation ended (`eos`,
`stop`, `length`); whether it ended by itself; whether it was cut by `max_tokens`; its score (0 until scored); the
model role.
"""


def assignable(value: Type, target: Type) -> bool:
    """Whether a `value` may stand where a `target` is expected."""
    if value == target or NEVER in (value, target):
        return True
    match value, target:
        case Scalar("int"), Scalar("float"):
            return True
        case Scalar("Context"), Scalar("Candidate"):
            return True
        case ListOf(a), ListOf(b):
            return assignable(a, b)
        case OptionalOf(a), OptionalOf(b):
            return assignable(a, b)
        case Scalar("none"), OptionalOf(_):
            return True
        case _, OptionalOf(b):
            return assignable(value, b)
    return False


def join(a: Type, b: Type) -> Type | None:
    """The smallest type that both fit, or None if there is none."""
    if assignable(a, b):
        return b
    if assignable(b, a):
        return a
    match a, b:
        case Scalar("none"), _:
            return OptionalOf(b)
        case _, Scalar("none"):
            return OptionalOf(a)
        case OptionalOf(x), y:
            inner = join(x, y.item if isinstance(y, OptionalOf) else y)
            return None if inner is None else OptionalOf(inner)
        case x, OptionalOf(y):
            inner = join(x, y)
            return None if inner is None else OptionalOf(inner)
        case ListOf(x), ListOf(y):
            inner = join(x, y)
            return None if inner is None else ListOf(inner)
    return None
