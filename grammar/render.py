"""Diagnostics to text and to JSON. Nothing else in the compiler formats a message.

    error[E0203]: unknown step 'genrate'
     --> programs/vote.tts:2:5
      |
    2 |     genrate 4
      |     ^^^^^^^ not a step
    hint: did you mean 'generate'?

The underline covers the whole range, in terminal cells: wide characters take two, combining ones none, and tabs are
kept as tabs, so that the underline stays under the text whatever the width of a tab is. A range of several lines is
underlined on its first, and a note says where it ends. Characters that would act on a terminal are shown by name.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from ttsc.grammar.diagnostics import Diagnostic
from ttsc.grammar.source import NOWHERE, Span

_RESET = "\x1b[0m"
_BOLD = "\x1b[1m"
_BLUE = "\x1b[1;34m"
_COLORS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m"}
_LONGEST = 160
"""Cells of a line that are shown; of a longer one, the part around the range."""


def render(diagnostic: Diagnostic, *, color: bool = False) -> str:
    """The message as a person reads it, without a newline at the end."""

    def paint(style: str, text: str) -> str:
        return f"{style}{text}{_RESET}" if color else text

    accent = _COLORS[diagnostic.severity]
    title = paint(accent, f"{diagnostic.severity}[{diagnostic.code}]")
    lines = [title + paint(_BOLD, f": {printable(diagnostic.message)}")]
    notes = list(diagnostic.notes)
    if diagnostic.span.source is not NOWHERE.source:
        place, ending = _place(diagnostic.span)
        if ending:
            notes.insert(0, ending)
        gutter, excerpt, marks = _excerpt(diagnostic.span)
        blank = " " * len(gutter)
        lines.append(f"{blank}{paint(_BLUE, '-->')} {place}")
        lines.append(f"{blank} {paint(_BLUE, '|')}")
        lines.append(f"{paint(_BLUE, gutter)} {paint(_BLUE, '|')} {excerpt}".rstrip())
        underline = f"{marks} {printable(diagnostic.label)}".rstrip()
        lead = underline[: len(underline) - len(underline.lstrip())]
        lines.append(f"{blank} {paint(_BLUE, '|')} {lead}{paint(accent, underline[len(lead) :])}")
    if diagnostic.hint:
        lines.append(f"{paint(_BOLD, 'hint')}: {printable(diagnostic.hint)}")
    lines.extend(f"{paint(_BOLD, 'note')}: {printable(note)}" for note in notes)
    return "\n".join(lines)


def render_all(diagnostics: Iterable[Diagnostic], *, color: bool = False) -> str:
    """All messages, with an empty line between."""
    return "\n\n".join(render(diagnostic, color=color) for diagnostic in diagnostics)


def to_json(diagnostic: Diagnostic) -> dict[str, object]:
    """The message as plain data. Lines and columns are 1-based, offsets 0-based; all count code points."""
    span = diagnostic.span

    def place(offset: int) -> dict[str, int]:
        line, column = span.source.line_col(offset)
        return {"line": line, "column": column, "offset": offset}

    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "file": span.source.path,
        "start": place(span.start),
        "end": place(span.end),
        "label": diagnostic.label,
        "hint": diagnostic.hint,
        "notes": list(diagnostic.notes),
    }


def printable(text: str) -> str:
    """The text with characters that can't be shown, or would act on a terminal, spelled out. Tabs stay."""
    return "".join(c if c == "\t" or not _acts(c) else _spelled(c) for c in text)


def _acts(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _spelled(character: str) -> str:
    return "" if character in "\r\ufeff" else f"<U+{ord(character):04X}>"


def _cells(text: str) -> int:
    """How many terminal cells a text without tabs takes."""
    cells = 0
    for character in text:
        if unicodedata.combining(character) == 0 and unicodedata.category(character) not in {"Mn", "Me"}:
            cells += 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
    return cells


def _place(span: Span) -> tuple[str, str]:
    """`path:line:column`, and a note on the end of a range of several lines."""
    line, column = span.source.line_col(span.start)
    last, last_column = span.source.line_col(max(span.start, span.end - 1))
    ending = f"it goes on to line {last}, column {last_column}" if last > line else ""
    return f"{printable(span.source.path)}:{line}:{column}", ending


def _excerpt(span: Span) -> tuple[str, str, str]:
    """The line's number, its text, and the underline (with what stands before it)."""
    number, column = span.source.line_col(span.start)
    text = span.source.line(number)
    begin = min(column - 1, len(text))
    end = min(max(begin + span.end - span.start, begin), len(text))
    before, marked, after = text[:begin], text[begin:end], text[end:]
    if len(text) > _LONGEST:
        before = before if len(before) <= _LONGEST // 2 else "…" + before[1 - _LONGEST // 2 :]
        marked = marked if len(marked) <= _LONGEST // 2 else marked[: _LONGEST // 2 - 1] + "…"
        room = max(0, _LONGEST - len(before) - len(marked))
        after = after if len(after) <= room else after[:room] + "…"
    before, marked, after = printable(before), printable(marked), printable(after)
    lead = "".join("\t" if part == "\t" else " " * _cells(part) for part in before)
    marks = "".join("\t" if part == "\t" else "^" * _cells(part) for part in marked)
    return str(number), before + marked + after, lead + (_solid(marks) or "^")


def _solid(marks: str) -> str:
    """Tabs inside the range: kept for their width, with a mark on both sides."""
    return marks if marks.strip("\t") else "^" if marks else ""
