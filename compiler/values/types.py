"""The types of `.tts` values.

`Context <: Candidate`: a prompt is a candidate after which nothing was generated yet. A pool is `list[Candidate]`.
`int <: float`, `T <: T?`, lists and pairs are covariant (values are immutable). `abstain` fits every `T?`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

ScalarName = Literal[
    "str", "int", "float", "bool", "none", "abstain", "Context", "Candidate", "Tree", "Node", "Image", "never"
]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A type without parts. `none` is the type of `none`; `never` that of an empty list's items."""

    name: ScalarName

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class ListOf:
    """`list[T]`, or `list[T, limit]`: declared to hold at most so many, which is checked where values come in.

    The limit is no part of the type's identity: it is what bounds of loops are known from.
    """

    item: Type
    limit: int | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"list[{self.item}]"


@dataclass(frozen=True, slots=True)
class PairOf:
    """What `zip`, `cross` and `enumerate` give: fields `first` and `second`."""

    first: Type
    second: Type

    def __str__(self) -> str:
        return f"({self.first}, {self.second})"


@dataclass(frozen=True, slots=True)
class OptionalOf:
    """`T?`: a `T` or `none`. Never nested."""

    item: Type

    def __str__(self) -> str:
        return f"{self.item}?"


@dataclass(frozen=True, slots=True)
class Interval:
    """`low..high`, both included."""

    low: int | float
    high: int | float


Allowed = Interval | tuple[str | int | float | bool | None, ...]
"""The values a field may have: a range of numbers, or these."""


@dataclass(frozen=True, slots=True)
class RecordType:
    """A declared record; records are equal by name and fields. `allowed`: fields that may not have every value."""

    name: str
    fields: tuple[tuple[str, Type], ...]
    allowed: tuple[tuple[str, Allowed], ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return self.name

    def field(self, name: str) -> Type | None:
        return dict(self.fields).get(name)


Type = Scalar | ListOf | OptionalOf | PairOf | RecordType

STR = Scalar("str")
INT = Scalar("int")
FLOAT = Scalar("float")
BOOL = Scalar("bool")
NONE = Scalar("none")
ABSTAIN = Scalar("abstain")
CONTEXT = Scalar("Context")
CANDIDATE = Scalar("Candidate")
TREE = Scalar("Tree")
NODE = Scalar("Node")
IMAGE = Scalar("Image")
NEVER = Scalar("never")
POOL = ListOf(CANDIDATE)

CANDIDATE_FIELDS: dict[str, Type] = {
    "text": STR,
    "step": STR,
    "tokens": INT,
    "finish": STR,
    "finished": BOOL,
    "truncated": BOOL,
    "stopped": BOOL,
    "score": FLOAT,
    "scores": ListOf(FLOAT),
    "answer": OptionalOf(STR),
    "logprob": FLOAT,
    "logprobs": ListOf(FLOAT),
    "confidences": ListOf(FLOAT),
    "temperature": FLOAT,
    "index": INT,
    "model": STR,
}
"""Fields of a candidate: generated text; the part of it that its last generation added; tokens generated since its
context; how its last generation ended (`eos`, `stop`, `length`, `below`); whether it ended by itself; whether it was
cut by `max_tokens`; whether it was stopped for want of confidence; its score (0 until scored) and the step rewards it
came from; its extracted answer; the sum of its tokens' log-probabilities (natural logarithm, forced tokens left out)
and each of them; how sure the model was of each; the temperature it was last sampled at; its place among the candidates
it was generated with; the model role.
"""

NODE_FIELDS: dict[str, Type] = {
    "candidate": CANDIDATE,
    "visits": INT,
    "value": FLOAT,
    "depth": INT,
    "index": INT,
}
"""Fields of a search tree's node: the candidate there; how often a value was propagated through it; the mean of those
values; its distance from the root; its number, in order of expansion.
"""

PAIR_FIELDS = ("first", "second")


_WIDER = frozenset({("int", "float"), ("Context", "Candidate")})
"""Scalars that may stand where others are expected."""


def assignable(value: Type, target: Type) -> bool:
    """Whether a `value` may stand where a `target` is expected."""
    if value is target or value == target or NEVER in (value, target):
        return True
    if isinstance(value, Scalar) and isinstance(target, Scalar):
        return (value.name, target.name) in _WIDER
    match value, target:
        case ListOf(a), ListOf(b):
            return assignable(a, b)
        case OptionalOf(a), OptionalOf(b):
            return assignable(a, b)
        case PairOf(a, b), PairOf(c, d):
            return assignable(a, c) and assignable(b, d)
        case Scalar("none" | "abstain"), OptionalOf(_):
            return True
        case _, OptionalOf(b):
            return assignable(value, b)
    return False


def join(a: Type, b: Type) -> Type | None:
    """The smallest type that both fit, or None if there is none."""
    if NEVER in (a, b):
        return b if a == NEVER else a
    if isinstance(a, ListOf) and isinstance(b, ListOf):
        item = join(a.item, b.item)
        return None if item is None else ListOf(item)
    if assignable(a, b):
        return b
    if assignable(b, a):
        return a
    match a, b:
        case Scalar("none" | "abstain"), Scalar("none" | "abstain"):
            return OptionalOf(NEVER)
        case Scalar("none" | "abstain"), _:
            return OptionalOf(b)
        case _, Scalar("none" | "abstain"):
            return OptionalOf(a)
        case OptionalOf(x), y:
            inner = join(x, y.item if isinstance(y, OptionalOf) else y)
            return None if inner is None else OptionalOf(inner)
        case x, OptionalOf(y):
            inner = join(x, y)
            return None if inner is None else OptionalOf(inner)
        case PairOf(x, y), PairOf(v, w):
            first, second = join(x, v), join(y, w)
            return None if first is None or second is None else PairOf(first, second)
    return None


def has_constraints(type_: Type) -> bool:
    """Whether values of the type may be wrong in more than their type: too long a list, a field's value not allowed."""
    match type_:
        case ListOf(item, limit=limit):
            return limit is not None or has_constraints(item)
        case OptionalOf(item):
            return has_constraints(item)
        case PairOf(first, second):
            return has_constraints(first) or has_constraints(second)
        case RecordType(fields=fields, allowed=allowed):
            return bool(allowed) or any(has_constraints(t) for _, t in fields)
    return False
