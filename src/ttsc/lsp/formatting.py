"""Formatting a whole text, as `ttsc fmt` does."""

from __future__ import annotations

from ttsc.grammar.diagnostics import CompileError
from ttsc.grammar.format import format_source
from ttsc.lsp.documents import Document


def formatted(document: Document) -> str | None:
    """The text in the one style, or None if it has it already or can't be read. Line ends stay as they are."""
    text = document.source.text
    try:
        result = format_source(text, document.source.path)
    except CompileError:
        return None
    if "\r\n" in text:
        result = result.replace("\r\n", "\n").replace("\n", "\r\n")
    return None if result == text else result
