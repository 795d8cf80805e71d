"""Renaming what a file defines. A renaming that would change what the program means, or break it, is refused."""

from __future__ import annotations

import re
from collections import Counter

from ttsc.compiler.semantics.declarations import BASIC
from ttsc.compiler.semantics.functions import FUNCTIONS
from ttsc.compiler.semantics.modules import Library
from ttsc.compiler.semantics.operators import OPERATORS
from ttsc.grammar import ast
from ttsc.grammar.source import Source, Span
from ttsc.keywords import KEYWORDS
from ttsc.lsp.analysis import Analysis, analyze
from ttsc.lsp.names import Builtin, Definition, File
from ttsc.lsp.template_names import bound_in

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_JINJA_WORDS = frozenset("and as block call else elif endfor endif endset filter for if in is loop not or set".split())


class RenameRefused(Exception):
    """Why a name can't be changed, or not to this."""


def renamed_place(analysis: Analysis, offset: int) -> Span:
    """The name under the cursor, if it may be renamed. Raises RenameRefused."""
    definition, span = _target(analysis, offset)
    if analysis.tree is None or any(d.code.startswith("E01") for d in analysis.diagnostics):
        raise RenameRefused("correct the syntax errors first: names in what can't be read would be missed")
    if definition.kind == "field" and any(d.severity == "error" for d in analysis.diagnostics):
        raise RenameRefused("correct the errors first: fields are found by the types of values")
    return span


def rename(analysis: Analysis, offset: int, new: str, library: Library) -> list[Span]:
    """The places to write `new` to. Raises RenameRefused."""
    renamed_place(analysis, offset)
    definition, _ = _target(analysis, offset)
    places = [o.span for o in analysis.names.of(definition)]
    if new == definition.name:
        return places
    _check_word(new, definition)
    _check_clashes(new, definition, analysis)
    _check_meaning(new, places, analysis, library)
    return places


def _target(analysis: Analysis, offset: int) -> tuple[Definition, Span]:
    occurrence = analysis.names.at(offset)
    match occurrence.target if occurrence else None:
        case Definition() as definition if occurrence is not None:
            if definition.span.source is not analysis.source:
                where = definition.span.source.path
                raise RenameRefused(f"'{definition.name}' is defined in {where}: rename it there")
            return definition, occurrence.span
        case Builtin(name):
            raise RenameRefused(f"'{name}' is a name of the language")
        case File(source):
            raise RenameRefused(f"a file is renamed on the disk: {source.path}")
    raise RenameRefused("there is no name here")


def _check_word(new: str, definition: Definition) -> None:
    if not _NAME.fullmatch(new):
        raise RenameRefused(f"'{new}' is not a name: letters a to z, digits and '_', a digit not first")
    if new in KEYWORDS:
        raise RenameRefused(f"'{new}' is a word of the language")
    if new in BASIC or new in {"list"}:
        raise RenameRefused(f"'{new}' is a type of the language")
    if definition.kind != "field" and (new in OPERATORS or new in FUNCTIONS):
        raise RenameRefused(f"'{new}' is an operator of the language")
    if definition.kind == "parameter" and isinstance(definition.owner, ast.Prompt):
        if new in _JINJA_WORDS:
            raise RenameRefused(f"'{new}' is a word of templates")
        for turn in definition.owner.turns:
            bound = bound_in(turn.template.span.text)
            if new in bound or definition.name in bound:
                raise RenameRefused(f"a template binds '{new if new in bound else definition.name}' itself")


def _check_clashes(new: str, definition: Definition, analysis: Analysis) -> None:
    names = analysis.names
    if definition.kind == "field":
        clash = next((f for f in definition.owner.fields if f.name.id == new), None)
        if clash is not None:
            raise _clash(new, clash.name.span)
        return
    for other in names.definitions:
        near = other.owner is definition.owner if definition.local else other.local
        if other.name == new and other.kind != "field" and (near or not other.local):
            raise _clash(new, other.span)
    for use in analysis.tree.declarations if analysis.tree else ():
        for name in use.names if isinstance(use, ast.Use) else ():
            if name.id == new:
                raise _clash(new, name.span)


def _clash(new: str, span: Span) -> RenameRefused:
    line, _ = span.source.line_col(span.start)
    return RenameRefused(f"'{new}' is already defined on line {line}")


def _check_meaning(new: str, places: list[Span], analysis: Analysis, library: Library) -> None:
    """The last word has the compiler: the text with the new name must have no error that it hadn't before."""
    text = analysis.source.text
    for span in sorted(places, key=lambda span: span.start, reverse=True):
        text = text[: span.start] + new + text[span.end :]
    before = Counter(d.code for d in analysis.diagnostics if d.severity == "error")
    errors = [d for d in analyze(Source(analysis.source.path, text), library).diagnostics if d.severity == "error"]
    for d in errors:
        if before[d.code] == 0:
            raise RenameRefused(f"that would be an error: {d.message}")
        before[d.code] -= 1
