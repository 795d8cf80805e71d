"""Says how generations of a vote begin: what it surely needs first, the others later or not at all.

`pool |> vote(by=boxed, stop=adaptive)` → `waves=gated`: candidates begin as the rule comes to need them, `wave` at a
time. `pool |> vote(by=boxed)` → `waves=ranked`: all begin, but those that the rule may do without come after requests
that are surely needed. A generation is marked only if one selection that is decided early reads all of it, directly or
through maps and filters beside it, element by element.

Preserves: value. What a rule needs depends on what has arrived, its result does not (`runtime/decision.py`). A choice
by a known maximum is left alone: few keys reach it, so that what it may need is no guide. So is a race.
Why here: last, because it reads the marks of `decide_early`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from ttsc.compiler.ir.nodes import (
    Block,
    Generate,
    Leading,
    Majority,
    Map,
    Node,
    Program,
    Quantified,
    Select,
    Sequential,
)
from ttsc.compiler.ir.rewrite import blocks, operands, rewrite, walk
from ttsc.compiler.passes.pass_ import Context


def size_waves(program: Program, context: Context) -> Program:
    if not any(isinstance(node, Select) and node.early for node in walk(program.body)):
        return program
    readers = _Readers(program.body)

    def mark(node: Node) -> tuple[Node, ...] | None:
        if isinstance(node, Generate) and not node.waves:
            select = readers.only_selection(node)
            waves = "" if select is None else _waves(select)
            if waves:
                return (replace(node, waves=waves),)
        return None

    body = rewrite(program.body, mark)
    return program if body is program.body else replace(program, body=body)


def _waves(select: Select) -> Literal["", "gated", "ranked"]:
    match select.rule:
        case Majority(wave=wave) | Sequential(wave=wave):
            return "gated" if wave else "ranked"
        case Leading() | Quantified():
            return "ranked"
    return ""


class _Readers:
    """For each value, who reads it: nodes of a block, and blocks that yield it."""

    def __init__(self, body: Block) -> None:
        self._home: dict[str, int] = {}
        """The block in which a value is defined by a map or a generation."""
        self._nodes: dict[str, list[tuple[Node, int]]] = {}
        self._yielded: set[str] = set()
        self._block(body)

    def _block(self, block: Block) -> None:
        self._yielded.update(value.id for value in block.yields)
        for node in block.nodes:
            if isinstance(node, Map | Generate):
                self._home[node.result.id] = id(block)
            for value in operands(node):
                self._nodes.setdefault(value.id, []).append((node, id(block)))
            for inner in blocks(node):
                self._block(inner)

    def only_selection(self, pool: Generate) -> Select | None:
        """The selection that is decided early and reads all of the pool, if nothing else reads any of it."""
        found: Select | None = None
        waiting = [pool.result.id]
        while waiting:
            value = waiting.pop()
            if value in self._yielded:
                return None
            readers = self._nodes.get(value, ())
            if not readers:
                return None
            for node, block in readers:
                if block != self._home[pool.result.id]:
                    return None
                match node:
                    case Map() if node.over.id == value:
                        waiting.append(node.result.id)
                    case Select(early=True) if value not in _values(node) and found in (None, node):
                        found = node
                    case _:
                        return None
        return found


def _values(select: Select) -> tuple[str, ...]:
    """What a selection reads besides its columns."""
    return tuple(value.id for value in (select.count, select.otherwise) if value is not None)
