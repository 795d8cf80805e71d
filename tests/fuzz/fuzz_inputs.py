"""Texts for the fuzzer: bytes, the language's own tokens in any order, programs, and programs with changes.

Everything comes from one `random.Random`, so that an input is named by its seed and number.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "property"))
from source_programs import SourcePrograms  # noqa: E402

from ttsc.grammar.lexer import Lexer  # noqa: E402
from ttsc.grammar.source import Source  # noqa: E402
from ttsc.grammar.tables import load  # noqa: E402

CORPUS = Path(__file__).parent / "corpus"
KINDS = ("bytes", "tokens", "program", "mutation")
_ODD = (
    *(
        '"""',
        "'''",
        "'",
        '"open',
        ";",
        "&&",
        "!",
        "|",
        "$",
        "λ",
        "\x00",
        "\\",
        "007",
        "1e999",
        "9" * 25,
        "20K",
        "30sec",
    ),
    *("$1x", "//", "/*", "*/", "--", "@x", "…", "\ud800", "\u2028", "\ufeff", "x" * 200, "elif", "lambda", "None"),
    *(
        "for",
        "def",
        "is",
        "offline",
        "budget",
        "oracle",
        "expect",
        "\n",
        "\n    ",
        "\r\n",
        "# c\n",
        '"\\u12"',
        '"""\n  x',
    ),
)
_SAMPLES = ("name", "x", "xs", "q", "16", "0.5", "30s", '"text"', '"{{ q }}"', '"""doc"""', "sample", "vote", "policy")


def seeds() -> list[str]:
    """Programs to change: those of the repository, its wrong ones, and what was found worth keeping."""
    files = [*ROOT.glob("programs/**/*.tts"), *ROOT.glob("stdlib/*/*.tts"), *ROOT.glob("tests/errors/*.tts")]
    texts = [path.read_text(encoding="utf-8") for path in sorted(files)]
    texts += [path.read_text(encoding="utf-8", errors="surrogateescape") for path in sorted(CORPUS.glob("*"))]
    return [chunk for text in texts for chunk in text.split("\n---\n") if chunk.strip()]


class Inputs:
    """`text(number)` is the input of that number, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._programs = seeds()
        self._tokens = [self._split(text) for text in self._programs]
        terminals = {kind for row in load().actions for kind in row if not kind.isupper() and kind != "$END"}
        self._lexemes = sorted(terminals | set(_ODD) | set(_SAMPLES))
        self._makers: tuple[Callable[[random.Random], str], ...] = (
            self._bytes,
            self._soup,
            self._program,
            self._mutation,
        )

    def kind(self, number: int) -> str:
        return KINDS[(0, 1, 1, 2, 3, 3, 3, 3)[number % 8]]

    def text(self, number: int) -> str:
        chance = random.Random(self._seed * 10_000_019 + number)
        return self._makers[KINDS.index(self.kind(number))](chance)

    @staticmethod
    def _split(text: str) -> list[str]:
        """The tokens, each with the space before it."""
        parts: list[str] = []
        end = 0
        for token in Lexer(Source("", text)).tokens:
            parts.append(text[end : token.end])
            end = token.end
        return parts

    def _bytes(self, chance: random.Random) -> str:
        length = chance.choice((0, 1, 3, 10, 40, 200))
        if chance.random() < 0.5:
            data = chance.randbytes(length)
        else:
            data = bytes(chance.choice(b"\"\\'{}()[]#\n .,=|>-+a1_$@\xc3\xff\x00") for _ in range(length))
        return data.decode("utf-8", errors=chance.choice(("surrogateescape", "replace")))

    def _soup(self, chance: random.Random) -> str:
        count = chance.randrange(1, 25)
        separator = chance.choice((" ", " ", "\n", ""))
        soup = separator.join(chance.choice(self._lexemes) for _ in range(count))
        begin = chance.choice(("", "program p(q: str) -> str { ", 'test "t" { ', "prompt p(q: str) { ", "record R { "))
        return begin + soup + chance.choice(("", "\n}\n", "\n}\nmodel m\n"))

    def _program(self, chance: random.Random) -> str:
        return SourcePrograms(lambda n: chance.randrange(n)).text(chance.randrange(5, 60))

    def _mutation(self, chance: random.Random) -> str:
        tokens = list(chance.choice(self._tokens))
        start = chance.randrange(max(1, len(tokens) - 30)) if chance.random() < 0.6 else 0
        tokens = tokens[start : start + chance.choice((30, 60, 60, 150))]  # a part of a long program
        for _ in range(chance.randrange(1, 6)):
            if not tokens:
                break
            at = chance.randrange(len(tokens))
            match chance.randrange(7):
                case 0:
                    del tokens[at]
                case 1:
                    tokens.insert(at, tokens[chance.randrange(len(tokens))])
                case 2:
                    tokens[at] = " " + chance.choice(self._lexemes)
                case 3:
                    tokens.insert(at, " " + chance.choice(self._lexemes))
                case 4:
                    other = chance.choice(self._tokens)
                    cut = chance.randrange(len(other)) if other else 0
                    tokens[at:at] = other[cut : cut + chance.randrange(1, 12)]
                case 5:
                    del tokens[at : at + chance.randrange(1, 8)]
                case _:
                    text = tokens[at]
                    place = chance.randrange(len(text) + 1)
                    tokens[at] = text[:place] + chr(chance.choice((0, 34, 39, 92, 955, 0x1F600, 10))) + text[place:]
        return "".join(tokens)


def all_inputs(seed: int, count: int) -> Iterator[tuple[int, str, str]]:
    """(number, kind, text)"""
    inputs = Inputs(seed)
    for number in range(count):
        yield number, inputs.kind(number), inputs.text(number)
