"""Source text and places in it.

Offsets are 0-based code points; lines and columns are 1-based and computed only when something is rendered.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

_NEWLINE = re.compile("\n")


@dataclass(frozen=True, eq=False)
class Source:
    """A named text. `path` is what messages show; it need not exist on disk (`<string>`)."""

    path: str
    text: str

    @cached_property
    def _starts(self) -> list[int]:
        """Where each line starts."""
        return [0, *(newline.end() for newline in _NEWLINE.finditer(self.text))]

    def line_col(self, offset: int) -> tuple[int, int]:
        """1-based line and column of an offset (an offset past the end is the end)."""
        offset = max(0, min(offset, len(self.text)))
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def line(self, number: int) -> str:
        """Text of a 1-based line, without its newline."""
        start = self._starts[number - 1]
        end = self._starts[number] - 1 if number < len(self._starts) else len(self.text)
        return self.text[start:end].rstrip("\r")

    @property
    def line_count(self) -> int:
        return len(self._starts)


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of a source."""

    source: Source
    start: int
    end: int

    def to(self, other: Span) -> Span:
        """The range that covers both."""
        return Span(self.source, min(self.start, other.start), max(self.end, other.end))

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def __repr__(self) -> str:
        line, column = self.source.line_col(self.start)
        return f"{self.source.path}:{line}:{column}"


NOWHERE = Span(Source("<generated>", ""), 0, 0)
"""The place of things that no source text says."""
