"""Every name of a file and what it stands for: the basis of going to a definition, of references and of renaming.

Scopes are lexical, so a tree is enough to resolve names, and a file with errors has most of its names still. Only the
fields of a value depend on types, which come from the checker's index.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from ttsc.compiler.semantics.functions import Signature
from ttsc.compiler.semantics.operators import ParameterSpec, Spec
from ttsc.compiler.values.types import Type
from ttsc.grammar import ast
from ttsc.grammar.source import Source, Span
from ttsc.grammar.tokens import Token

DefinitionKind = Literal[
    "program", "prompt", "extern", "function", "record", "model", "store", "field", "parameter", "let", "var", "element"
]


@dataclass(frozen=True, eq=False)
class Definition:
    """What a name of a program stands for. `span` is the name where it is defined; `node` the piece of tree that
    defines it; `owner` the declaration around a parameter, field or variable.
    """

    name: str
    kind: DefinitionKind
    span: Span
    node: Any
    owner: Any = None

    @property
    def local(self) -> bool:
        """A name inside of one declaration."""
        return self.kind in {"parameter", "let", "var", "element"}


@dataclass(frozen=True, slots=True)
class Builtin:
    """What a name of the language stands for. `of`: the operator, the function; the operator of an argument; the
    argument of a word; the type of a field.
    """

    name: str
    kind: Literal["operator", "function", "argument", "word", "field", "type"]
    of: Spec | ParameterSpec | Signature | Type | None = None
    argument: ParameterSpec | None = None


@dataclass(frozen=True, slots=True)
class File:
    """What the path of a `use` stands for."""

    source: Source


Target = Definition | Builtin | File


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A name in the text. `value`: the expression that it stands for: the name, the value with the field, the call."""

    span: Span
    target: Target
    defines: bool = False
    value: ast.Expr | None = None


class Names:
    """The occurrences of names in one file, in the order of the text."""

    def __init__(self, occurrences: Iterable[Occurrence], tokens: list[Token]) -> None:
        self.occurrences = sorted(occurrences, key=lambda o: (o.span.start, o.span.end))
        self._starts = [o.span.start for o in self.occurrences]
        self._tokens = tokens

    def at(self, offset: int) -> Occurrence | None:
        """The name under a cursor: around the offset, or right before it."""
        i = bisect_right(self._starts, offset) - 1
        return self.occurrences[i] if i >= 0 and self.occurrences[i].span.end >= offset else None

    def of(self, target: Target) -> list[Occurrence]:
        """Every place that means the same."""
        return [o for o in self.occurrences if o.target is target or (isinstance(target, File) and o.target == target)]

    @cached_property
    def definitions(self) -> list[Definition]:
        """What this file defines, in the order of the text."""
        return [o.target for o in self.occurrences if o.defines and isinstance(o.target, Definition)]

    @cached_property
    def _blocks(self) -> list[tuple[int, int]]:
        """Start and end of every pair of braces; one left open ends with the file."""
        found: list[tuple[int, int]] = []
        open_: list[int] = []
        for token in self._tokens:
            if token.kind == "{":
                open_.append(token.start)
            elif token.kind == "}" and open_:
                found.append((open_.pop(), token.end))
        end = self._tokens[-1].end + 1
        return sorted([*found, *((start, end) for start in open_)])

    def visible(self, offset: int) -> list[Definition]:
        """The parameters and variables that an expression at this offset may use, the innermost last."""
        around = {block for block in self._blocks if block[0] < offset < block[1]}
        result: dict[str, Definition] = {}
        for d in self.definitions:
            if not d.local or d.span.start >= offset or not d.owner.span.start <= offset <= d.owner.span.end:
                continue
            if d.kind in {"let", "var"}:
                inner = max((b for b in self._blocks if b[0] < d.span.start < b[1]), default=None)
                shown = d.node.span.end < offset and (inner is None or inner in around)
            elif d.kind == "element":
                shown = d.node.span.start <= offset <= d.node.span.end
            else:
                shown = True
            if shown:
                result.pop(d.name, None)
                result[d.name] = d
        return list(result.values())
