"""The words and signs of the language by what they are: for completion, renaming, and the grammars of editors.

All come from the tables that the lexer, the parser and the checker themselves use.
"""

from __future__ import annotations

from ttsc.compiler.semantics.declarations import BASIC
from ttsc.compiler.semantics.functions import FUNCTIONS
from ttsc.compiler.semantics.operators import OPERATORS
from ttsc.grammar.build import ROLES
from ttsc.grammar.tables import load
from ttsc.grammar.tokens import (
    DECLARATION_WORDS,
    LATER_WORDS,
    OPERATOR_WORDS,
    PLACED_WORDS,
    STATEMENT_WORDS,
    VALUE_WORDS,
)

DECLARATIONS = tuple(sorted(DECLARATION_WORDS))
STATEMENTS = tuple(sorted(STATEMENT_WORDS))
PLACED = tuple(sorted(PLACED_WORDS))
"""Words in one place only, names elsewhere."""
WORD_OPERATORS = tuple(sorted(OPERATOR_WORDS))
VALUES = tuple(sorted(VALUE_WORDS))
KEYWORDS = frozenset(DECLARATION_WORDS | LATER_WORDS | OPERATOR_WORDS | PLACED_WORDS | STATEMENT_WORDS | VALUE_WORDS)
TYPES = (*BASIC, "list")
TURNS = ROLES
BUILTINS = tuple(sorted([*OPERATORS, *FUNCTIONS]))
"""Operators and functions: what stands after `|>` or is called."""


def signs() -> tuple[str, ...]:
    """The terminals of the grammar that are no words, brackets and separators, the longest first."""
    kinds = {kind for actions in load().actions for kind in actions}
    found = [kind for kind in kinds if not any(c.isalnum() or c in "()[]{},_$" for c in kind)]
    return tuple(sorted(found, key=lambda sign: (-len(sign), sign)))
