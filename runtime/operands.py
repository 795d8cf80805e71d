"""Which values a node reads and which it defines.

A region node (Map, Dag, If, Repeat) reads what its blocks capture from around them: for the block around, that is one
use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from ttsc.compiler.ir.nodes import (
    Block,
    Const,
    Cut,
    Dag,
    Draw,
    Extern,
    Force,
    Generate,
    If,
    Map,
    Node,
    Offline,
    Pure,
    Repeat,
    Score,
    Select,
    Turn,
    Value,
)
from ttsc.compiler.values.types import ListOf


def puts_together(node: Pure) -> bool:
    """Whether it makes one list of lists, whose elements need not be there."""
    return node.op == "add" and isinstance(node.result.type, ListOf)


def results(node: Node) -> tuple[Value, ...]:
    """The values a node defines."""
    return node.results if isinstance(node, If | Repeat | Offline) else (node.result,)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A node and ids of values: those that it `reads`, those that it `defines`, and those that it waits for before it
    can begin; None if it also has to wait for others. Of lists in `streamed` it takes the elements as they come.
    """

    node: Node
    reads: tuple[str, ...]
    defines: tuple[str, ...]
    waits: tuple[str, ...] | None
    streamed: tuple[str, ...] = ()
    ahead: bool = False
    """Whether it may begin before, in a task, unless there is a budget."""


class Operands:
    """Operands of nodes, computed once per node of a program. `extra`: values a plan adds to a node's own."""

    def __init__(self, extra: dict[str, tuple[str, ...]]) -> None:
        self._extra = extra
        self._known: dict[int, tuple[str, ...]] = {}
        self._captured: dict[int, tuple[str, ...]] = {}
        self._prepared: dict[int, tuple[Prepared, ...]] = {}

    def prepared(self, block: Block) -> tuple[Prepared, ...]:
        """The nodes of a block, in order."""
        found = self._prepared.get(id(block))
        if found is None:
            found = self._prepared[id(block)] = tuple(map(self._prepare, block.nodes))
        return found

    def _prepare(self, node: Node) -> Prepared:
        reads = self.of(node)
        defines = tuple(value.id for value in results(node))
        match node:
            case Const() | Turn():
                return Prepared(node, reads, defines, reads)
            case Pure():
                return Prepared(node, reads, defines, reads, reads if puts_together(node) else ())
            case Force(source=source) | Cut(source=source):
                return Prepared(node, reads, defines, reads, (source.id,))
            case Generate(source=source):
                first = tuple(name for name in reads if name != source.id)
                return Prepared(node, reads, defines, (*first, source.id), (source.id,))
            case Map(over=over):
                return Prepared(node, reads, defines, (over.id,), (over.id,))
            case If(condition=condition, ahead=ahead):
                return Prepared(node, reads, defines, (condition.id,), ahead=bool(ahead))
            case _:
                return Prepared(node, reads, defines, None)

    def of(self, node: Node) -> tuple[str, ...]:
        """Ids of the values a node reads, captured ones included, each once, in a fixed order."""
        found = self._known.get(id(node))
        if found is None:
            found = self._known[id(node)] = tuple(dict.fromkeys(self._read(node)))
        return found

    def captured(self, *blocks: Block) -> tuple[str, ...]:
        """Ids of the values blocks use but do not define."""
        return tuple(dict.fromkeys(name for block in blocks for name in self._free(block)))

    def _free(self, block: Block) -> tuple[str, ...]:
        found = self._captured.get(id(block))
        if found is None:
            defined = {p.id for p in block.params} | {v.id for node in block.nodes for v in results(node)}
            used = [name for node in block.nodes for name in self.of(node)] + [v.id for v in block.yields]
            found = self._captured[id(block)] = tuple(name for name in dict.fromkeys(used) if name not in defined)
        return found

    def _read(self, node: Node) -> list[str]:
        match node:
            case Const():
                return []
            case Turn(parent=parent, args=args):
                return _ids(parent, *(value for _, value in args))
            case Generate(result=result, source=source, count=count, options=options):
                extra = self._extra.get(result.id, ())
                return _ids(source, count, *(value for _, value in options)) + list(extra)
            case Force(source=source, text=text):
                return _ids(source, text)
            case Cut(source=source, at=at):
                return _ids(source, at)
            case Score(source=source, given=given):
                return _ids(source, given)
            case Extern(args=arguments, after=after):
                return _ids(*arguments, after)
            case Draw(args=arguments) | Pure(args=arguments):
                return _ids(*arguments)
            case Map(over=over, body=body):
                return _ids(over) + list(self.captured(body))
            case Dag(over=over, needs=needs, body=body):
                return _ids(over, needs) + list(self.captured(body))
            case Offline(inputs=inputs):
                return _ids(*inputs)
            case Select(over=over, keys=keys, weights=weights, count=wanted, otherwise=otherwise):
                return _ids(over, keys, weights, wanted, otherwise)
            case If(condition=condition, then=then, otherwise=other):
                return _ids(condition) + list(self.captured(then, other))
            case Repeat(limit=limit, init=init, body=body):
                return _ids(limit, *init) + list(self.captured(body))
            case _:
                assert_never(node)


def _ids(*values: Value | None) -> list[str]:
    return [value.id for value in values if value is not None]
