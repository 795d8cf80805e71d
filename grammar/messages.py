"""What to say about a token that does not fit.

Each rule below knows one mistake that people make, and tells it by the token, its neighbours and what the parser could
have taken. The first rule that recognises its mistake speaks; the order is from the particular to the general, and the
last one always speaks. Every code has an example in `examples.py`, and a test that fails without one.
"""

from __future__ import annotations

from collections.abc import Callable

from ttsc.grammar import slips
from ttsc.grammar.diagnostics import Diagnostic
from ttsc.grammar.lexer import (
    CLOSERS,
    DECLARATION_WORDS,
    LATER_WORDS,
    OPENERS,
    RESERVED_WORDS,
    STATEMENT_WORDS,
    Lexer,
    Token,
)
from ttsc.grammar.recovery import OPERAND_STARTS, closer_ahead, nested
from ttsc.grammar.scene import Scene
from ttsc.grammar.spelling import did_you_mean
from ttsc.grammar.stack import Stack

_FOREIGN_DECLARATIONS = {
    **dict.fromkeys(
        ("def", "fn", "func", "fun", "async"),
        "write program name(…) -> type { … }, or function name(…) -> type = … for one expression",
    ),
    **dict.fromkeys(("class", "struct", "type", "interface", "data"), "write record Name { field: type }"),
    **dict.fromkeys(("import", "from", "include", "require"), "write use std.answers (boxed)"),
    **dict.fromkeys(("const", "enum", "template", "module", "package"), ""),
}
_FOREIGN_STATEMENTS = {
    **dict.fromkeys(("break", "continue"), "a loop ends when its condition holds: repeat 10 { … } until done"),
    **dict.fromkeys(("loop", "do", "foreach"), "loops are bounded: repeat 10 { … } until done"),
    "pass": "leave the block empty: { }",
    "const": "write 'let'",
    "print": "a program has no output but its result: return what you want to see",
    **dict.fromkeys(("raise", "throw", "try", "assert", "except", "catch"), "a program can't raise or catch errors"),
    **dict.fromkeys(("switch", "match", "case", "unless"), "write if … { … } else if … { … } else { … }"),
    **dict.fromkeys(("def", "fn", "func", "class", "import", "from"), "declarations stand outside of programs"),
    **dict.fromkeys(("yield", "await", "async", "go"), "there is no need: what can run at once does"),
}


def explain(stack: Stack, lexer: Lexer, position: int) -> Diagnostic:
    """The message for the token at `position`, which does not fit."""
    scene = Scene(stack, lexer, position)
    for rule in RULES:
        diagnostic = rule(scene)
        if diagnostic:
            return diagnostic
    report = scene.gap if scene.breaks_off or scene.token.kind in CLOSERS else scene.error
    return report("E0120", f"expected {scene.wanted()}, found {scene.found()}")


# --- brackets


def _brackets(s: Scene) -> Diagnostic | None:
    if s.token.kind in CLOSERS:
        if s.opener is None:
            hint = f"remove it, or look above for a '{s.token.kind}' too many"
            return s.error("E0122", f"'{s.token.kind}' closes nothing", "nothing is open here", hint)
        closer = OPENERS[s.opener.kind]
        if closer != s.token.kind and (s.token.kind == "}" or s.opener.kind == "{"):
            if s.opener.kind == "{":
                message = f"'{s.token.kind}' closes nothing"
                return s.error("E0122", message, "", f"remove it, or look for a missing '{_opener_of(s.token.kind)}'")
        elif closer != s.token.kind:
            notes = (_opened(s, s.opener),)
            message = f"'{s.token.kind}' does not close '{s.opener.text}'"
            return s.error("E0123", message, f"expected '{closer}'", f"write '{closer}'", notes)
    return _unclosed(s)


def _unclosed(s: Scene) -> Diagnostic | None:
    if s.opener is None or s.token.kind == OPENERS[s.opener.kind]:
        return None
    closer = OPENERS[s.opener.kind]
    if closer not in s.expected:
        return None
    assigns = s.token.kind == "NAME" and s.token.first and s.after.kind == "="
    if s.opener.kind == "{":
        if s.token.kind != "$END" and not (s.token.kind in DECLARATION_WORDS and s.breaks_off):
            return None
    elif not s.breaks_off and not (assigns and not closer_ahead(s.tokens, s.position, closer)):
        return None
    notes = (_opened(s, s.opener), *_suspect(s, s.opener))
    return s.gap("E0121", f"missing '{closer}' before {s.found()}", f"expected '{closer}'", "", notes)


def _opener_of(closer: str) -> str:
    return {")": "(", "]": "[", "}": "{"}[closer]


def _opened(s: Scene, opener: Token) -> str:
    return f"'{opener.text}' was opened at {s.place(opener)}"


def _suspect(s: Scene, opener: Token) -> tuple[str, ...]:
    """Which `{` was left open, going by the indentation: the first whose `}` stands further left than its line."""
    opened: list[tuple[Token, int]] = []
    indent = 0
    for token in s.tokens[: s.position] if opener.kind == "{" else ():
        if token.first:
            indent = token.column
        if token.start <= opener.start:
            continue
        if token.kind == "{":
            opened.append((token, indent))
        elif token.kind == "}" and opened:
            inner, expected = opened.pop()
            if token.first and token.column < expected:
                return (f"by the indentation, it is the '{{' at {s.place(inner)} that is left open",)
    return ()


# --- words


def _later(s: Scene) -> Diagnostic | None:
    if s.token.kind in LATER_WORDS and (s.wants_statement or s.wants_declaration):
        hint = "loops are bounded: repeat 10 { … } until done"
        return s.error("E0115", f"there are no '{s.token.text}' loops", "", hint)
    if s.token.kind == "for" and s.expression_complete:
        return s.error("E0115", "there are no 'for' loops in a list", "", "write xs |> each(x => …)")
    return None


def _owners(s: Scene) -> Diagnostic | None:
    if s.token.kind == "else" and s.after.kind == ":":
        return s.error("E0132", "a block stands in braces", "", "write else { … }, after the '}' of an 'if'")
    if s.token.kind == "else" and not s.wants_expression:
        hint = "'else' follows the '}' of an 'if', or stands in a if condition else b"
        return s.error("E0128", "'else' without an 'if'", "", hint)
    if s.token.kind == "until" and not s.wants_expression:
        hint = "'until' follows the '}' of a 'repeat': repeat 10 { … } until done"
        return s.error("E0128", "'until' without a 'repeat'", "", hint)
    return None


def _top_level(s: Scene) -> Diagnostic | None:
    if not s.wants_declaration:
        return None
    token, text = s.token, s.token.text
    if token.kind == "NAME" and text in _FOREIGN_DECLARATIONS:
        return s.error("E0113", f"'{text}' is not a word of this language", "", _FOREIGN_DECLARATIONS[text])
    if token.kind == "NAME" and s.after.kind != "=":
        hint = did_you_mean(text, DECLARATION_WORDS)
        if hint:
            return s.error("E0114", f"unknown word '{text}'", "not a declaration", hint)
    if token.kind in STATEMENT_WORDS or (token.kind == "NAME" and s.after.kind == "="):
        hint = "statements stand in a program: program name(question: str) -> str { … }"
        notes: tuple[str, ...] = ()
        if s.before.kind == "}":
            notes = (f"the declaration before ends at line {s.line(s.before)}: is there a '}}' too many?",)
        return s.error("E0130", "a statement outside of a program", "", hint, notes)
    return None


def _docstring(s: Scene) -> Diagnostic | None:
    if "program" not in s.expected or s.wants_declaration:
        return None
    hint = "it describes the prompt, record, extern, function or program after it; otherwise write a comment with '#'"
    if s.token.kind in {"STRING", "$END"} or s.token.kind in {"use", "model"}:
        what = "" if s.token.kind in {"STRING", "$END"} else f": '{s.token.text}' takes none"
        return s.error("E0131", f"this docstring describes nothing{what}", "", hint, at=s.before)
    return None


def _nested(s: Scene) -> Diagnostic | None:
    if s.wants_statement and s.token.kind in DECLARATION_WORDS and nested(s.tokens, s.position):
        hint = "declarations stand side by side: move it out of the braces"
        return s.error("E0133", f"a '{s.token.text}' inside of another declaration", "", hint)
    return None


def _reserved(s: Scene) -> Diagnostic | None:
    reserved = s.token.kind in RESERVED_WORDS or s.token.kind in DECLARATION_WORDS or s.token.kind == "COND_IF"
    if reserved and "NAME" in s.expected and not s.wants_expression and not s.wants_statement and not s.token.first:
        hint = f"choose another name, for example '{s.token.text}_'"
        return s.error("E0118", f"'{s.token.text}' is a word of the language and can't be a name", "", hint)
    return None


# --- parts that are missing


def _turn(s: Scene) -> Diagnostic | None:
    if s.declaring == "prompt" and s.expected == {"NAME", "}"}:
        message = f"a turn begins with its role, found {s.found()}"
        return s.error("E0138", message, "", 'write system "…", user "…" or assistant "…"')
    return None


def _type_form(s: Scene) -> Diagnostic | None:
    if s.wants_type and s.token.kind == "[":
        return s.error("E0139", "a type has a name", "", "a list is written list[str]")
    if s.token.kind == "<" and s.before.kind == "NAME" and "[" in s.expected and not s.expression_complete:
        return s.error("E0139", "a type takes another in square brackets", "", "a list is written list[str]")
    return None


def _statement(s: Scene) -> Diagnostic | None:
    """A name that begins a statement, and then no `=`; or something that begins none."""
    if s.wants_statement and s.token.kind in OPERAND_STARTS | {"-"}:
        return s.error("E0134", "a value alone is not a statement", "", "name it, let x = …, or return it")
    earlier = s.tokens[s.position - 2].kind if s.position > 1 else ""
    if s.expected != {"="} or s.before.kind != "NAME" or earlier in {":", "let", "var"}:
        return None
    name, kind = s.before.text, s.token.kind
    if name in _FOREIGN_STATEMENTS:
        return s.error("E0113", f"'{name}' is not a word of this language", "", _FOREIGN_STATEMENTS[name], at=s.before)
    if kind in OPERAND_STARTS - {"[", "("} or kind == "{" or (kind == "(" and s.before.end < s.token.start):
        hint = did_you_mean(name, STATEMENT_WORDS)
        if hint:
            return s.error("E0114", f"unknown word '{name}'", "begins no statement", hint, at=s.before)
    if s.after.kind == "=" and kind in {"+", "-", "*", "/", "//", "%"}:
        return s.error("E0135", f"there is no '{kind}='", "", f"write {name} = {name} {kind} …")
    if kind == ":":
        return s.error("E0135", "a name is declared without 'let' or 'var'", "", f"write let {name}: …", at=s.before)
    if not s.before.first and earlier not in {"{", "}"}:
        hint = "an operator or a ',' may be missing before it"
        return s.error("E0120", f"unexpected name '{name}' after the end of a statement", "", hint, at=s.before)
    if kind in {"(", ".", "[", "|>"} or kind == "}":
        hint = "name its value, let x = …, assign it or return it"
        return s.error("E0134", "a value alone is not a statement", "", hint, at=s.before)
    return None


def _type(s: Scene) -> Diagnostic | None:
    if s.expected == {":"} and s.before.kind == "NAME":
        hint = f"write its type: {s.before.text}: str"
        return s.error("E0116", f"'{s.before.text}' has no type", "expected ':' and a type", hint, at=s.before)
    return None


def _assignment(s: Scene) -> Diagnostic | None:
    if "=" not in s.expected or not s.expected <= {"=", ":", "?", "["} or s.token.kind in DECLARATION_WORDS:
        return None
    hint = ""
    if s.token.kind == "{":
        hint = "a function is one expression after '='; what has statements is a program"
    return s.gap("E0117", f"missing '=' before {s.found()}", "expected '=' and a value", hint)


def _result(s: Scene) -> Diagnostic | None:
    if "->" in s.expected:
        return s.gap("E0119", "the type of the result is missing", "expected '->' and a type", "for example -> str")
    return None


def _use(s: Scene) -> Diagnostic | None:
    if s.expected == {".", "("}:
        hint = "write use std.answers (boxed, number)"
        return s.gap("E0140", "a 'use' lists the names that it brings in", "expected '(' and names", hint)
    return None


def _tunable(s: Scene) -> Diagnostic | None:
    begins = s.before.kind == "in" and {"[", "INT"} <= s.expected and "NAME" not in s.expected
    listed = s.opener is not None and s.opener.kind == "[" and "INT" in s.expected and "NAME" not in s.expected
    if begins or listed or s.expected == {".."} or (s.before.kind == ".." and "INT" in s.expected):
        hint = "write a range of numbers, in 1..256, or a list of values, in [0.2, 0.7]"
        return s.error("E0141", f"these values can't be tried: expected {s.wanted()}, found {s.found()}", "", hint)
    return None


def _block(s: Scene) -> Diagnostic | None:
    if "{" not in s.expected:
        return None
    odd = s.token.kind == ":" or s.token.text in {"then", "do"}
    if odd or s.token.first or s.token.kind in STATEMENT_WORDS | {"}"}:
        label = "write '{' instead" if odd else "expected '{'"
        report = s.error if odd else s.gap
        return report("E0132", "a block stands in braces", label, "write { … }")
    return None


def _comma(s: Scene) -> Diagnostic | None:
    starts = s.token.kind in OPERAND_STARTS or (s.token.kind == "NAME" and s.after.kind in {":", "="})
    if starts and s.opener is not None and s.opener.kind != "{" and "," in s.expected and s.before.kind != ",":
        message = f"missing ',' before {s.found()}"
        return s.gap("E0143", message, f"expected ',' or '{OPENERS[s.opener.kind]}'")
    return None


def _expression(s: Scene) -> Diagnostic | None:
    if not s.wants_expression:
        return None
    hint = ""
    if s.before.kind == "return":
        hint = "a program returns a value"
    elif s.token.kind == "*" and s.before.kind == "*":
        hint = "there is no power operator"
    notes = (_opened(s, s.opener),) if s.opener and s.opener.kind != "{" and s.breaks_off else ()
    report = s.gap if s.breaks_off else s.error
    return report("E0142", f"expected an expression, found {s.found()}", "", hint, notes)


RULES: tuple[Callable[[Scene], Diagnostic | None], ...] = (
    _later,
    slips.equals,
    slips.bar,
    slips.named,
    slips.arrows,
    slips.not_in,
    slips.chain,
    slips.question_mark,
    slips.tuple,
    _docstring,
    _top_level,
    slips.braces,
    _brackets,
    slips.missing_else,
    _reserved,
    _owners,
    _nested,
    _turn,
    _statement,
    _type_form,
    _type,
    _assignment,
    _result,
    _use,
    _tunable,
    _block,
    _comma,
    _expression,
)
