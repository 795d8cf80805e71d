"""Offsets and the protocol's positions.

The compiler counts code points from the start of a text. The protocol counts lines, and in a line the code units of an
encoding that client and server agree on (UTF-16 unless the client prefers another). A line ends at `\\n`, `\\r\\n` or
`\\r` and nowhere else: a form feed or U+2028 is a character like any other.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable

from lsprotocol import types

from ttsc.grammar.source import Span

_LINE_END = re.compile(r"\r\n|\n|\r")


def _utf8_units(character: str) -> int:
    point = ord(character)
    return 1 if point < 0x80 else 2 if point < 0x800 else 3 if point < 0x10000 else 4


def _utf16_units(character: str) -> int:
    return 2 if ord(character) > 0xFFFF else 1


def _utf32_units(character: str) -> int:
    return 1


_UNITS: dict[str, Callable[[str], int]] = {"utf-8": _utf8_units, "utf-16": _utf16_units, "utf-32": _utf32_units}


class Lines:
    """The lines of one text. Places outside it count as the nearest place inside."""

    def __init__(self, text: str, encoding: str = "utf-16") -> None:
        self._text = text
        self._units = _UNITS[encoding]
        self._starts = [0]
        self._ends: list[int] = []
        for match in _LINE_END.finditer(text):
            self._ends.append(match.start())
            self._starts.append(match.end())
        self._ends.append(len(text))

    def offset(self, position: types.Position) -> int:
        """The code point at a position; one in the middle of a character is that character."""
        if position.line >= len(self._starts):
            return len(self._text)
        line = max(0, position.line)
        start, end = self._starts[line], self._ends[line]
        rest = position.character
        for offset in range(start, end):
            width = self._units(self._text[offset])
            if rest < width:
                return offset
            rest -= width
        return end

    def position(self, offset: int) -> types.Position:
        """The position of an offset; one between `\\r` and `\\n` is the end of its line."""
        offset = max(0, min(offset, len(self._text)))
        line = bisect_right(self._starts, offset) - 1
        start = self._starts[line]
        before = self._text[start : min(offset, self._ends[line])]
        units = len(before) if before.isascii() else sum(map(self._units, before))
        return types.Position(line, units)

    def range(self, start: int, end: int) -> types.Range:
        """The range between two offsets."""
        return types.Range(self.position(start), self.position(end))

    def of(self, span: Span) -> types.Range:
        """The range of a span of this text."""
        return self.range(span.start, span.end)

    @property
    def everything(self) -> types.Range:
        """From the first character to the last."""
        return self.range(0, len(self._text))


def changed(text: str, change: types.TextDocumentContentChangeEvent, encoding: str) -> str:
    """The text after one change: a part of it replaced, or all of it."""
    if isinstance(change, types.TextDocumentContentChangeWholeDocument):
        return change.text
    lines = Lines(text, encoding)
    start, end = lines.offset(change.range.start), lines.offset(change.range.end)
    return text[:start] + change.text + text[max(start, end) :]
