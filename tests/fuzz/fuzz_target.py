"""What is done with each input of the fuzzer: read it, and if it is a program, format it and check it.

An input may be refused with messages, which are then shown. Anything else that is raised is a fault of ours.
"""

from __future__ import annotations

from ttsc.grammar.diagnostics import CompileError
from ttsc.grammar.format import format_source
from ttsc.grammar.parser import MAX_ERRORS, parse
from ttsc.grammar.render import render_all, to_json
from ttsc.grammar.source import Source


def attempt(text: str, stages: frozenset[str]) -> str:
    """How far the text came: `refused` by the parser, `wrong` for the checker, or `fine`."""
    source = Source("fuzz.tts", text)
    try:
        parse(source)
    except CompileError as error:
        _show(error, text)
        return "refused"
    if "format" in stages:
        formatted = format_source(text)
        assert format_source(formatted) == formatted, "formatting twice is formatting once"
    if "check" in stages:
        from ttsc.compiler.semantics.check import check
        from ttsc.library import FileLibrary

        try:
            check(source, FileLibrary())
        except CompileError as error:
            _show(error, text)
            return "wrong"
    return "fine"


def _show(error: CompileError, text: str) -> None:
    assert 0 < len(error.diagnostics)
    assert len(error.diagnostics) <= MAX_ERRORS or not error.diagnostics[0].code.startswith("E01")
    for diagnostic in error.diagnostics:
        assert diagnostic.message
        assert 0 <= diagnostic.span.start <= diagnostic.span.end <= max(len(text), len(diagnostic.span.source.text))
    to_json(error.diagnostics[0])
    shown = render_all(error.diagnostics[:2])
    assert "BAD_" not in shown or "BAD_" in text
