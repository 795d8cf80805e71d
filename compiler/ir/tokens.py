"""Tokens of the IR's text form, and the small things written with them: names, constants, types, values.

One regular expression of tokens and a recursive descent. Errors say the line and what was expected, because golden
tests, pass fixtures and plan files are edited by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar, cast, get_args

from ttsc.compiler.ir.nodes import Constant, Value
from ttsc.compiler.values.abstain import ABSTAINED
from ttsc.compiler.values.types import ListOf, OptionalOf, PairOf, RecordType, Scalar, ScalarName, Type

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+|\#[^\n]*)
      | (?P<value>%(?:[A-Za-z0-9_.$@'~-]+|"(?:[^"\\\n]|\\.)*"))
      | (?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<float>-?(?:[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|inf\b|nan\b))
      | (?P<int>-?[0-9]+)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<mark>->|\.\.|[(){}\[\],:=?@])""",
    re.VERBOSE,
)
_SCALARS = frozenset(get_args(ScalarName))
_WORDS: dict[str, Constant] = {"true": True, "false": False, "none": None, "abstain": ABSTAINED}
"""Constants that are words."""
_T = TypeVar("_T")


class TextInvalid(Exception):
    """The text is not a program's text form. `line` and `column` are 1-based."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(f"{line}:{column}: {message}")
        self.message = message
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    offset: int


class TokenReader:
    """A cursor over tokens, with the records and values known so far."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split(text)
        self.at = 0
        self.records: dict[str, RecordType] = {}
        self.values: dict[str, Value] = {}

    # --- tokens

    def _split(self, text: str) -> list[Token]:
        tokens: list[Token] = []
        offset = 0
        while offset < len(text):
            match = _TOKEN.match(text, offset)
            if match is None:
                self.fail(f"unexpected {text[offset]!r}", offset)
            if match.lastgroup != "space":
                tokens.append(Token(str(match.lastgroup), match.group(), offset))
            offset = match.end()
        tokens.append(Token("end", "", len(text)))
        return tokens

    def fail(self, message: str, offset: int) -> NoReturn:
        before = self._text[:offset]
        raise TextInvalid(message, before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)

    def next(self) -> Token:
        return self._tokens[self.at]

    def unexpected(self, wanted: str) -> NoReturn:
        token = self.next()
        found = "the end of the text" if token.kind == "end" else f"`{token.text}`"
        self.fail(f"expected {wanted}, found {found}", token.offset)

    def expect(self, kind: str) -> str:
        """The next token, which must be of this kind."""
        token = self.next()
        if token.kind != kind:
            words = {"end": "the end of the text", "value": "a value (`%id`)", "string": "a text in quotes"}
            self.unexpected(words.get(kind, f"a {kind}"))
        self.at += 1
        return token.text

    def take(self, text: str) -> bool:
        token = self.next()
        if token.text == text and token.kind in ("mark", "name"):
            self.at += 1
            return True
        return False

    def need(self, text: str) -> None:
        if not self.take(text):
            self.unexpected(f"`{text}`")

    def name(self) -> str:
        if self.next().kind == "string":
            return self.string()
        return self.expect("name")

    def string(self) -> str:
        offset = self.next().offset
        try:
            return cast(str, json.loads(self.expect("string")))
        except ValueError:
            self.fail("invalid escape in a text", offset)

    def word(self, *words: str) -> Any:
        for word in words:
            if self.take(word):
                return word
        self.unexpected(" or ".join(f"`{word}`" for word in words))

    def several(self, item: Callable[[], _T], end: str) -> tuple[_T, ...]:
        """Items divided by commas up to `end`, which is taken."""
        items: list[_T] = []
        while not self.take(end):
            if items:
                self.need(",")
                if self.take(end):
                    break
            items.append(item())
        return tuple(items)

    # --- types, constants, values

    def type(self) -> Type:
        result = self._pair() if self.take("(") else self._named_type()
        while self.take("?"):
            result = OptionalOf(result)
        return result

    def _pair(self) -> Type:
        first = self.type()
        self.need(",")
        second = self.type()
        self.need(")")
        return PairOf(first, second)

    def _named_type(self) -> Type:
        offset = self.next().offset
        name = self.name()
        if name == "list" and self.take("["):
            item = self.type()
            limit = int(self.expect("int")) if self.take(",") else None
            self.need("]")
            return ListOf(item, limit)
        if name in _SCALARS:
            return Scalar(cast(Any, name))
        if name in self.records:
            return self.records[name]
        self.fail(f"there is no type `{name}`", offset)

    def types(self) -> tuple[Type, ...]:
        types = [self.type()]
        while self.take(","):
            types.append(self.type())
        return tuple(types)

    def constant(self) -> Constant:
        token = self.next()
        if token.kind == "string":
            return self.string()
        if token.kind == "int":
            return int(self.expect("int"))
        if token.kind == "float":
            return float(self.expect("float"))
        if self.take("("):
            return self.several(self.constant, ")")
        for word, value in _WORDS.items():
            if self.take(word):
                return value
        self.unexpected("a constant")

    def id(self) -> str:
        text = self.expect("value")[1:]
        return cast(str, json.loads(text)) if text.startswith('"') else text

    def value(self) -> Value:
        offset = self.next().offset
        value_id = self.id()
        value = self.values.get(value_id)
        if value is None:
            self.fail(f"`%{value_id}` is not defined here", offset)
        return value

    def named_value(self) -> tuple[str, Value]:
        name = self.name()
        self.need("=")
        return name, self.value()

    def define(self, value_id: str, type_: Type) -> Value:
        value = Value(value_id, type_)
        self.values[value_id] = value
        return value
