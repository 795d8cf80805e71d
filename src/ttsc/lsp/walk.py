"""Every node of a tree, whatever its kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from ttsc.grammar.source import Span


def walk(node: Any) -> Iterator[Any]:
    """The node and everything below it; a parent before its children."""
    todo = [node]
    while todo:
        here = todo.pop()
        yield here
        for field in fields(here):
            value = getattr(here, field.name)
            for part in value if isinstance(value, tuple) else (value,):
                if is_dataclass(part) and not isinstance(part, Span):
                    todo.append(part)
