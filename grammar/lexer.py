"""Text to tokens: one pass over the text, then one over the tokens for what needs more than one token of lookahead.

The whole text is read before parsing begins. Recovery needs to look ahead, and a mistake in a token (a foreign
operator, a bad escape, a quote left open) is then reported on its own terms and mended on the spot, so that the parser
sees what was meant and reports nothing on top of it.

Words are kept free for the user where the language allows it. `let`, `if`, `in`, ... are reserved, but not after a `.`
and not as the name of an argument. `model`, `prompt`, `program`, ... are words of the language only where a declaration
can start. A declaration found inside an open `{` is taken for what it looks like: a `}` is missing before it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ttsc.grammar.diagnostics import Diagnostic
from ttsc.grammar.numbers import read_number
from ttsc.grammar.source import Source, Span
from ttsc.grammar.strings import decode

STATEMENT_WORDS = frozenset({"let", "var", "if", "else", "repeat", "for", "until", "return", "expect"})
OPERATOR_WORDS = frozenset({"or", "and", "not", "in"})
VALUE_WORDS = frozenset({"true", "false", "none", "abstain"})
DECLARATION_WORDS = frozenset(
    "use model prompt record extern environment oracle function program store test".split()
)
PLACED_WORDS = frozenset({"budget", "offline"})
"""Words of the language in one place only, and names elsewhere."""
LATER_WORDS = frozenset({"while"})
"""Reserved without a meaning yet, so that programs written today keep theirs."""
RESERVED_WORDS = STATEMENT_WORDS | OPERATOR_WORDS | VALUE_WORDS | LATER_WORDS

MAX_REPORTS = 100
"""The text is not read further after so many errors: it is no program."""

OPENERS = {"(": ")", "[": "]", "{": "}", "LAMBDA": ")"}
CLOSERS = frozenset({")", "]", "}"})

_FOREIGN_VALUES = {"None": "none", "null": "none", "nil": "none", "True": "true", "False": "false"}
_FOREIGN_OPERATORS = {"&&": "and", "||": "or", "!": "not", ":=": "=", "===": "==", "!==": "!=", "<>": "!="}
EXPECTS_OPERAND = DECLARATION_WORDS | frozenset(
    "( [ LAMBDA , = += == != < <= > >= => |> : -> . .. + - * / // % |"
    " let var if COND_IF else repeat for until return expect or and not in".split()
)
"""What is incomplete without something after it."""

_TOKEN = re.compile(
    r"""
      (?P<space>(?:[ \t\r\n\f\v]|\#[^\n]*)+)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<number>[0-9](?:[0-9_])*(?:\.[0-9][0-9_]*)?(?:[eE][+-]?[0-9][0-9_]*)?[A-Za-z0-9_]*)
    | (?P<block>\"\"\")
    | (?P<string>")
    | (?P<money>\$[0-9][A-Za-z0-9_.]*)
    | (?P<foreign>===|!==|&&|\|\||:=|<>|!(?!=))
    | (?P<symbol>\|>?|=>|->|==|!=|<=|>=|\+=|\.\.|//|[()\[\]{},:?.=<>+\-*/%])
    | (?P<single>')
    | (?P<semicolons>;[; \t]*)
    """,
    re.VERBOSE,
)
_WORD = re.compile(r"[A-Za-z0-9_]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_STRING_END = re.compile(r'(?:[^"\\\n]+|\\[^\n])*')
_BLOCK_END = re.compile(r'(?:[^"\\]+|\\(?s:.)|"(?!""))*')
_SINGLE_END = re.compile(r"(?:[^'\\\n]+|\\[^\n])*")


class Token(NamedTuple):
    """`kind` is the terminal of the grammar: the word or symbol itself, or NAME, INT, FLOAT, STRING, and so on.

    A named tuple, as there are as many tokens as words in a text and a frozen dataclass takes three times as long.
    """

    kind: str
    text: str
    start: int
    end: int
    first: bool
    """Is it the first of its line?"""
    column: int = 0
    value: str | int | float | tuple[int | float, str] | None = None
    """What the text stands for; of a QUANTITY an amount and its unit (`30s`, `$0.05`)."""


class Lexer:
    """`tokens` ends with a token of kind `$END`.

    `swallowed`: from this offset on the text was not read as tokens, since a triple quote was left open or too much was
    wrong. `doubts`: where something unreadable was skipped or mended; what does not fit there was explained.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tokens: list[Token] = []
        self.diagnostics: list[Diagnostic] = []
        self.swallowed: int | None = None
        self.doubts: list[int] = []
        self._line_start = 0
        self._scan()
        self._name_words()
        self._settle_ifs()
        self._settle_lambdas()

    def _report(self, code: str, start: int, end: int, message: str, label: str = "", hint: str = "") -> None:
        if len(self.diagnostics) < MAX_REPORTS:
            self.diagnostics.append(Diagnostic(code, message, Span(self.source, start, end), label, hint))

    def _add(
        self,
        kind: str,
        text: str,
        start: int,
        first: bool,
        value: str | int | float | tuple[int | float, str] | None = None,
    ) -> None:
        self.tokens.append(Token(kind, text, start, start + len(text), first, start - self._line_start, value))

    # --- one pass over the text

    def _scan(self) -> None:
        text = self.source.text
        position = 1 if text.startswith("\ufeff") else 0
        first = True
        while position < len(text):
            if len(self.diagnostics) >= MAX_REPORTS:
                self.swallowed = position
                break
            match = _TOKEN.match(text, position)
            if match is None:
                position = self._strange(position)
                continue
            kind = match.lastgroup
            if kind == "space":
                newline = match[0].rfind("\n")
                if newline >= 0:
                    first = True
                    self._line_start = position + newline + 1
                position = match.end()
                continue
            position = self._token(kind, match[0], position, first)
            first = False
        self._add("$END", "", len(text), True)

    def _token(self, kind: str | None, raw: str, start: int, first: bool) -> int:
        """Adds the token that starts here and returns where it ends."""
        end = start + len(raw)
        if kind == "word":
            self._add("NAME", raw, start, first)
        elif kind == "symbol":
            self._add(raw, raw, start, first)
        elif kind == "number" or kind == "money":
            value = read_number(raw, lambda code, message, hint: self._report(code, start, end, message, "", hint))
            kinds = {tuple: "QUANTITY", float: "FLOAT", int: "INT"}
            self._add(kinds[type(value)], raw, start, first, value)
        elif kind == "foreign":
            ours = _FOREIGN_OPERATORS[raw]
            self.doubts.append(start)
            self._report("E0107", start, end, f"'{raw}' is not an operator here", "", f"write '{ours}'")
            self._add(ours, raw, start, first)
        elif kind == "semicolons":
            hint = "remove it: statements need nothing between them"
            self._report("E0107", start, start + 1, "';' is not used in this language", "", hint)
        elif kind == "block":
            return self._block(start, first)
        else:
            return self._string(start, first)
        return end

    def _string(self, start: int, first: bool) -> int:
        """A string on one line. With `'` for quotes it is an error, and read as if it had been a string."""
        text = self.source.text
        quote = text[start]
        match = (_STRING_END if quote == '"' else _SINGLE_END).match(text, start + 1)
        assert match is not None
        end = match.end()
        closed = end < len(text) and text[end] == quote
        if closed:
            end += 1
        else:
            end = start + len(text[start:end].rstrip())
        if quote == "'":
            hint = 'write it between double quotes: "…"'
            if not closed:
                word = _WORD.match(text, start + 1)
                end = word.end() if word else start + 1
            self._report("E0108", start, end, "strings are written with double quotes", "", hint)
            if not closed:
                self.doubts.append(start)
                return end
        elif not closed:
            hint = 'close it with \'"\' on the same line, or use """…""" for text of several lines'
            self.doubts.append(end)
            self._report("E0102", start, end, "this string is never closed", "no '\"' before the end of the line", hint)
        raw = text[start:end] if closed else text[start:end] + '"'
        self._add_string(raw if quote == '"' else f'"{raw[1:-1]}"', start, end, first, quiet=quote == "'")
        return end

    def _block(self, start: int, first: bool) -> int:
        text = self.source.text
        match = _BLOCK_END.match(text, start + 3)
        assert match is not None
        end = match.end()
        if text.startswith('"""', end):
            end += 3
            self._add_string(text[start:end], start, end, first)
            return end
        hint = 'write \'"""\' where the text ends'
        self._report("E0103", start, start + 3, "this text is never closed", "everything after this is text", hint)
        self.swallowed = start
        self._add_string('""', start, len(text), first)
        return len(text)

    def _add_string(self, raw: str, start: int, end: int, first: bool, quiet: bool = False) -> None:
        before = self.tokens[-1] if self.tokens else None
        if before and before.end == start and before.kind == "NAME" and before.text.lower() in {"f", "r", "b", "rb"}:
            prefix = self.tokens.pop()
            hints = {"f": "pass values to a prompt: its templates take {{ name }}"}
            hint = hints.get(prefix.text.lower(), "remove it, and write a backslash as '\\\\'")
            message = f"strings take no prefix '{prefix.text}'"
            self._report("E0109", prefix.start, end, message, "", hint)
            first = prefix.first

        def report(at: int, length: int, message: str, hint: str) -> None:
            if not quiet:
                self._report("E0104", start + at, start + at + length, message, "", hint)

        half = _SURROGATE.search(raw)
        if half:
            message = f"unexpected character U+{ord(half[0]):04X}"
            self._report("E0101", start, end, message, "half of a character is in it", "save the file as UTF-8")
        kind = "STRING" if self.tokens else "MODULE_DOC"
        text = self.source.text[start:end]
        self._add(kind, text, start, first, decode(raw, report))
        newline = text.rfind("\n")
        if newline >= 0:
            self._line_start = start + newline + 1

    def _strange(self, start: int) -> int:
        """Reports a run of characters that no token has, and skips it."""
        text = self.source.text
        self.doubts.append(start)
        end = start + 1
        while end < len(text) and end - start < 40 and not text[end].isspace() and _TOKEN.match(text, end) is None:
            end += 1
        character = text[start]
        if character in "“”„«»‘’":
            word, hint = f"'{character}'", 'strings are written with straight double quotes: "…"'
        elif character.isalpha():
            word, hint = f"'{text[start:end]}'", "names are made of the letters a to z, digits and '_'"
        elif character.isprintable():
            word, hint = f"'{text[start:end]}'", ""
        else:
            end = start + 1
            word, hint = f"U+{ord(character):04X}", "it can't be seen: delete it and write a plain space instead"
        self._report("E0101", start, end, f"unexpected character {word}", "", hint)
        return end

    # --- what needs lookahead

    def _name_words(self) -> None:
        """Finds which words are the language's."""
        tokens = self.tokens
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
                elif self._placed(i, previous):
                    kind = word
                    tokens[i] = token._replace(kind=word)
                elif word in RESERVED_WORDS or (word in DECLARATION_WORDS and self._declares(i, previous, depth)):
                    kind = word
                    tokens[i] = token._replace(kind=word)
                    if word in DECLARATION_WORDS and token.first and token.column == 0:
                        depth = 0
                elif word in {"elif", "elsif", "elseif"} and previous == "}" and following.kind not in {"=", ".", "("}:
                    self._report("E0113", token.start, token.end, f"'{word}' is written 'else if'")
                    kind = "if"
                    tokens[i] = token._replace(kind=kind)
                    mended.append(i)
                elif word == "lambda" and following.kind == "NAME" and tokens[i + 2].kind == ":":
                    self._report("E0113", token.start, token.end, "'lambda' is not a word here", "", "write x => …")
                    tokens[i + 2] = tokens[i + 2]._replace(kind="=>")
                    dropped.append(i)
                elif word in _FOREIGN_VALUES:
                    kind = _FOREIGN_VALUES[word]
                    self._report("E0112", token.start, token.end, f"'{word}' is written '{kind}'")
                    tokens[i] = token._replace(kind=kind)
            previous = kind
        for i in sorted(mended + dropped, reverse=True):
            tokens[i : i + 1] = [] if i in dropped else [tokens[i]._replace(kind="else"), tokens[i]]

    def _placed(self, i: int, previous: str) -> bool:
        """Is the word at `i` one that means something in this place alone, and is this the place?"""
        word, following = self.tokens[i].text, self.tokens[i + 1]
        if word == "offline":
            return following.text == "let" and previous not in EXPECTS_OPERAND
        if word == "budget":
            return following.kind == "NAME" and self.tokens[i + 2].kind in {"<=", "<"}
        return word == "oracle" and previous in {"(", ","} and following.kind == "NAME"

    def _declares(self, i: int, previous: str, depth: int) -> bool:
        """Does a declaration begin with the word at `i`?"""
        following = self.tokens[i + 1]
        if self.tokens[i].text in {"environment", "oracle"} and following.text != "extern":
            return False
        if previous in {"environment", "oracle"}:
            return self.tokens[i].text == "extern"
        if previous not in EXPECTS_OPERAND:
            return following.kind == "NAME" or (depth == 0 and following.kind not in {"=", ":"})
        if following.kind != "NAME" or not self.tokens[i].first:
            return False
        # Something is missing before it, then, unless the next name begins a statement (`let x = model` and `y = 3`) or
        # a declaration (`function f() -> str = model` and `prompt y(…)`).
        after = self.tokens[i + 2].kind
        return (after != "=" or depth == 0) and not (following.text in DECLARATION_WORDS and after == "NAME")

    def _settle_ifs(self) -> None:
        """Tells the `if` of `a if c else b` from the statement: expressions hold no braces, so whichever of `else` and
        `{` comes first says which it is. One that neither follows is judged by where it stands."""
        tokens = self.tokens
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

    def _settle_lambdas(self) -> None:
        """Finds the `(` that opens the parameters of a lambda: names and commas, then `) =>` (or `->`, a slip)."""
        tokens = self.tokens
        for i, token in enumerate(tokens):
            if token.kind == "(" and i and tokens[i - 1].kind in EXPECTS_OPERAND:
                j = i + 1
                while tokens[j].kind in {"NAME", ","}:
                    j += 1
                if j > i + 1 and tokens[j].kind == ")" and tokens[j + 1].kind in {"=>", "->"}:
                    tokens[i] = token._replace(kind="LAMBDA")
