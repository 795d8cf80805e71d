"""What costs money for nothing, found in a program's graph: warnings W0210 to W0214."""

from __future__ import annotations

from ttsc.compiler.bounds.warnings.budgets import budget_warnings
from ttsc.compiler.bounds.warnings.flow import Flow
from ttsc.compiler.bounds.warnings.judges import judge_warnings
from ttsc.compiler.bounds.warnings.prefixes import prefix_warnings
from ttsc.compiler.bounds.warnings.tunables import tunable_warnings
from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.semantics import typed
from ttsc.grammar.diagnostics import Diagnostic


def money_warnings(program: typed.Program, built: ir.Program) -> tuple[Diagnostic, ...]:
    """Of one program, in the order of their codes. `built`: its graph as the builder made it."""
    flow = Flow(built)
    return (
        *prefix_warnings(built, flow),
        *judge_warnings(built, flow),
        *budget_warnings(built, flow),
        *tunable_warnings(program, built, flow),
    )
