"""How far a value is where it is read, and what it is called there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ttsc.compiler.ir.nodes import Const, Node, Pure, Turn
from ttsc.compiler.values import pure, templates


class State(IntEnum):
    """How far a value is where it is read."""

    THERE = 0
    COMING = 1
    LATER = 2


@dataclass(frozen=True, slots=True)
class Known:
    """What a value is called, and how far it is. `frame`: the function whose variable it is; 0 for an expression."""

    text: str
    state: State
    frame: int = 0


def cannot_fail(node: Node) -> bool:
    """Whether a node gives a value whatever it is given."""
    match node:
        case Pure(op=op):
            return pure.cannot_fail(op)
        case Turn(template=template, literal=is_literal):
            return is_literal or templates.cannot_fail(template)
        case Const():
            return True
    return False
