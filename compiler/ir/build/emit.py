"""Emission of IR nodes: fresh ids, the block being filled, and short forms for common nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.values.types import BOOL, FLOAT, INT, NONE, STR, Type
from ttsc.grammar.source import NOWHERE, Span


class Emitter:
    """Fills blocks. Ids are `kind` and a number in source order: random seeds derive from them."""

    def __init__(self, taken: frozenset[str] = frozenset()) -> None:
        self._taken = set(taken)
        self._counts: Counter[str] = Counter()
        self._open: list[list[ir.Node]] = []
        self.externs: dict[str, ir.ExternSignature] = {}

    def fresh(self, kind: str, type_: Type) -> ir.Value:
        """A value of an id that no other has: `c1` and `c` both count up to `c11`."""
        number = self._counts[kind] + 1
        while (name := f"{kind}{number}") in self._taken:
            number += 1
        self._counts[kind] = number
        self._taken.add(name)
        return ir.Value(name, type_)

    def emit(self, node: ir.Node) -> None:
        self._open[-1].append(node)

    @contextmanager
    def block(self) -> Iterator[list[ir.Node]]:
        """A new innermost block; what is emitted meanwhile goes there."""
        nodes: list[ir.Node] = []
        self._open.append(nodes)
        try:
            yield nodes
        finally:
            popped = self._open.pop()
            assert popped is nodes

    @contextmanager
    def reopened(self, nodes: list[ir.Node]) -> Iterator[None]:
        """Go on filling a block that was left."""
        self._open.append(nodes)
        try:
            yield
        finally:
            self._open.pop()

    def const(self, value: ir.Constant, type_: Type | None = None, span: Span = NOWHERE) -> ir.Value:
        if type_ is None:
            kinds: dict[type, Type] = {bool: BOOL, int: INT, float: FLOAT, str: STR, type(None): NONE}
            type_ = kinds[type(value)]
        if type_ == FLOAT and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        result = self.fresh("c", type_)
        self.emit(ir.Const(result, value, span))
        return result

    def pure(self, op: str, args: tuple[ir.Value, ...], type_: Type, attr: str = "", span: Span = NOWHERE) -> ir.Value:
        result = self.fresh("p", type_)
        self.emit(ir.Pure(result, op, args, attr, span))
        return result
