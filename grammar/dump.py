"""The syntax tree as indented text, for `ttsc dump --stage ast` and for golden files.

One node per line: its kind, then its plain fields; children below it, under the name of their field. Spans are shown
only when asked for, so that a golden file doesn't change when a comment does.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from ttsc.grammar.ast import Module
from ttsc.grammar.source import Span


def dump(module: Module, *, spans: bool = False) -> str:
    """The tree of a module, one node per line, ending in a newline. With `spans`, each says its line and column."""
    lines: list[str] = []
    _node(module, "", 0, spans, lines)
    return "\n".join(lines) + "\n"


def _node(node: Any, label: str, depth: int, spans: bool, lines: list[str]) -> None:
    plain: list[str] = []
    children: list[tuple[str, Any]] = []
    for field in fields(node):
        value = getattr(node, field.name)
        if isinstance(value, Span):
            continue
        if is_dataclass(value) or (isinstance(value, tuple) and any(is_dataclass(item) for item in value)):
            children.append((field.name, value))
        elif value is not None and value != () and (value is not False or type(node).__name__ == "Literal"):
            plain.append(f"{field.name}={_plain(value)}")
        elif type(node).__name__ == "Literal":
            plain.append("none")
    head = f"{label}: " if label else ""
    place = _place(node) if spans else ""
    lines.append("  " * depth + " ".join([head + type(node).__name__, *plain]) + place)
    for name, value in children:
        for item in value if isinstance(value, tuple) else (value,):
            _node(item, name, depth + 1, spans, lines)


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_plain(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)


def _place(node: Any) -> str:
    span = getattr(node, "span", None)
    if not isinstance(span, Span):
        return ""
    line, column = span.source.line_col(span.start)
    return f"  @{line}:{column}"
