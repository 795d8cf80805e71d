"""Which nodes can fail by what they are given.

Where a failure removes an element of a list, a node that can fail may neither go nor stand elsewhere. That an engine
may fail is no reason to ask it: only failures by values count here.
"""

from __future__ import annotations

from collections.abc import Mapping

from ttsc.compiler.ir.nodes import (
    Block,
    Const,
    Cut,
    Dag,
    Draw,
    Force,
    Generate,
    If,
    Node,
    Offline,
    Pure,
    Repeat,
    Select,
    Turn,
)
from ttsc.compiler.ir.rewrite import blocks
from ttsc.compiler.values import pure
from ttsc.compiler.values.templates import cannot_fail
from ttsc.compiler.values.types import ListOf

Known = Mapping[str, Node]
"""Nodes by their result, as far as they tell that an operation can't fail: generations and constants."""


def can_fail(node: Node, known: Known) -> bool:
    """Whether the node itself can fail, whatever is in its blocks."""
    match node:
        case Pure(op="one", args=(pool,)):
            return not gives_one(pool.id, known)
        case Pure(op="reduce_scores", args=(_, _), attr=attr):
            return attr not in ("last", "min", "max")  # sums may leave the range of numbers
        case Pure(op=op):
            return not pure.cannot_fail(op)
        case Turn(literal=literal, template=template):
            return not literal and not cannot_fail(template)
        case Force(text=text):
            return isinstance(text.type, ListOf)
        case Dag(invalid=invalid):
            return invalid == "fail"
        case _:
            return isinstance(node, Select | Cut | Draw | Offline)


def gives_one(pool: str, known: Known) -> bool:
    """Whether a list has an element unless an engine fails: a generation of at least one from one prompt."""
    node = known.get(pool)
    if not isinstance(node, Generate) or not single(node):
        return False
    count = known.get(node.count.id)
    return isinstance(count, Const) and isinstance(count.value, int) and count.value > 0


def single(node: Generate) -> bool:
    """Whether it gives as many candidates as it says: all of one prompt or candidate, which is always continued."""
    return not isinstance(node.source.type, ListOf) and node.finished == "continue"


def failing(block: Block, known: Known) -> list[Node]:
    """Nodes of a map's body whose failure would remove the element. An inner map answers for its own elements."""
    found: list[Node] = []
    for node in block.nodes:
        if can_fail(node, known):
            found.append(node)
        if isinstance(node, If | Repeat):
            for inner in blocks(node):
                found.extend(failing(inner, known))
    return found
