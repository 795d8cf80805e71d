"""The tree of a text that may have errors, for editors: what could be read, without what could not.

The parser puts a stand-in, a name without letters, where recovery dropped something (`Builder.bad`). Here a stand-in
among declarations, statements, turns or fields is left out, one for a type becomes a type without a name, and one for a
value stays: it is the `Name("")` that an editor asks nothing about.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from ttsc.grammar import ast
from ttsc.grammar.parser import Parsed, parse_with_errors
from ttsc.grammar.source import Source

_LISTED = frozenset({"declarations", "turns", "fields", "body", "then", "otherwise", "items", "parameters", "names"})
_TYPES = frozenset({"type", "returns", "item"})


def parse_partly(source: Source) -> Parsed:
    """The tree, as far as there is one, and every syntax error. No tree: nothing could be made of the text."""
    parsed = parse_with_errors(source)
    return parsed._replace(module=_clean(parsed.module)) if parsed.module and parsed.diagnostics else parsed


def _clean(node: Any) -> Any:
    """The node without stand-ins; the same object where it had none."""
    changes: dict[str, Any] = {}
    for field in fields(node):
        value = getattr(node, field.name)
        new = value
        if isinstance(value, tuple):
            listed = field.name in _LISTED and not isinstance(node, ast.ListExpr)
            parts = tuple(_clean(part) if is_dataclass(part) else part for part in value)
            new = tuple(part for part in parts if not (listed and _stands_in(part)))
            if len(new) == len(value) and all(a is b for a, b in zip(new, value, strict=True)):
                new = value
        elif is_dataclass(value) and field.name not in {"span", "name_span"}:
            new = _clean(value)
            if field.name in _TYPES and _stands_in(new):
                new = ast.NamedType("", new.span)
        if new is not value:
            changes[field.name] = new
    return replace(node, **changes) if changes else node


def _stands_in(node: Any) -> bool:
    return isinstance(node, ast.Name) and not node.id
