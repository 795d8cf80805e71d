"""Slips inside an expression: what people write who have another language at their fingertips.

Each function is a rule of `messages.py`: it tells its mistake by the token that does not fit and what is around it.
"""

from __future__ import annotations

from ttsc.grammar.diagnostics import Diagnostic
from ttsc.grammar.scene import COMPARISONS, Scene
from ttsc.grammar.tokens import CLOSERS, DECLARATION_WORDS, OPENERS, Token

WORD_OPERATORS = {"is": "==", "AND": "and", "OR": "or", "NOT": "not", "xor": "!=", "mod": "%", "div": "//"}
"""Operators of other languages, and ours."""

_AFTER = {
    "+=": "a variable is changed by a statement of its own: x += …",
    "=>": "a lambda takes names: x => …, (x, y) => …",
    ":": "the value of an argument comes after '='; a type stands after the name in let x: str = …",
    "if": "the statement begins a line; in an expression write a if condition else b",
    "<=": "write a <= b and b <= c",
}


def equals(s: Scene) -> Diagnostic | None:
    if s.token.kind == "=" and "==" in s.expected:
        hint = "to compare, write '=='; only a plain name can be assigned to"
        return s.error("E0124", "'=' does not compare", "", hint)
    return None


def bar(s: Scene) -> Diagnostic | None:
    if s.token.kind == "|" and "|>" in s.expected:
        return s.error("E0107", "'|' is not an operator here", "", "write '|>'")
    if s.token.kind == "|" and s.before.kind == "NAME":
        return s.error("E0139", "a type is one of a kind", "", f"what may be none is written {s.before.text}?")
    return None


def named(s: Scene) -> Diagnostic | None:
    if s.token.kind == ":" and {"=", ","} <= s.expected and s.before.kind == "NAME" and s.opener is not None:
        return s.error("E0146", "the value of an argument comes after '='", "", f"write {s.before.text}=…")
    return None


def arrows(s: Scene) -> Diagnostic | None:
    if s.token.kind == "->" and "=>" in s.expected and s.doing != "model":
        return s.error("E0125", "a lambda is written with '=>'", "", "write x => …")
    if s.token.kind in {"=>", ":"} and "->" in s.expected:
        return s.error("E0125", "the type of a result comes after '->'", "", "write '->'")
    if s.token.kind == ">" and "|>" in s.expected and not s.expression_complete:
        return s.error("E0125", "a pipe is written '|>'", "", "write '|>'")
    return None


def chain(s: Scene) -> Diagnostic | None:
    if s.token.kind in COMPARISONS and s.expression_complete:
        hint = "write a < b and b < c, or put one comparison in parentheses"
        return s.error("E0126", "comparisons can't be chained", "a second comparison", hint)
    return None


def not_in(s: Scene) -> Diagnostic | None:
    if s.token.kind == "not" and s.after.kind == "in" and "in" in s.expected:
        return s.error("E0127", "'not in' is not an operator", "", "write not (a in b)")
    return None


def missing_else(s: Scene) -> Diagnostic | None:
    if s.expression_complete and "else" in s.expected and s.token.kind not in CLOSERS | {"COND_IF"}:
        return _without_else(s)
    if s.expression_complete and "else" in s.expected and s.opener and s.token.kind == OPENERS[s.opener.kind]:
        return _without_else(s)
    return None


def _without_else(s: Scene) -> Diagnostic:
    hint = "write a if condition else b; the statement is if condition { … }"
    return s.gap("E0129", "a conditional expression needs an 'else'", "expected 'else'", hint)


def question_mark(s: Scene) -> Diagnostic | None:
    if s.token.kind == "?" and s.expression_complete:
        hint = "write a if condition else b"
        if s.after.kind == "?" and s.after.start == s.token.end:
            return s.error("E0113", "'??' is not an operator", "", "write a if a != none else b")
        if s.after.kind == "." and s.after.start == s.token.end:
            hint = "write a.b if a != none else none"
        return s.error("E0113", "'?' is not an operator", "", hint)
    return None


def tuple(s: Scene) -> Diagnostic | None:
    inside = s.opener is not None and s.opener.kind == "("
    if s.token.kind == "," and inside and s.expression_complete and ")" in s.expected:
        return s.error("E0145", "there are no tuples", "", "write a list [a, b], or a record")
    return None


def braces(s: Scene) -> Diagnostic | None:
    if s.token.kind == "{" and s.wants_expression and s.before.kind not in {"if", "repeat"}:
        hint = "a list is written [a, b]; for named values declare a record"
        return s.error("E0144", "braces make blocks, not values", "expected an expression", hint)
    return None


def word_operator(s: Scene) -> Diagnostic | None:
    """Inside of brackets; elsewhere the word reads as the next statement, see `beginnings.statement`."""
    if s.token.kind == "NAME" and s.token.text in WORD_OPERATORS and s.expression_complete and s.opener:
        return foreign_operator(s, s.token, s.after)
    return None


def foreign_operator(s: Scene, word: Token, following: Token) -> Diagnostic:
    ours = "!=" if word.text == "is" and following.kind == "not" else WORD_OPERATORS[word.text]
    return s.error("E0107", f"'{word.text}' is not an operator here", "", f"write '{ours}'", at=word)


def slice(s: Scene) -> Diagnostic | None:
    if s.token.kind == ":" and s.opener is not None and s.opener.kind == "[":
        if (s.expression_complete and "]" in s.expected) or (s.wants_expression and s.before.kind == "["):
            hint = "the first n are take(xs, n), the others drop(xs, n)"
            return s.error("E0167", "there are no slices", "", hint)
    return None


def after_expression(s: Scene) -> Diagnostic | None:
    """The last word on what stands after a complete expression."""
    if not s.expression_ends:
        return None
    hint = _AFTER.get(s.token.kind, "")
    if s.token.kind in DECLARATION_WORDS | {"budget", "offline", "oracle"}:
        hint = f"'{s.token.kind}' is a word of the language here"
    report = s.gap if s.breaks_off or s.token.kind in CLOSERS else s.error
    label = "" if s.wants_statement or s.wants_test_item else f"expected {s.wanted()}"
    return report("E0174", f"{s.found()} can't follow an expression", label, hint)
