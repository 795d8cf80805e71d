"""What to say about a token that does not fit."""

from __future__ import annotations

from ttsc.grammar.diagnostics import Diagnostic
from ttsc.grammar.lexer import Lexer
from ttsc.grammar.source import Span
from ttsc.grammar.stack import Stack


def explain(stack: Stack, lexer: Lexer, position: int) -> Diagnostic:
    token = lexer.tokens[position]
    return Diagnostic("E0120", f"unexpected `{token.text}`", Span(lexer.source, token.start, token.end))
