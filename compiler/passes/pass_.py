"""What a pass is, and what a pass may know besides the program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ttsc.compiler.ir.nodes import Constant, Program

Phase = Literal["canonical", "rewrite", "schedule"]
"""canonical: one form for equal things. rewrite: less work. schedule: marks that tell the executor what it may do."""
Preserves = Literal["value", "distribution", "cost"]
"""value: equal seeds give an equal result. distribution: an equally distributed one. cost: neither is promised."""


@dataclass(frozen=True, slots=True)
class Context:
    """`parameters`: values of the program's parameters that are known now; none unless partial evaluation is wanted."""

    parameters: Mapping[str, Constant] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pass:
    """`name` is the file's, the fixture's and the user's name for it. It runs from optimization level `level` on; with
    None only where it is enabled by name, at any level but 0.
    """

    name: str
    run: Callable[[Program, Context], Program]
    phase: Phase
    level: Literal[1, 2] | None
    after: tuple[str, ...] = ()
    preserves: Preserves = "value"
