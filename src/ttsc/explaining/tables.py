"""Columns of text, no wider than a page."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

WIDTH = 100


def table(rows: Sequence[Sequence[str]], *, right: str, gap: int = 2) -> list[str]:
    """Lines of cells; `right` has an `r` for each column that is aligned right and an `l` for others."""
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(len(right))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if side == "r" else cell.ljust(width)
            for cell, width, side in zip(row, widths, right, strict=True)
        ]
        lines.append((" " * gap).join(cells).rstrip())
    return lines


def wrapped(text: str, *, indent: str = "  ", width: int = WIDTH) -> list[str]:
    """A sentence or more, indented."""
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=True) or []


def cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def bar(part: float, width: int) -> str:
    """A bar of at most `width` characters, in eighths."""
    eighths = round(max(0.0, min(1.0, part)) * width * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + ("▏▎▍▌▋▊▉"[rest - 1] if rest else "")
