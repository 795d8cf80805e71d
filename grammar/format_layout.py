"""Documents, and how they are laid out on lines of limited width.

A document says where lines may end; `render` decides which do. A group is put on one line if what is left of the line
holds it, and broken at all its own line ends otherwise (Wadler, A prettier printer, 2003). Comments stand in the text
they belong to: in front of it on lines of their own, or behind it up to the end of the line. As line ends mean nothing
in the language, a line is ended wherever a comment asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import assert_never

STEP = 4
"""Columns of one level of indentation."""


@dataclass(frozen=True, slots=True)
class Remark:
    """A comment, `#` included. `blank`: an empty line is before it."""

    text: str
    blank: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """What stands as it is. `glued`: put it before the comment that ends the line."""

    text: str
    lead: tuple[Remark, ...] = ()
    blank: bool = False
    """Is an empty line between the comments in front and the text?"""
    trail: str = ""
    glued: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """The end of a line, or `flat` in a group on one line; always the end if `hard`."""

    flat: str = " "
    hard: bool = False
    blank: bool = False


@dataclass(frozen=True, slots=True)
class Space:
    """A space, unless a line ends here."""


@dataclass(frozen=True, slots=True)
class Indent:
    doc: Doc


@dataclass(frozen=True, slots=True)
class Broken:
    """Text that is there only if the group around it is broken, or only if it is not."""

    text: str
    flat: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    doc: Doc
    forced: bool


@dataclass(frozen=True, slots=True)
class Concat:
    """`ends`: a line must end within. `leads`, `trails`: a comment is before its first or after its last text."""

    parts: tuple[Doc, ...]
    ends: bool
    leads: bool
    trails: bool


@dataclass(frozen=True, slots=True)
class Stage:
    """`head |> stage`: in one line; or the stage in a line of its own, if one line holds it; or broken within."""

    head: Concat
    stage: Concat


Doc = Text | Line | Space | Indent | Broken | Group | Concat | Stage

LINE = Line()
SOFT = Line("")
HARD = Line(hard=True)
BLANK = Line(hard=True, blank=True)
SPACE = Space()
COMMA = Text(",", glued=True)
NOTHING = Concat((), False, False, False)


def concat(parts: Iterable[Doc]) -> Concat:
    kept = tuple(part for part in parts if not (isinstance(part, Concat) and not part.parts))
    texts = [part for part in kept if not isinstance(part, Line | Space | Broken)]
    ends = any(_ends(part) for part in kept)
    ends = ends or any(_leads(part) for part in texts[1:]) or any(_trails(part) for part in texts[:-1])
    if texts and isinstance(kept[-1], Line | Space | Broken):
        ends = ends or _trails(texts[-1])
    if texts and isinstance(kept[0], Line):
        ends = ends or _leads(texts[0])
    return Concat(kept, ends, bool(texts) and _leads(texts[0]), bool(texts) and _trails(texts[-1]))


def group(doc: Doc, *, broken: bool = False) -> Doc:
    return Group(doc, broken or _ends(doc))


def _ends(doc: Doc) -> bool:
    match doc:
        case Line(hard=hard):
            return hard
        case Concat(ends=ends):
            return ends
        case Group(forced=forced):
            return forced
        case Indent(doc=inner):
            return _ends(inner)
        case Text() | Space() | Broken() | Stage():
            return False
        case _:
            assert_never(doc)


def _leads(doc: Doc) -> bool:
    match doc:
        case Text(lead=lead):
            return bool(lead)
        case Concat(leads=leads):
            return leads
        case Group(doc=inner) | Indent(doc=inner):
            return _leads(inner)
        case Stage(head=head):
            return head.leads
        case _:
            return False


def _trails(doc: Doc) -> bool:
    match doc:
        case Text(trail=trail):
            return bool(trail)
        case Concat(trails=trails):
            return trails
        case Group(doc=inner) | Indent(doc=inner):
            return _trails(inner)
        case Stage(stage=stage):
            return stage.trails
        case _:
            return False


def render(doc: Doc, width: int) -> str:
    """The document on lines of at most `width` characters, where that is possible. No line end after the last."""
    page = _Page()
    stack: list[tuple[int, bool, Doc]] = [(0, True, doc)]
    while stack:
        indent, broken, doc = stack.pop()
        match doc:
            case Text():
                page.text(doc, indent)
            case Line():
                if broken or doc.hard:
                    page.newline(indent, doc.blank)
                else:
                    page.space(doc.flat)
            case Space():
                page.space(" ")
            case Broken(text=text, flat=flat):
                if text if broken else flat:
                    page.text(Text(text if broken else flat, glued=True), indent)
            case Indent(doc=inner):
                stack.append((indent + STEP, broken, inner))
            case Group(doc=inner, forced=forced):
                stack.append((indent, forced or not _fits(inner, stack, width - page.column), inner))
            case Concat(parts=parts):
                stack.extend((indent, broken, part) for part in reversed(parts))
            case Stage(head=head, stage=stage):
                whole = Group(
                    Concat((head, Indent(Concat((LINE, stage), False, False, False))), False, False, False), False
                )
                if _fits(whole, stack, width - page.column):
                    stack.append((indent, False, whole))
                elif _fits(stage, [], width - indent - STEP):
                    stack.append((indent, True, replace(whole, forced=True)))
                else:
                    stack.extend(((indent, broken, stage), (indent, broken, SPACE), (indent, broken, head)))
            case _:
                assert_never(doc)
    return page.finish()


def _fits(doc: Doc, rest: list[tuple[int, bool, Doc]], left: int) -> bool:
    """Does the document, on one line, leave room for what follows it up to the next possible end of a line?"""
    pending: list[tuple[bool, Doc]] = [(False, doc)]
    following = len(rest)
    while left >= 0:
        if not pending:
            if not following:
                return True
            following -= 1
            pending.append(rest[following][1:])
            continue
        broken, doc = pending.pop()
        match doc:
            case Text(text=text):
                first, newline, _ = text.partition("\n")
                left -= len(first)
                if newline:
                    return left >= 0
            case Line(flat=flat, hard=hard):
                if broken or hard:
                    return True
                left -= len(flat)
            case Space():
                left -= 1
            case Broken(text=text, flat=flat):
                left -= len(text if broken else flat)
            case Indent(doc=inner):
                pending.append((broken, inner))
            case Group(doc=inner, forced=forced):
                pending.append((broken or forced, inner))
            case Concat(parts=parts):
                pending.extend((broken, part) for part in reversed(parts))
            case Stage(head=head, stage=stage):
                pending.extend(((broken, stage), (broken, LINE), (broken, head)))
            case _:
                assert_never(doc)
    return False


class _Page:
    """What is written so far. Indentation is written with the first text of a line, so that no line ends in spaces."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._fresh = True
        self._indent = 0
        self._trails: list[str] = []
        self._owed = ""
        self.column = 0

    def newline(self, indent: int, blank: bool = False) -> None:
        self._flush()
        if not self._fresh:
            self._out.append("\n\n" if blank else "\n")
        elif blank and self._out and not self._out[-1].endswith("\n\n"):
            self._out.append("\n")
        self._fresh, self._owed = True, ""
        self._indent = self.column = indent

    def space(self, text: str) -> None:
        if not self._fresh and not self._trails:
            self._owed += text
            self.column += len(text)

    def text(self, text: Text, indent: int) -> None:
        if self._trails and not text.glued:
            self.newline(indent + STEP)
        if text.lead:
            if not self._fresh:
                self.newline(indent + STEP)
            at = self._indent
            for i, remark in enumerate(text.lead):
                self._write(remark.text)
                following = text.lead[i + 1].blank if i + 1 < len(text.lead) else text.blank
                self.newline(at, following)
        self._write(text.text)
        if text.trail:
            self._trails.append(text.trail)

    def _write(self, text: str) -> None:
        before = " " * self._indent if self._fresh else self._owed
        self._out.append(before + text)
        self._fresh, self._owed = False, ""
        last = text.rfind("\n")
        self.column = len(text) - last - 1 if last >= 0 else self.column + len(text)

    def _flush(self) -> None:
        trails, self._trails = self._trails, []
        for i, trail in enumerate(trails):
            if i:
                self._out.append("\n" + " " * self._indent + trail)
            else:
                self._out.append("  " + trail)
            self._fresh = False

    def finish(self) -> str:
        self._flush()
        return "".join(self._out)
