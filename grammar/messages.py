"""What to say about a token that does not fit.

Each rule below knows one mistake that people make, and tells it by the token, its neighbours and what the parser could
have taken. The first rule that recognises its mistake speaks; the order is from the particular to the general, and the
last one always speaks. Every code has an example in `examples.py`, and a test that fails without one.
"""

from __future__ import annotations

from collections.abc import Callable

from ttsc.grammar import beginnings, bindings, places, slips
from ttsc.grammar.diagnostics import Diagnostic
from ttsc.grammar.lexer import Lexer
from ttsc.grammar.recovery import OPERAND_STARTS, closer_ahead
from ttsc.grammar.scene import Scene
from ttsc.grammar.stack import Stack
from ttsc.grammar.tokens import CLOSERS, DECLARATION_WORDS, LATER_WORDS, OPENERS, STATEMENT_WORDS, Token


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
    assigns = s.token.kind == "NAME" and s.token.first and s.after.kind in {"=", "+="}
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


# --- parts that are missing


def _assignment(s: Scene) -> Diagnostic | None:
    if "=" not in s.expected or not s.expected <= {"=", ":", "?", "["}:
        return None
    hint = ""
    if s.token.kind == "{":
        hint = "a function is one expression after '='; what has statements is a program"
    elif s.doing == "let" and s.before.kind in {"NAME", "]", "?"} and (s.breaks_off or s.token.first):
        hint = "what gets its value later is a variable: var x: str"
    return s.gap("E0117", f"missing '=' before {s.found()}", "expected '=' and a value", hint)


def _result(s: Scene) -> Diagnostic | None:
    if "->" in s.expected:
        return s.gap("E0119", "the type of the result is missing", "expected '->' and a type", "for example -> str")
    return None


def listed_values(s: Scene) -> bool:
    """Is the innermost bracket the one of `in [0.2, 0.7]`, in a declaration?"""
    if s.opener is None or s.opener.kind != "[" or s.expression_complete or s.wants_expression:
        return False
    return s.tokens[s.tokens.index(s.opener) - 1].kind == "in"


def _tunable(s: Scene) -> Diagnostic | None:
    begins = s.before.kind == "in" and {"[", "INT"} <= s.expected and "NAME" not in s.expected
    listed = s.opener is not None and s.opener.kind == "[" and "INT" in s.expected and "NAME" not in s.expected
    number = "INT" in s.expected and s.expected <= {"INT", "FLOAT", "-"}  # after '..' or '-'
    after = listed_values(s) and {",", "]"} <= s.expected
    if begins or listed or s.expected == {".."} or number or after:
        hint = "write a range of numbers, in 1..256, or a list of values, in [0.2, 0.7]"
        return s.error("E0141", f"these values can't be tried: expected {s.wanted()}, found {s.found()}", "", hint)
    return None


def _block(s: Scene) -> Diagnostic | None:
    if "{" not in s.expected:
        return None
    if s.before.kind == "else" and s.token.kind != ":":
        return s.gap("E0132", "a block stands in braces", "expected '{' or 'if'", "write else { … } or else if … { … }")
    if "budget" in s.expected:
        hint = "write program p(question: str) -> str { … }"
        return s.gap("E0132", "the statements of a program stand in braces", "expected '{' or 'budget'", hint)
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
        hint = "there is no power operator: write power(a, b)"
    notes = (_opened(s, s.opener),) if s.opener and s.opener.kind != "{" and s.breaks_off else ()
    report = s.gap if s.breaks_off else s.error
    return report("E0142", f"expected an expression, found {s.found()}", "", hint, notes)


RULES: tuple[Callable[[Scene], Diagnostic | None], ...] = (
    beginnings.comment,
    places.budget,
    places.quantity,
    _later,
    slips.equals,
    slips.bar,
    slips.named,
    slips.arrows,
    slips.not_in,
    slips.chain,
    slips.question_mark,
    slips.tuple,
    slips.word_operator,
    slips.slice,
    places.loop,
    beginnings.docstring,
    beginnings.top_level,
    bindings.lambda_names,
    slips.braces,
    _brackets,
    slips.missing_else,
    bindings.reserved,
    _owners,
    beginnings.inside,
    places.use,
    bindings.field,
    places.test_item,
    beginnings.statement,
    bindings.type_written,
    bindings.no_type,
    bindings.binding,
    _assignment,
    _result,
    places.model,
    places.name,
    places.head,
    places.entry,
    _tunable,
    _block,
    _comma,
    places.parameter,
    _expression,
    slips.after_expression,
    beginnings.declaration,
)
