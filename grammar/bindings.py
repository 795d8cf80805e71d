"""What to say about types, and about the names that `let`, `var`, a `.` or a lambda bring in.

Each function is a rule of `messages.py`.
"""

from __future__ import annotations

from ttsc.grammar.diagnostics import Diagnostic
from ttsc.grammar.scene import Scene
from ttsc.grammar.tokens import DECLARATION_WORDS, RESERVED_WORDS


def type_written(s: Scene) -> Diagnostic | None:
    """A type, where something else stands; and what stands in the brackets of one."""
    if s.wants_type:
        if s.token.kind == "[":
            return s.error("E0139", "a type has a name", "", "a list is written list[str]")
        hint = "types are str, int, float, bool, list[str], a record's name; with '?' for what may be none"
        if s.token.kind == "]" and s.tokens[s.position - 2].kind == "NAME":
            hint = f"a list is written list[{s.tokens[s.position - 2].text}]"
        elif s.token.kind == "none":
            hint = "what may be none has a type with '?': str?"
        return s.gap("E0162", f"expected a type, found {s.found()}", "", hint)
    if s.token.kind == "<" and s.before.kind == "NAME" and "[" in s.expected and not s.expression_complete:
        return s.error("E0139", "a type takes another in square brackets", "", "a list is written list[str]")
    if s.token.kind == "?" and s.before.kind == "?":
        return s.error("E0162", "a type takes one '?'", "", "remove one of them")
    if s.opener is None or s.opener.kind != "[" or s.expression_complete or s.wants_expression:
        return None
    outer = next((i for i in range(s.position - 1, 0, -1) if s.tokens[i] is s.opener), 1)
    taker = s.tokens[outer - 1]
    if s.expected == {"INT"} and s.before.kind == ",":
        if taker.text != "list":
            hint = "for named values declare a record, and for many of them list[Name]"
            return s.error("E0139", f"'{taker.text}' takes no types in brackets", "only 'list' does", hint, at=taker)
        hint = "write list[str, 8]; a list without a limit is list[str]"
        return s.error("E0154", f"the limit of a list is a whole number, found {s.found()}", "", hint)
    if "]" in s.expected and taker.kind == "NAME" and "INT" not in s.expected and "STRING" not in s.expected:
        if s.doing in DECLARATION_WORDS | {"let", "var", "offline"} and not _listed(s, outer):
            hint = "write list[str], or list[str, 8] for at most eight"
            return s.error("E0162", f"after the type in brackets comes {s.wanted()}, found {s.found()}", "", hint)
    return None


def _listed(s: Scene, outer: int) -> bool:
    """Is the `[` at `outer` the one of `in [a, b]`?"""
    return s.tokens[outer - 1].kind == "in"


def no_type(s: Scene) -> Diagnostic | None:
    if s.expected == {":"} and s.before.kind == "NAME":
        hint = f"write its type: {s.before.text}: str"
        if s.doing == "store":
            hint = f"write the type of its items: store {s.before.text}: str"
        return s.error("E0116", f"'{s.before.text}' has no type", "expected ':' and a type", hint, at=s.before)
    return None


def binding(s: Scene) -> Diagnostic | None:
    """What `let` and `var` name."""
    if s.doing not in {"let", "var"}:
        return None
    if s.expected == {"NAME"} and s.before.kind == s.doing:
        hint = f"write {s.doing} x = …"
        if s.token.kind in {"(", "[", "{", "LAMBDA"}:
            hint = "take the parts by name: the two of a pair are x.first and x.second"
        return s.gap("E0164", f"'{s.doing}' names one value, found {s.found()}", "expected a name", hint)
    if s.expected == {"=", ":"} and s.before.kind == "NAME":
        if s.token.kind == ",":
            hint = "take the parts by name: the two of a pair are x.first and x.second"
            return s.error("E0164", f"'{s.doing}' names one value", "expected '='", hint)
        if s.before.text in {"mut", "mutable", "const"} and s.token.kind == "NAME":
            hint = f"what changes is declared with 'var': var {s.token.text} = …"
            return s.error("E0164", f"'{s.before.text}' is not a word of this language", "", hint, at=s.before)
    return None


def field(s: Scene) -> Diagnostic | None:
    if s.before.kind == "." and s.expected == {"NAME"}:
        hint = "an element of a list is written xs[0]" if s.token.kind in {"INT", "FLOAT"} else ""
        return s.gap("E0165", f"after '.' comes the name of a field, found {s.found()}", "", hint)
    return None


def lambda_names(s: Scene) -> Diagnostic | None:
    if (s.opener is not None and s.opener.kind == "LAMBDA") or (s.expected == {"=>"} and s.doing != "model"):
        return s.error("E0166", f"the parameters of a lambda are names, found {s.found()}", "", "write (a, b) => …")
    return None


def reserved(s: Scene) -> Diagnostic | None:
    word = s.token.kind in RESERVED_WORDS or s.token.kind in DECLARATION_WORDS or s.token.kind in {"COND_IF", "offline"}
    starts = s.wants_expression or s.wants_statement or s.wants_declaration or s.wants_type
    if word and "NAME" in s.expected and not starts and not s.token.first:
        hint = f"choose another name, for example '{s.token.text}_'"
        return s.error("E0118", f"'{s.token.text}' is a word of the language and can't be a name", "", hint)
    return None
