"""What needs more than one token of lookahead, settled in one pass each so that the grammar stays LALR(1).

Which words are the language's and which are names; which `if` is a statement and which a conditional; which `(` opens
the parameters of a lambda. A declaration found inside an open `{` is taken for what it looks like: a `}` is missing.
"""

from __future__ import annotations

from typing import Protocol

from ttsc.grammar.tokens import (
    CLOSERS,
    DECLARATION_WORDS,
    EXPECTS_OPERAND,
    OPENERS,
    RESERVED_WORDS,
    STATEMENT_WORDS,
    Token,
)

_FOREIGN_VALUES = {
    **dict.fromkeys(("None", "null", "nil", "NULL", "undefined"), "none"),
    **dict.fromkeys(("True", "TRUE"), "true"),
    **dict.fromkeys(("False", "FALSE"), "false"),
}


class Report(Protocol):
    """Takes note of an error: its code, where, and what to say."""

    def __call__(self, code: str, start: int, end: int, message: str, label: str = "", hint: str = "") -> None: ...


def settle(tokens: list[Token], report: Report) -> None:
    """Gives each token the kind it has where it stands, in place."""
    _name_words(tokens, report)
    _settle_ifs(tokens)
    _settle_lambdas(tokens)


def _name_words(tokens: list[Token], report: Report) -> None:
    """Finds which words are the language's."""
    depth = 0
    previous = ""
    mended: list[int] = []
    dropped: list[int] = []
    for i, token in enumerate(tokens):
        kind = token.kind
        if kind in OPENERS:
            depth += 1
        elif kind in CLOSERS:
            depth = max(0, depth - 1)
        elif kind == "NAME" and previous != ".":
            word = token.text
            following = tokens[i + 1]
            if following.kind == "=" and previous in {"(", ","} and depth:
                pass
            elif _placed(tokens, i, previous, depth):
                kind = word
                tokens[i] = token._replace(kind=word)
            elif word in RESERVED_WORDS or (word in DECLARATION_WORDS and _declares(tokens, i, previous, depth)):
                kind = word
                tokens[i] = token._replace(kind=word)
                if word in DECLARATION_WORDS and token.first and token.column == 0:
                    depth = 0
            elif word in {"elif", "elsif", "elseif"} and previous == "}" and following.kind not in {"=", ".", "("}:
                report("E0113", token.start, token.end, f"'{word}' is written 'else if'")
                kind = "if"
                tokens[i] = token._replace(kind=kind)
                mended.append(i)
            elif word == "lambda" and following.kind == "NAME" and tokens[i + 2].kind == ":":
                report("E0113", token.start, token.end, "'lambda' is not a word here", "", "write x => …")
                tokens[i + 2] = tokens[i + 2]._replace(kind="=>")
                dropped.append(i)
            elif word in _FOREIGN_VALUES:
                kind = _FOREIGN_VALUES[word]
                report("E0112", token.start, token.end, f"'{word}' is written '{kind}'")
                tokens[i] = token._replace(kind=kind)
        previous = kind
    for i in sorted(mended + dropped, reverse=True):
        tokens[i : i + 1] = [] if i in dropped else [tokens[i]._replace(kind="else"), tokens[i]]


def _placed(tokens: list[Token], i: int, previous: str, depth: int) -> bool:
    """Is the word at `i` one that means something in this place alone, and is this the place?"""
    word, following = tokens[i].text, tokens[i + 1]
    if word == "offline":
        return following.text == "let" and previous not in EXPECTS_OPERAND
    if word == "budget":
        limits = following.kind == "NAME" and following.text not in DECLARATION_WORDS
        outside = depth == 0 and previous not in EXPECTS_OPERAND
        return limits and (outside or tokens[i + 2].kind in {"<=", "<"})
    return word == "oracle" and previous in {"(", ","} and following.kind == "NAME"


def _declares(tokens: list[Token], i: int, previous: str, depth: int) -> bool:
    """Does a declaration begin with the word at `i`?"""
    following = tokens[i + 1]
    if tokens[i].text in {"environment", "oracle"} and following.text != "extern":
        return False
    if previous in {"environment", "oracle"}:
        return tokens[i].text == "extern"
    if previous not in EXPECTS_OPERAND:
        return following.kind == "NAME" or (depth == 0 and following.kind not in {"=", ":"})
    if following.kind != "NAME" or not tokens[i].first:
        return False
    # Something is missing before it, then, unless the next name begins a statement (`let x = model` and `y = 3`) or
    # a declaration (`function f() -> str = model` and `prompt y(…)`).
    after = tokens[i + 2].kind
    declares = following.text in DECLARATION_WORDS and after in {"NAME", "STRING"}
    return (after not in {"=", "+="} or depth == 0) and not declares


def _settle_ifs(tokens: list[Token]) -> None:
    """Tells the `if` of `a if c else b` from the statement: expressions hold no braces, so whichever of `else` and
    `{` comes first says which it is. One that neither follows is judged by where it stands."""
    frames: list[list[int]] = [[]]

    def close(position: int, conditional: bool) -> None:
        if conditional:
            tokens[position] = tokens[position]._replace(kind="COND_IF")

    def close_by_place(position: int, bracketed: bool) -> None:
        before = tokens[position - 1].kind if position else "{"
        close(position, bracketed or not (tokens[position].first or before in {"{", "}", "else"}))

    for i, token in enumerate(tokens):
        kind = token.kind
        if kind == "if":
            frames[-1].append(i)
        elif kind == "else" and frames[-1]:
            close(frames[-1].pop(), conditional=True)
        elif kind in {"(", "["}:
            frames.append([])
        elif kind in {")", "]"}:
            for position in frames[-1]:
                close_by_place(position, len(frames) > 1)
            frames[-1].clear()
            if len(frames) > 1:
                frames.pop()
        elif kind in {"{", "}", "$END"} or kind in STATEMENT_WORDS or kind in DECLARATION_WORDS:
            if not any(frames):
                frames = [[]]
                continue
            pending = [(position, depth > 0) for depth, frame in enumerate(frames) for position in frame]
            if kind == "{":
                pending.pop()
            for position, bracketed in pending:
                close_by_place(position, bracketed)
            frames = [[]]


def _settle_lambdas(tokens: list[Token]) -> None:
    """Finds the `(` that opens the parameters of a lambda: names and commas, then `) =>` (or `->`, a slip)."""
    for i, token in enumerate(tokens):
        if token.kind == "(" and i and tokens[i - 1].kind in EXPECTS_OPERAND:
            j = i + 1
            while tokens[j].kind in {"NAME", ","}:
                j += 1
            if j > i + 1 and tokens[j].kind == ")" and tokens[j + 1].kind in {"=>", "->"}:
                tokens[i] = token._replace(kind="LAMBDA")
