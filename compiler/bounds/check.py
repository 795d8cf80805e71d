"""The bounds of a checked file: that every program of it has them, and what in it wastes money."""

from __future__ import annotations

from ttsc.compiler.bounds.warnings import money_warnings
from ttsc.compiler.bounds.worst_case import unbounded
from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.build import build_program
from ttsc.compiler.semantics.check import Checked
from ttsc.grammar.diagnostics import CompileError, Diagnostic


def check_money(checked: Checked, built: tuple[ir.Program, ...]) -> tuple[Diagnostic, ...]:
    """Warnings about what costs money for nothing. `built`: what `check_bounds` gave."""
    found: dict[tuple[str, object], Diagnostic] = {}
    for program, graph in zip(checked.programs, built, strict=True):
        for warning in money_warnings(program, graph):
            found.setdefault((warning.code, warning.span), warning)
    return tuple(found.values())


def check_bounds(checked: Checked) -> tuple[ir.Program, ...]:
    """The graph of every program of the file. Raises `CompileError` with all that has no bound (E0420, E0421)."""
    built = tuple(map(build_program, checked.programs))
    problems: dict[tuple[str, object], Diagnostic] = {}
    for program in built:
        for problem in unbounded(program):
            problems.setdefault((problem.code, problem.span), problem)
    if problems:
        raise CompileError(tuple(problems.values()))
    return built
