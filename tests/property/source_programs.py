"""Programs made from the grammar itself: any derivation of `tts.lark`, with any space and comments between tokens.

`SourcePrograms(choose)` asks `choose(n)` for each decision, a number below `n` where 0 is the simplest; so Hypothesis
can shrink what it draws, and a fuzzer can use any source of numbers. Some productions are replaced by what the parser
takes beyond the grammar: roles of turns, arguments with names after those without, what may follow `|>`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache

from ttsc.grammar import tables

Choose = Callable[[int], int]
Rules = dict[str, list[tuple[str, ...]]]

NAMES = ("a", "b", "answer", "Step", "x2", "_", "self_consistency", "f", "budget_", "store_1", "a_rather_long_name")
WORDS = (*NAMES, "in", "model", "if", "prompt", "none", "test", "budget", "offline", "expect", "store")
"""Names where every word may be one: after a `.`, before the `=` of an argument."""
STRINGS = (
    '"text"',
    '""',
    r'"a\n\t\"\\ \u00e9 é # no comment"',
    '"""block"""',
    '"""\n    first\n      # second\n\n    third {{ x }}\n    """',
    '"a string of some length, so that a line with two of them is too long"',
)
SPELLINGS: dict[str, tuple[str, ...]] = {
    "INT": ("1", "0", "16", "20k", "2M", "1_000"),
    "FLOAT": ("0.5", "1e15", "1.5e-3", "0.05"),
    "QUANTITY": ("30s", "500ms", "$0.05", "5min", "2h"),
    "STRING": STRINGS,
    "MODULE_DOC": ('"""A file."""', '"A file."', '"""\nA file\n\n    of programs.\n"""'),
    "COND_IF": ("if",),
    "LAMBDA": ("(",),
    "NAME": NAMES,
    "WORD": WORDS,
    "ROLE": ("user", "system", "assistant"),
}
SPACES = (" ", "\n", "  ", "\n    ", "\n\n", "\t", "\r\n", "\n\n\n  ", "\f ")
COMMENTS = (" # {}\n", "\n# {}\n", "\n\n    # {}\n\n", " #{}\n", "\n  # {} x\n# and more\n", " # {}\r\n", "\n#\n")
CLOSE = frozenset("()[],")
"""What needs no space beside it."""


@cache
def rules() -> Rules:
    """The productions of the grammar without stand-ins, the shortest derivations first. Nonterminals stand in `<>`."""
    from lark import Lark

    lark = Lark(tables.GRAMMAR_FILE.read_text(encoding="utf-8"), parser="lalr", lexer="contextual")
    literal = {t.name: re.sub(r"\\(.)", r"\1", t.pattern.value) for t in lark.terminals if t.pattern}
    found: Rules = {}
    for rule in lark.rules:
        parts = tuple(literal.get(p.name, p.name) if p.is_term else f"<{p.name}>" for p in rule.expansion)
        if not any(part.startswith("BAD_") for part in parts):
            found.setdefault(f"<{rule.origin.name}>", []).append(parts)
    found |= _beyond_the_grammar(found)
    sizes = lengths(found)
    return {
        origin: sorted(parts, key=lambda p: sum(sizes.get(part, 1) for part in p)) for origin, parts in found.items()
    }


def _beyond_the_grammar(found: Rules) -> Rules:
    named = ("WORD", "=", "<expr>")
    loops = [
        tuple(part if part != "<names>" else "<loop_names>" for part in parts) if parts[0] == "for" else parts
        for parts in found["<statement>"]
    ]
    return {
        "<turn>": [("ROLE", "STRING")],
        "<plain_type>": [("NAME",), ("list", "[", "<type>", "]"), ("list", "[", "<type>", ",", "INT", "]")],
        "<statement>": loops,
        "<loop_names>": [("NAME",), ("NAME", ","), ("NAME", ",", "NAME")],
        "<arguments>": [("<positional>",), ("<keywords>",), ("<positional>", ",", "<keywords>")],
        "<positional>": [("<expr>",), ("<positional>", ",", "<expr>")],
        "<keywords>": [named, ("<keywords>", ",", *named)],
        "<pipe>": [("<conditional>",), ("<pipe>", "|>", "<stage>")],
        "<stage>": [("NAME",), ("<postfix>", ".", "WORD"), *(p for p in found["<postfix>"] if p[1:2] == ("(",))],
        "<postfix>": [
            tuple("WORD" if i == 2 and p[1] == "." else s for i, s in enumerate(p)) for p in found["<postfix>"]
        ],
    }


def lengths(found: Rules) -> dict[str, int]:
    """The fewest tokens of each nonterminal."""
    sizes: dict[str, int] = {}
    changed = True
    while changed:
        changed = False
        for origin, productions in found.items():
            for parts in productions:
                if all(part in sizes or part not in found for part in parts):
                    size = sum(sizes.get(part, 1) for part in parts)
                    if size < sizes.get(origin, size + 1):
                        sizes[origin] = size
                        changed = True
    return sizes


class SourcePrograms:
    def __init__(self, choose: Choose) -> None:
        self._choose = choose

    def pick(self, options: Sequence[str]) -> str:
        return options[self._choose(len(options))]

    def tokens(self, size: int, start: str = "<start>") -> list[str]:
        """The tokens of a program of about `size` tokens."""
        grammar = rules()
        pending = [start]
        out: list[str] = []
        while pending:
            part = pending.pop()
            if part in grammar:
                room = len(out) + len(pending) < size and len(pending) < size // 3 + 8
                productions = grammar[part]
                # Lists and expressions are left-recursive: let them grow as long as there is room.
                chosen = productions[self._choose(len(productions))] if room else productions[0]
                pending.extend(reversed(chosen))
            else:
                out.append(self.pick(SPELLINGS[part]) if part in SPELLINGS else part)
        return out

    def text(self, size: int, comments: bool = True) -> str:
        """A program with any space between its tokens; `comments`: some in it, numbered."""
        tokens = self.tokens(size)
        out: list[str] = []
        number = 0
        for i, token in enumerate(tokens):
            before = tokens[i - 1] if i else ""
            if comments and self._choose(12) == 11:
                out.append(self.pick(COMMENTS).format(number))
                number += 1
            elif i and not ((token in CLOSE or before in CLOSE) and self._choose(2)):
                out.append(self.pick(SPACES) if self._choose(3) == 2 else " ")
            out.append(token)
        out.append(self.pick(("\n", "", " # the end", "\n# the end\n", "\n\n\n")) if comments else "\n")
        return "".join(out)
