"""The work budget of one template rendering.

A unit is about one character moved or one tree node visited. The budget is ambient (a context variable) because Jinja
calls filters from generated code. Without a budget nothing may run: that is how constant folding inside Jinja is kept
from working on behalf of a template that nobody asked to render.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

MAX_TEMPLATE = 200_000
MAX_NESTING = 60
MAX_SIZE = 1_000_000
MAX_WORK = 5_000_000
_MAX_INTEGER_BITS = 256


class Exhausted(Exception):
    """A limit was reached."""


class Unsuitable(Exception):
    """A value that an operation does not take."""


@dataclass(slots=True)
class Budget:
    left: int = MAX_WORK


_budget: ContextVar[Budget | None] = ContextVar("_budget", default=None)


@contextmanager
def use(budget: Budget) -> Iterator[None]:
    token = _budget.set(budget)
    try:
        yield
    finally:
        _budget.reset(token)


def spend(units: int) -> None:
    """Take from the budget before doing the work."""
    budget = _budget.get()
    if budget is None:
        raise Exhausted("nothing is rendering")
    budget.left -= units
    if budget.left < 0:
        raise Exhausted("the template does too much work")


def measured(value: Any) -> Any:
    """The value, if its size is bounded; nested lists count with everything in them, and the walk is paid for."""
    if isinstance(value, str):
        if len(value) > MAX_SIZE:
            raise Exhausted(f"the text is longer than {MAX_SIZE} characters")
    elif isinstance(value, int):
        if value.bit_length() > _MAX_INTEGER_BITS:
            raise Exhausted("the number is too large")
    elif isinstance(value, list | tuple | Mapping):
        size = _size(value)
        spend(size)
    return value


def size_of(value: Any) -> int:
    """Characters and items in a value."""
    if isinstance(value, str):
        return len(value)
    return _size(value) if isinstance(value, list | tuple | Mapping) else 1


def _size(value: Any) -> int:
    total = 0
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            total += len(each)
        elif isinstance(each, Mapping):
            waiting.extend(each.keys())
            waiting.extend(each.values())
        elif isinstance(each, list | tuple):
            waiting.extend(each)
        total += 1
        if total + len(waiting) > MAX_SIZE:
            raise Exhausted(f"the value is larger than {MAX_SIZE} items and characters")
    return total
