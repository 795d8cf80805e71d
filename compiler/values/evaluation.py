"""What every pure operation shares: its row in the table, its failure, the bounds on values, checks of arguments.

Programs are untrusted: integers, texts and lists have bounds here. A check raises `TypeError`, which `pure.evaluate`
turns into a failure that names the operation and the kinds of its arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ttsc.compiler.values.abstain import Abstain
from ttsc.compiler.values.types import Type

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

    `foldable`: equal constants give an equal constant at compile time (so it never touches a candidate or a record).
    `total`: it has a result for all arguments of its types. `uses_attr`: `run` takes the node's attribute by the name
    `attr`, and a node without one is malformed.
    """

    name: str
    run: Callable[..., object]
    least: int
    most: int | None
    returns: Type | None
    foldable: bool = True
    total: bool = False
    uses_attr: bool = False


def bounded(value: object) -> object:
    """The value with lists as tuples, or a failure if a bound is exceeded."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise EvaluationFailed(f"text longer than {MAX_TEXT} characters")
        return value
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise EvaluationFailed("integer out of range (64 bits)")
    if isinstance(value, float) and not math.isfinite(value):
        raise EvaluationFailed("number out of range")
    if isinstance(value, list | tuple):
        items_fit(len(value))
        return tuple(value)
    return value


def items_fit(count: int) -> None:
    """Fails if a list of `count` items would be too long: to ask before it is made."""
    if count > MAX_ITEMS:
        raise EvaluationFailed(f"list longer than {MAX_ITEMS} items")


def kind_of(value: object) -> str:
    """The name of a value's type, as the language has it."""
    names = {str: "str", int: "int", float: "float", bool: "bool", type(None): "none", Abstain: "abstain"}
    if isinstance(value, list | tuple):
        return "list"
    if isinstance(value, Mapping):
        return "pair" if tuple(value) == ("first", "second") else "record"
    return names.get(type(value), type(value).__name__.removesuffix("Value"))


def kinds_of(args: Sequence[object]) -> str:
    return " and ".join(kind_of(a) for a in args) or "no arguments"


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(value: object) -> Any:
    if not is_number(value):
        raise TypeError
    return value


def integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def items(value: object) -> tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError
    return tuple(value)


def numbers(value: object) -> list[float]:
    """Each an int or a float, as it is."""
    return [number(each) for each in items(value)]


def filled(values: object, op: str) -> tuple[object, ...]:
    """The items of a list that must have one."""
    found = items(values)
    if not found:
        raise EvaluationFailed(f"`{op}` of an empty list")
    return found


def length_of(n: object, op: str) -> int:
    """A number of items or characters."""
    if integer(n) < 0:
        raise EvaluationFailed(f"`{op}` of a negative length")
    return integer(n)


def paired(values: object, others: object, op: str, what: str) -> tuple[tuple[object, ...], tuple[object, ...]]:
    """Two lists of one length. They differ when an element failed on the way to the second."""
    a, b = items(values), items(others)
    if len(a) != len(b):
        raise EvaluationFailed(f"`{op}` has {len(b)} {what} for {len(a)} elements")
    return a, b
