"""What the checker found out, by place, for editors: which expression has which type, which value a name stands for.

The checker fills an index while it works and asks it nothing, so an index says what is known of the parts of a file
that are right even if others are wrong. Only places of the indexed source are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ttsc.compiler.semantics import typed
from ttsc.compiler.values.types import Type
from ttsc.grammar import ast
from ttsc.grammar.source import Source, Span

if TYPE_CHECKING:
    from ttsc.compiler.semantics.modules import Module

Place = tuple[int, int]
"""Start and end in the source."""


class Index:
    """An empty index of one source. `tree`: the source's tree where it is known already, with errors or without.

    `module`: the source with what is in scope there; None until it was loaded.
    """

    def __init__(self, source: Source, tree: ast.Module | None = None) -> None:
        self.source = source
        self.tree = tree
        self.module: Module | None = None
        self._types: dict[Place, Type] = {}
        self._defined: dict[Place, typed.Symbol] = {}
        self._read: dict[Place, typed.Symbol] = {}

    def expression(self, e: ast.Expr, checked: typed.Expr) -> None:
        """Called for every expression that was checked, with what became of it."""
        if e.span.source is self.source:
            self._types[e.span.start, e.span.end] = checked.type
            if isinstance(checked, typed.Read) and checked.symbol.span.source is self.source:
                self._read.setdefault(_place(checked.symbol.span), checked.symbol)

    def define(self, symbol: typed.Symbol) -> None:
        """Called for every variable where it is defined; later its type may be known more narrowly."""
        if symbol.span.source is self.source:
            self._defined[_place(symbol.span)] = symbol

    def type_of(self, span: Span) -> Type | None:
        """The type of the expression at exactly this place."""
        return self._types.get(_place(span))

    def symbol(self, span: Span) -> typed.Symbol | None:
        """The value whose name is defined at exactly this place; of a lambda's element, if it is read anywhere."""
        return self._defined.get(_place(span)) or self._read.get(_place(span))

    def modules(self) -> Iterator[Module]:
        """The indexed file and every file that it uses, directly or not, the nearest first."""
        todo = [] if self.module is None else [self.module]
        seen = {id(module) for module in todo}
        while todo:
            module = todo.pop(0)
            yield module
            for _, home in module.scope.values():
                if id(home) not in seen:
                    seen.add(id(home))
                    todo.append(home)


def _place(span: Span) -> Place:
    return span.start, span.end
