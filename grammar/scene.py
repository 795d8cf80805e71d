"""An error as the parser meets it: the token that does not fit, what is around it, and what could have stood there."""

from __future__ import annotations

from ttsc.grammar.diagnostics import Diagnostic
from ttsc.grammar.lexer import Lexer
from ttsc.grammar.recovery import OPERAND_STARTS, STATEMENT_STARTS, nested
from ttsc.grammar.source import Span
from ttsc.grammar.stack import Stack
from ttsc.grammar.tokens import CLOSERS, DECLARATION_WORDS, OPENERS, RESERVED_WORDS, Token

COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})
OPERATORS = COMPARISONS | frozenset({"+", "-", "*", "/", "//", "%", "or", "and", "|>", ".", "(", "[", "COND_IF", "=>"})
_ORDER = (
    "an expression",
    "a value",
    "a statement",
    "an item of the test",
    "a declaration",
    "the declaration that the docstring describes",
    "a type",
    "a name",
    "a number",
    "a string",
)
_SPELLINGS = {"COND_IF": "if", "LAMBDA": "("}
_CONSTRUCTS = DECLARATION_WORDS | STATEMENT_STARTS | {"budget", "until", "else"}
_TEST_ITEMS = frozenset({"model", "extern", "store", "let", "expect"})


class Scene:
    def __init__(self, stack: Stack, lexer: Lexer, position: int) -> None:
        self.tokens = lexer.tokens
        self.position = position
        self.token = lexer.tokens[position]
        self.before = lexer.tokens[position - 1] if position else self.token
        self.after = lexer.tokens[min(position + 1, len(lexer.tokens) - 1)]
        self.expected = frozenset(stack.acceptable())
        open_tokens = [value for value in stack.values if isinstance(value, Token)]
        self.opener = _innermost(open_tokens)
        words = [token.kind for token in open_tokens if token.kind in _CONSTRUCTS]
        self.doing = "use" if words[-2:] == ["use", "for"] else words[-1] if words else ""
        """The innermost construct that is open, by the word it begins with."""
        self.within_test = any(token.kind == "test" for token in open_tokens)
        self._lexer = lexer

    @property
    def wants_type(self) -> bool:
        return self.before.kind in {":", "->", "=>", "["} and self.expected == {"NAME"}

    @property
    def wants_expression(self) -> bool:
        return {"NAME", "INT", "("} <= self.expected

    @property
    def expression_complete(self) -> bool:
        """Is the token preceded by an expression that could end here or go on?"""
        return "and" in self.expected

    @property
    def expression_ends(self) -> bool:
        """Could the expression before the token end here? Unlike a complete one it may be a pipe."""
        return "and" in self.expected or "|>" in self.expected

    @property
    def wants_statement(self) -> bool:
        return "return" in self.expected

    @property
    def wants_test_item(self) -> bool:
        return "expect" in self.expected

    @property
    def wants_declaration(self) -> bool:
        return "use" in self.expected

    @property
    def breaks_off(self) -> bool:
        """Does the token begin something that no bracket contains?"""
        kind = self.token.kind
        if kind in DECLARATION_WORDS:
            return self.opener is None or self.opener.kind != "{" or not nested(self.tokens, self.position)
        if kind == "for" and not self.token.first:
            return False
        return kind in STATEMENT_STARTS or kind in {"{", "}", "until", "$END"}

    def error(
        self,
        code: str,
        message: str,
        label: str = "",
        hint: str = "",
        notes: tuple[str, ...] = (),
        at: Token | None = None,
    ) -> Diagnostic:
        """A diagnostic at the token, or at another one; the end of the file is shown after the last token."""
        token = at or self.token
        if token.kind == "$END" and self.position:
            return self.gap(code, message, label, hint, notes)
        return Diagnostic(code, message, Span(self._lexer.source, token.start, token.end), label, hint, notes)

    def gap(self, code: str, message: str, label: str = "", hint: str = "", notes: tuple[str, ...] = ()) -> Diagnostic:
        """A diagnostic on what is missing before the token: at the end of the line before, if a line is between."""
        if self.token.first and self.position:
            end = self.before.end
            return Diagnostic(code, message, Span(self._lexer.source, end, end), label, hint, notes)
        return Diagnostic(code, message, Span(self._lexer.source, self.token.start, self.token.end), label, hint, notes)

    def place(self, token: Token) -> str:
        line, column = self._lexer.source.line_col(token.start)
        return f"line {line}, column {column}"

    def line(self, token: Token) -> int:
        return self._lexer.source.line_col(token.start)[0]

    def found(self) -> str:
        return found(self.token)

    def wanted(self) -> str:
        return wanted(self.expected, self.before.kind)


def _innermost(open_tokens: list[Token]) -> Token | None:
    """The bracket that is open. Closed ones are on the stack too while what they belong to goes on: `(x, y) => …`."""
    closed = 0
    for token in reversed(open_tokens):
        if token.kind in CLOSERS:
            closed += 1
        elif token.kind in OPENERS:
            if not closed:
                return token
            closed -= 1
    return None


def found(token: Token) -> str:
    """The token in words."""
    if token.kind == "$END":
        return "the end of the file"
    if token.kind in {"STRING", "MODULE_DOC"}:
        return "a string"
    text = token.text if len(token.text) <= 40 else token.text[:39] + "…"
    if token.kind in {"INT", "FLOAT", "QUANTITY"}:
        return f"the number '{text}'"
    if token.kind == "NAME":
        return f"the name '{text}'"
    if token.kind in RESERVED_WORDS or token.kind in DECLARATION_WORDS:
        return f"the word '{text}'"
    return f"'{text}'"


def wanted(expected: frozenset[str], before: str) -> str:
    """What could have come, in words: the parts of the language first, then names, then symbols."""
    kinds = set(expected)
    words: set[str] = set()
    if {"NAME", "INT", "("} <= kinds:
        words.add("an expression")
        kinds -= OPERAND_STARTS | {"-"}
    if {"INT", "STRING", "none"} <= kinds:
        words.add("a value")
        kinds -= OPERAND_STARTS | {"-"}
    if "expect" in kinds:
        words.add("an item of the test")
        kinds -= _TEST_ITEMS
    if "return" in kinds:
        words.add("a statement")
        kinds -= STATEMENT_STARTS | {"NAME"}
    if "program" in kinds:
        words.add("a declaration" if "use" in kinds else "the declaration that the docstring describes")
        kinds -= DECLARATION_WORDS | {"STRING", "$END", "MODULE_DOC"}
    if "+" in kinds:
        kinds -= OPERATORS - ({"in"} if "and" not in kinds else set())
    if kinds & {"NAME"}:
        words.add("a type" if before in {":", "->"} else "a name")
    if kinds & {"INT", "FLOAT", "QUANTITY"}:
        words.add("a number")
    if kinds & {"STRING", "MODULE_DOC"}:
        words.add("a string")
    if kinds & (CLOSERS | {","}) or words:
        kinds -= {"(", "[", ".", "|>"} if {"(", "."} <= kinds else set()  # what any stage of a pipe may go on with
    symbols = kinds - {"NAME", "INT", "FLOAT", "QUANTITY", "STRING", "MODULE_DOC"}
    if symbols - {"?", "["}:
        symbols -= {"?", "["}  # what a type may go on with
    listed = [word for word in _ORDER if word in words]
    for kind in sorted(symbols, key=lambda kind: (kind.isalpha(), kind)):
        listed.append("the end of the file" if kind == "$END" else f"'{_SPELLINGS.get(kind, kind)}'")
    listed = list(dict.fromkeys(listed)) or ["an operator"]
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} or {listed[-1]}"
