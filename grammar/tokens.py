"""What the parser reads: tokens, and which words and symbols the language has.

Words are kept free for the user where the language allows it. `let`, `if`, `in`, … are reserved, but not after a `.`
and not as the name of an argument. `model`, `prompt`, `program`, … are words of the language only where a declaration
can start; `budget`, `offline` and `oracle` in one place each. `lookahead.py` finds these places.
"""

from __future__ import annotations

from typing import NamedTuple

STATEMENT_WORDS = frozenset({"let", "var", "if", "else", "repeat", "for", "until", "return", "expect"})
OPERATOR_WORDS = frozenset({"or", "and", "not", "in"})
VALUE_WORDS = frozenset({"true", "false", "none", "abstain"})
DECLARATION_WORDS = frozenset("use model prompt record extern environment oracle function program store test".split())
PLACED_WORDS = frozenset({"budget", "offline"})
"""Words of the language in one place only, and names elsewhere."""
LATER_WORDS = frozenset({"while"})
"""Reserved without a meaning yet, so that programs written today keep theirs."""
RESERVED_WORDS = STATEMENT_WORDS | OPERATOR_WORDS | VALUE_WORDS | LATER_WORDS

OPENERS = {"(": ")", "[": "]", "{": "}", "LAMBDA": ")"}
CLOSERS = frozenset({")", "]", "}"})

EXPECTS_OPERAND = DECLARATION_WORDS | frozenset(
    "( [ LAMBDA , = += == != < <= > >= => |> : -> . .. + - * / // % |"
    " let var if COND_IF else repeat for until return expect or and not in".split()
)
"""What is incomplete without something after it."""


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
