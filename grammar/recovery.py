"""Where to go on after an error.

A repair changes the token at hand into what was plainly meant (`=` into `==`, `->` into `=>`) or puts one in (`,`), and
loses nothing. Otherwise the parser drops what it had half read of some construct, puts a stand-in in its place (a BAD_
terminal of `tts.lark`), skips tokens up to where that construct can end, and goes on. The smallest construct whose end
can be made out wins: a pair of brackets; the header of a block, so that the block is still read; a statement; a field
or turn; a declaration. Brackets and headers end at the latest where a statement or declaration begins, so a bracket
left open costs its statement and no more, and an open `{` ends where the next declaration begins.

Errors on the token where the parser went on are echoes of the first and are not reported (`parser.py`).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from ttsc.grammar.numbers import TIME_UNITS
from ttsc.grammar.stack import Stack
from ttsc.grammar.tokens import CLOSERS, DECLARATION_WORDS, EXPECTS_OPERAND, LATER_WORDS, OPENERS, Token

STATEMENT_STARTS = frozenset({"let", "offline", "var", "if", "repeat", "for", "return", "expect"})
OPERAND_STARTS = frozenset(
    {"NAME", "INT", "FLOAT", "STRING", "true", "false", "none", "abstain", "(", "[", "LAMBDA", "not"}
)
_LINE_STARTS = (OPERAND_STARTS | LATER_WORDS | {"else", "until"}) - {"(", "[", "LAMBDA"}
_STANDS = ("BAD_BRACKET", "BAD_HEADER", "BAD_STATEMENT", "BAD_ENTRY", "BAD_DECLARATION")
_BRACKETS_TRIED = 8


@dataclass(frozen=True, slots=True)
class Repair:
    """Feed these tokens, then go on `skip` tokens further."""

    tokens: tuple[Token, ...]
    skip: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Keep `height` states, push a token of kind `kind` for what is dropped, go on at `position`.

    `fresh`: a line begins there that may well have an error of its own.
    """

    kind: str
    height: int
    position: int
    fresh: bool


def recover(stack: Stack, tokens: list[Token], position: int, scan_from: int) -> Repair | Resume | None:
    """What to do about the token at `position`, which does not fit. A `scan_from` beyond it means that going on there
    was tried already. None: there is nothing to go on with."""
    if scan_from == position:
        repair = _repair(stack, tokens, position)
        if repair:
            return repair
    if scan_from >= len(tokens):
        return None
    brackets = 0
    for height in range(len(stack.states), 0, -1):
        for kind in _STANDS:
            target = stack.target(kind, height)
            if target is None:
                continue
            if kind == "BAD_BRACKET":
                brackets += 1
                if brackets > _BRACKETS_TRIED:
                    continue
            begin = stack.begins(height)
            column = _column(tokens, tokens[position].start if begin is None else begin)
            found = _scan(kind, stack.tables.actions[target], tokens, scan_from, position, column)
            if found is not None:
                line = kind in {"BAD_STATEMENT", "BAD_DECLARATION"} and tokens[found].first
                fresh = line and found > position
                return Resume(kind, height, found, fresh)
    return None


def _column(tokens: list[Token], offset: int) -> int:
    """The indentation of the line that `offset` is on."""
    i = max(0, bisect_right(tokens, offset, key=lambda token: token.start) - 1)
    while i and not tokens[i].first:
        i -= 1
    return tokens[i].column


def nested(tokens: list[Token], position: int) -> bool:
    """Is the declaration at `position` meant to be where it is, inside a block? Then it stands further to the right
    than the declaration around it, or on a line with other things; otherwise a `}` before it is missing."""
    token = tokens[position]
    if not token.first:
        return True
    for i in range(position - 1, -1, -1):
        before = tokens[i]
        if before.kind in DECLARATION_WORDS and before.first and before.column != token.column:
            return token.column > before.column  # one as far to the right stands beside it
    return False


def _repair(stack: Stack, tokens: list[Token], position: int) -> Repair | None:
    token = tokens[position]
    following = tokens[min(position + 1, len(tokens) - 1)].kind

    def put(kind: str, skip: int) -> Repair | None:
        replaced = skip > 0
        end = token.end if replaced else token.start
        value = 0 if kind == "INT" else None
        made = Token(kind, kind, token.start, end, token.first, token.column, value)
        return Repair((made,), skip) if stack.accepts(kind) else None

    if token.kind == "=" and stack.accepts("=="):
        return put("==", 1)
    if stack.accepts("<=") and not stack.accepts("<") and token.kind in {"<", "=", ":", "==", ">", ">=", "=>"}:
        return put("<=", 1)
    if token.kind in {"=", "->", ":"} and stack.accepts("=>") and stack.accepts("STRING"):
        return put("=>", 1)  # the replies of a role in a test
    if token.kind == "NAME" and stack.accepts(",") and stack.accepts("{") and token.text in TIME_UNITS | {"k", "M"}:
        return Repair((), 1)  # the unit of a limit, after a space
    if token.text == "as" and following == "NAME" and stack.accepts(",") and not stack.accepts("="):
        return Repair((), 2)  # in the names of a 'use'
    if token.kind == "QUANTITY":
        return put("INT", 1)
    header = stack.accepts("in") and not any(stack.accepts(other) for other in ("==", "}", ")"))
    if header and (token.kind in {"=", ":"} or token.text in {"of", "over"}):
        return put("in", 1)
    if token.kind == "NAME" and token.text == "is" and stack.accepts("=="):
        return put("==", 2 if following == "not" else 1)
    if token.kind == ":" and stack.accepts("STRING") and not stack.accepts("NAME"):
        return Repair((), 1)  # after the role of a turn
    if token.kind == "->" and stack.accepts(")") and not stack.accepts("=>"):
        return put(")", 0)
    if token.kind == "->" or (token.kind == "=>" and not stack.accepts("->")):
        return put("=>", 1)
    if token.kind in {"=>", ":"} and stack.accepts("->"):
        return put("->", 1)
    if token.kind == ":" and stack.accepts(","):
        return put("=", 1)
    if token.kind in {">", "|"}:
        return put("|>", 1)
    if token.kind == "not" and following == "in":
        return put("in", 2)
    if token.kind in OPERAND_STARTS and not token.first and position:
        if stack.accepts(",") and tokens[position - 1].kind not in {",", "(", "["}:
            return put(",", 0)
        if stack.accepts(":") and stack.accepts("="):
            return put(":" if following in {"=", "?"} else "=", 0)
    return None


def _scan(kind: str, after: dict[str, int], tokens: list[Token], start: int, position: int, column: int) -> int | None:
    """Where a construct that the stand-in `kind` replaces ends, at `start` or later; `after` is what may follow, the
    error is at `position`, and the construct's line is indented by `column`."""
    if kind == "BAD_BRACKET":
        return _scan_bracket(after, tokens, start)
    if kind == "BAD_HEADER":
        return _scan_header(tokens, start)
    if kind == "BAD_STATEMENT":
        return _scan_statement(tokens, start, position, column, "expect" in after)
    if kind == "BAD_ENTRY":
        return _scan_entry(after, tokens, start)
    for i in range(start, len(tokens)):
        here = tokens[i].kind
        if here in DECLARATION_WORDS or here == "$END":
            return i
        if here in {"NAME", "budget"} and i > position and tokens[i].first and tokens[i].column == 0:
            return i
        if here == "STRING" and tokens[i].first and tokens[i + 1].kind in DECLARATION_WORDS:
            return i
    return None


def closer_ahead(tokens: list[Token], position: int, closer: str) -> bool:
    """Is the bracket around `position` closed further on, before anything that no bracket contains?"""
    return _scan_bracket({closer: 0}, tokens, position) is not None


def _ends_brackets(token: Token) -> bool:
    kind = token.kind
    if kind == "for" and not token.first:
        return False  # meant as in [x for x in xs]
    return kind in {"{", "}", "until", "$END"} or kind in STATEMENT_STARTS or kind in DECLARATION_WORDS


def _scan_bracket(after: dict[str, int], tokens: list[Token], start: int) -> int | None:
    depth = 0
    i = start
    while i < len(tokens):
        kind = tokens[i].kind
        if kind == "{" and tokens[i - 1].kind in EXPECTS_OPERAND:  # meant as a value
            i = _skip_braces(tokens, i)
            continue
        if _ends_brackets(tokens[i]):
            return None
        if kind in OPENERS:
            depth += 1
        elif kind in CLOSERS:
            if depth == 0:
                return i if kind in after else None
            depth -= 1
        i += 1
    return None


def _scan_header(tokens: list[Token], start: int) -> int | None:
    for i in range(start, len(tokens)):
        kind = tokens[i].kind
        if kind == "{":
            return i
        if _ends_brackets(tokens[i]):
            return None
    return None


def _skip_braces(tokens: list[Token], start: int) -> int:
    """The position after the `}` that closes the `{` at `start`."""
    depth = 0
    for i in range(start, len(tokens)):
        if tokens[i].kind == "{":
            depth += 1
        elif tokens[i].kind == "}":
            depth -= 1
            if depth == 0:
                return i + 1
    return len(tokens) - 1


def _scan_statement(tokens: list[Token], start: int, position: int, column: int, test: bool) -> int | None:
    """The next statement: one that begins with its word, or a line that is indented as the bad one was. In a test, the
    next of its items."""
    i = start
    depth = 0
    declares = False
    while i < len(tokens):
        token = tokens[i]
        kind = token.kind
        if kind in DECLARATION_WORDS:
            if not nested(tokens, i):
                return None
            if test and token.first and kind in {"model", "extern", "store"} and i > position:
                return i
            declares = True
        elif kind == "$END":
            return None
        elif kind in STATEMENT_STARTS or kind == "}":
            return i
        elif token.first and depth <= 0 and kind == "NAME" and tokens[i + 1].kind in {"=", "+="}:
            return i
        elif token.first and i > position and token.column == column and kind in _LINE_STARTS:
            return i
        elif kind == "{":
            if (
                not declares
                and not test
                and i > start
                and tokens[i - 1].kind not in EXPECTS_OPERAND - {"else", "if", "repeat", "for"}
            ):
                return i
            i = _skip_braces(tokens, i)
            continue
        elif kind in OPENERS:
            depth += 1
        elif kind in CLOSERS:
            depth -= 1
        i += 1
    return None


def _scan_entry(after: dict[str, int], tokens: list[Token], start: int) -> int | None:
    separator = ":" if "," in after else "STRING"  # fields `name: type`, turns `role "…"`
    i = start
    while i < len(tokens):
        kind = tokens[i].kind
        if kind == "}" or (kind == "," and "," in after):
            return i
        if kind in DECLARATION_WORDS or kind == "$END":
            return None
        if kind == "NAME" and tokens[i + 1].kind == separator:
            return i
        i = _skip_braces(tokens, i) if kind == "{" else i + 1
    return None
