"""Text to tokens: one pass over the text, then some over the tokens for what needs lookahead (`lookahead.py`).

The whole text is read before parsing begins. Recovery needs to look ahead, and a mistake in a token (a foreign
operator, a bad escape, a quote left open) is then reported on its own terms and mended on the spot, so that the parser
sees what was meant and reports nothing on top of it.
"""

from __future__ import annotations

import re

from ttsc.grammar.diagnostics import Diagnostic
from ttsc.grammar.lookahead import settle
from ttsc.grammar.numbers import read_number
from ttsc.grammar.source import Source, Span
from ttsc.grammar.strings import decode
from ttsc.grammar.tokens import (
    CLOSERS,
    DECLARATION_WORDS,
    EXPECTS_OPERAND,
    LATER_WORDS,
    OPENERS,
    OPERATOR_WORDS,
    PLACED_WORDS,
    RESERVED_WORDS,
    STATEMENT_WORDS,
    VALUE_WORDS,
    Token,
)

__all__ = [
    "CLOSERS",
    "DECLARATION_WORDS",
    "EXPECTS_OPERAND",
    "LATER_WORDS",
    "MAX_REPORTS",
    "OPENERS",
    "OPERATOR_WORDS",
    "PLACED_WORDS",
    "RESERVED_WORDS",
    "STATEMENT_WORDS",
    "VALUE_WORDS",
    "Lexer",
    "Token",
]

MAX_REPORTS = 100
"""The text is not read further after so many errors: it is no program."""

_FOREIGN_OPERATORS = {"&&": "and", "||": "or", "!": "not", ":=": "=", "===": "==", "!==": "!=", "<>": "!="}
_TOKEN = re.compile(
    r"""
      (?P<space>(?:[ \t\r\n\f\v]|\#[^\n]*)+)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<number>[0-9](?:[0-9_])*(?:\.[0-9][0-9_]*)?(?:[eE][+-]?[0-9][0-9_]*)?[A-Za-z0-9_]*)
    | (?P<block>\"\"\")
    | (?P<string>")
    | (?P<money>\$[0-9][A-Za-z0-9_.]*)
    | (?P<comment>/\*(?:[^*]|\*(?!/))*(?:\*/)?)
    | (?P<decorator>@[A-Za-z_][A-Za-z0-9_.]*(?:\([^()\n]*\))?)
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
        settle(self.tokens, self._report)

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
            if kind == "word" or kind == "symbol":
                raw = match[0]
                end = match.end()
                kind = "NAME" if kind == "word" else raw
                self.tokens.append(Token(kind, raw, position, end, first, position - self._line_start))
                position = end
            else:
                position = self._token(kind, match[0], position, first)
            first = False
        self._add("$END", "", len(text), True)

    def _token(self, kind: str | None, raw: str, start: int, first: bool) -> int:
        """Adds the token that starts here, neither a word nor a symbol, and returns where it ends."""
        end = start + len(raw)
        if kind == "number" or kind == "money":
            value = read_number(raw, lambda code, message, hint: self._report(code, start, end, message, "", hint))
            kinds = {tuple: "QUANTITY", float: "FLOAT", int: "INT"}
            self._add(kinds[type(value)], raw, start, first, value)
        elif kind == "foreign":
            ours = _FOREIGN_OPERATORS[raw]
            self.doubts.append(start)
            self._report("E0107", start, end, f"'{raw}' is not an operator here", "", f"write '{ours}'")
            self._add(ours, raw, start, first)
        elif kind == "comment":
            return self._comment(raw, start)
        elif kind == "decorator":
            hint = "nothing is put in front of a declaration but a docstring"
            self._report("E0172", start, end, "there are no decorators", "", hint)
        elif kind == "semicolons":
            hint = "remove it: statements need nothing between them"
            self._report("E0107", start, start + 1, "';' is not used in this language", "", hint)
        elif kind == "block":
            return self._block(start, first)
        else:
            return self._string(start, first)
        return end

    def _comment(self, raw: str, start: int) -> int:
        """`/* … */` of other languages: skipped, up to the end of the line where it is not closed."""
        if not raw.endswith("*/"):
            raw = raw.split("\n", 1)[0]
        self._report("E0171", start, start + 2, "comments begin with '#'", "", "write '#' in front of each line")
        newline = raw.rfind("\n")
        if newline >= 0:
            self._line_start = start + newline + 1
        return start + len(raw)

    def _string(self, start: int, first: bool) -> int:
        """A string on one line. With `'` for quotes it is an error, and read as if it had been a string."""
        text = self.source.text
        quote = text[start]
        if text.startswith("'''", start):
            return self._foreign_block(start, first)
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

    def _foreign_block(self, start: int, first: bool) -> int:
        """Text between triple single quotes, read as if they had been double ones."""
        text = self.source.text
        close = text.find("'''", start + 3)
        end = close + 3 if close >= 0 else start + 3
        hint = 'write """ at both ends'
        self._report("E0108", start, start + 3, "text of several lines stands between triple double quotes", "", hint)
        if close < 0:
            self.doubts.append(start)
            return end
        self._add_string('"""' + text[start + 3 : close] + '"""', start, end, first, quiet=True)
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
        elif character == "`":
            word, hint = "'`'", 'strings are written with double quotes: "…"'
        elif character == "\\" and text[end : end + 1] in {"\n", "\r", ""}:
            self._report(
                "E0173", start, end, "a line needs no '\\' at its end", "", "remove it: line ends mean nothing"
            )
            self.doubts.pop()
            return end
        elif character.isalpha():
            word, hint = f"'{text[start:end]}'", "names are made of the letters a to z, digits and '_'"
        elif character.isprintable():
            word, hint = f"'{text[start:end]}'", ""
        else:
            end = start + 1
            word, hint = f"U+{ord(character):04X}", "it can't be seen: delete it and write a plain space instead"
        self._report("E0101", start, end, f"unexpected character {word}", "", hint)
        return end
