"""What the checkers of all declarations of a file, and of the files it uses, have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.declarations import Declarations
from ttsc.compiler.semantics.modules import Module
from ttsc.compiler.semantics.reporter import Reporter
from ttsc.grammar import ast
from ttsc.grammar.source import Span


class Programs(Protocol):
    """Checks programs, each once (`programs.py`)."""

    def program(self, d: ast.Program, home: Module, used: Span) -> typed.Program | None:
        """The checked program, or None if it calls itself, which is reported at `used`."""


@dataclass(eq=False)
class Shared:
    """`functions`: checked functions by their declaration; None while one is being checked."""

    declarations: Declarations
    reporter: Reporter
    programs: Programs
    functions: dict[int, typed.Function | None] = field(default_factory=dict)
