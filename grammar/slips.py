"""Slips inside an expression: what people write who have another language at their fingertips.

Each function is a rule of `messages.py`: it tells its mistake by the token that does not fit and what is around it.
"""

from __future__ import annotations

from ttsc.grammar.diagnostics import Diagnostic
from ttsc.grammar.lexer import CLOSERS, OPENERS
from ttsc.grammar.scene import COMPARISONS, Scene


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
    if s.token.kind == "->" and "=>" in s.expected:
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
        return s.error("E0113", "'?' is not an operator", "", "write a if condition else b")
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
