"""What could be written at the cursor, by the tokens around it.

The word at the cursor, which may be empty, is replaced by a mark, a name that nothing else has. So the text can be read
although it is not finished: `draft.` with a mark after it is a value with a field. What other programs and tests do is
left out of it: nothing here depends on that, and a long file takes no longer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypedDict

from ttsc.grammar.lexer import Lexer
from ttsc.grammar.source import Source
from ttsc.grammar.tokens import CLOSERS, DECLARATION_WORDS, EXPECTS_OPERAND, OPENERS, Token

MARK = "zz_cursor_zz"
_WORD_BEFORE = re.compile(r"[A-Za-z0-9_]*$")
_WORD_AFTER = re.compile(r"[A-Za-z0-9_]*")

Kind = Literal[
    "declaration", "statement", "test item", "turn", "stage", "member", "argument", "value", "expression", "type",
    "test expression", "use path", "use names", "parameter", "budget", "nothing",
]  # fmt: skip


class Details(TypedDict, total=False):
    """What else is known of some kinds of places; see `Place`."""

    callee: str
    piped: bool
    name: str
    position: int
    given: frozenset[str]
    path: tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """`kind`: what may stand here. `start`..`end`: the word that it replaces. `marked`: the text to read, with the mark
    for that word at `at`; `closers` would close what is open there.

    `callee`: the name that is called around the cursor; `piped`: whether a value is piped into the call; `name`: of the
    argument whose value it is; `position`: how many arguments are before it; `given`: names of arguments that the call
    has; `path`: of the `use`.
    """

    kind: Kind
    start: int
    end: int
    marked: str = ""
    at: int = 0
    closers: str = ""
    callee: str = ""
    piped: bool = False
    name: str = ""
    position: int = 0
    given: frozenset[str] = frozenset()
    path: tuple[str, ...] = ()

    @property
    def attempts(self) -> tuple[str, ...]:
        """Texts to read, the best first: as it is; with the open brackets closed; with nothing after the cursor."""
        after = self.at + len(MARK)
        brackets = re.match(r"[)\]]*", self.closers)
        assert brackets is not None
        closed = self.marked[:after] + brackets[0] + self.marked[after:]
        return (self.marked, closed, self.marked[:after] + self.closers)


def place_at(text: str, offset: int) -> Place:
    """The place of an offset. In a comment or a string nothing is completed."""
    before, after = _WORD_BEFORE.search(text[:offset]), _WORD_AFTER.match(text, offset)
    assert before is not None and after is not None
    start, end = before.start(), after.end()
    number = text[start:end][:1].isdigit()
    if number:
        end = start
    marked = text[:start] + MARK + " " * number + text[end:]
    tokens = Lexer(Source("<completion>", marked)).tokens
    at = next((i for i, token in enumerate(tokens) if token.start == start and token.text == MARK), None)
    if at is None:
        return Place("nothing", start, end)
    open_ = _open_brackets(tokens, at)
    closers = "".join(OPENERS[tokens[i].kind] for i in reversed(open_))
    kind, details = _kind(tokens, at, open_)
    focused, start_there = _focused(marked, tokens, start)
    return Place("nothing" if number else kind, start, end, focused, start_there, closers, **details)


def _focused(marked: str, tokens: list[Token], at: int) -> tuple[str, int]:
    """The text without the bodies of programs and tests that `at` is not in, and where `at` is then."""
    parts: list[str] = []
    position = removed = depth = opened = 0
    inside = False
    for token in tokens:
        if token.kind in DECLARATION_WORDS and (depth == 0 or (token.first and token.column == 0)):
            inside, depth = token.kind in {"program", "test"}, 0
        elif token.kind == "{":
            opened = token.end if depth == 0 else opened
            depth += 1
        elif token.kind == "}" and depth:
            depth -= 1
            if depth == 0 and inside and not opened <= at <= token.start:
                parts.append(marked[position:opened])
                position = token.start
                removed += token.start - opened if token.start < at else 0
    return "".join([*parts, marked[position:]]), at - removed


def _open_brackets(tokens: list[Token], at: int) -> list[int]:
    """Positions of the brackets and braces that are open at a token, the innermost last."""
    open_: list[int] = []
    for i, token in enumerate(tokens[:at]):
        if token.kind in OPENERS:
            open_.append(i)
        elif token.kind in CLOSERS:
            while open_:
                if OPENERS[tokens[open_.pop()].kind] == token.kind:
                    break
        elif token.kind in DECLARATION_WORDS and token.first and token.column == 0:
            open_.clear()
    return open_


def _kind(tokens: list[Token], at: int, open_: list[int]) -> tuple[Kind, Details]:
    previous = tokens[at - 1].kind if at else ""
    used = _use(tokens, at)
    if used is not None:
        return used
    if previous == ".":
        return "member", {}
    if previous == "|>":
        return "stage", {}
    if previous in {"let", "var", "for", "=>"} | DECLARATION_WORDS:
        return ("expression" if previous == "=>" else "nothing"), {}
    if previous in {":", "->"} or (previous == "[" and at > 1 and tokens[at - 2].text == "list"):
        return "type", {}
    if not open_:
        return _at_top(tokens, at, previous), {}
    opener = tokens[open_[-1]]
    if opener.kind == "{":
        return _in_block(tokens, at, previous), {}
    before = tokens[open_[-1] - 1] if open_[-1] else opener
    if opener.kind != "(" or before.kind != "NAME":
        return "expression", {}
    if open_[-1] > 1 and tokens[open_[-1] - 2].kind in DECLARATION_WORDS:
        return ("parameter" if previous in {"(", ","} else "nothing"), {}
    return _in_call(tokens, at, open_[-1])


def _at_top(tokens: list[Token], at: int, previous: str) -> Kind:
    """Outside of all brackets: a declaration, the limits of a budget, the expression of a function."""
    if tokens[at - 1].text == "budget" and at > 1:
        return "budget"
    if previous == ",":
        last = next((t.text for t in reversed(tokens[:at]) if t.text in {"budget", "model"}), "")
        return "budget" if last == "budget" else "nothing"
    return "expression" if previous in EXPECTS_OPERAND else "declaration"


def _use(tokens: list[Token], at: int) -> tuple[Kind, Details] | None:
    task = at - 1
    while task >= 0 and tokens[task].kind in {"NAME", "."}:
        task -= 1
    for_task = task > 0 and tokens[task].kind == "for" and tokens[task - 1].kind == ")"
    i = task - 2 if for_task else at - 1
    while i >= 0 and tokens[i].kind in {"NAME", ".", ",", "("}:
        i -= 1
    if i < 0 or tokens[i].kind != "use":
        return None
    if for_task:
        path = tuple(token.text for token in tokens[task + 1 : at] if token.kind == "NAME")
        return "use path", {"path": path, "given": frozenset()}
    words = tokens[i + 1 : at]
    bracket = next((j for j, token in enumerate(words) if token.kind == "("), None)
    path = tuple(token.text for token in words[:bracket] if token.kind == "NAME")
    given = frozenset(token.text for token in words[bracket:] if token.kind == "NAME") if bracket else frozenset()
    return ("use path" if bracket is None else "use names"), {"path": path, "given": given}


def _in_block(tokens: list[Token], at: int, previous: str) -> Kind:
    """Between braces: of a prompt, a record, a test, or around statements."""
    declared = next((t.kind for t in reversed(tokens[:at]) if t.kind in DECLARATION_WORDS and t.first), "program")
    starts = previous in {"{", "}"} or (tokens[at].first and previous not in EXPECTS_OPERAND)
    if declared == "prompt":
        return "turn" if previous in {"{", "STRING"} else "nothing"
    if declared == "record":
        return "nothing"
    if not starts:
        return "test expression" if declared == "test" else "expression"
    return "test item" if declared == "test" or tokens[at - 1].kind == "test" else "statement"


def _in_call(tokens: list[Token], at: int, opener: int) -> tuple[Kind, Details]:
    previous = tokens[at - 1].kind
    given = frozenset(_names_given(tokens, at, opener))
    details: Details = {
        "callee": tokens[opener - 1].text,
        "piped": opener > 1 and tokens[opener - 2].kind == "|>",
        "position": _commas(tokens, at, opener),
        "given": given,
    }
    if previous == "=" and tokens[at - 2].kind == "NAME" and tokens[at - 3].kind in {"(", ","}:
        return "value", {**details, "name": tokens[at - 2].text}
    return ("argument" if previous in {"(", ","} else "expression"), details


def _names_given(tokens: list[Token], at: int, opener: int) -> list[str]:
    """Names of the arguments of the call whose bracket is at `opener`, before the cursor and behind it."""
    names: list[str] = []
    depth = 0
    for i in range(opener + 1, len(tokens) - 1):
        kind = tokens[i].kind
        if kind in OPENERS:
            depth += 1
        elif kind in CLOSERS:
            depth -= 1
            if depth < 0:
                break
        elif i != at and depth == 0 and kind == "NAME" and tokens[i + 1].kind == "=":
            names.append(tokens[i].text)
    return names


def _commas(tokens: list[Token], at: int, opener: int) -> int:
    """Commas of the call itself between its bracket and the cursor."""
    count = depth = 0
    for token in tokens[opener + 1 : at]:
        depth += (token.kind in OPENERS) - (token.kind in CLOSERS)
        count += token.kind == "," and depth == 0
    return count
