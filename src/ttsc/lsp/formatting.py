"""Formatting a whole text, as `ttsc fmt` does."""

from __future__ import annotations

from ttsc.grammar.diagnostics import CompileError
from ttsc.grammar.format import format_source
from ttsc.lsp.documents import Document


def formatted(document: Document) -> str | None:
    """The text in the one style, or None if it has it already or can't be read."""
    try:
        text = format_source(document.source.text, document.source.path)
    except CompileError:
        return None
    return None if text == document.source.text else text
