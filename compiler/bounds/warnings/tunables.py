"""W0213: a tunable that can't matter: nothing that the program gives or asks for depends on it."""

from __future__ import annotations

from collections.abc import Iterator

from ttsc.compiler.bounds.warnings.flow import Flow
from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.semantics import typed
from ttsc.grammar.diagnostics import Diagnostic


def tunable_warnings(program: typed.Program, built: ir.Program, flow: Flow) -> Iterator[Diagnostic]:
    needed = flow.needed(built, requests=True)
    for source, parameter in zip(program.parameters, built.parameters, strict=True):
        if parameter.tunable is not None and parameter.value.id not in needed:
            yield Diagnostic(
                "W0213",
                f"'{parameter.name}' can be tuned, and nothing depends on it",
                source.symbol.span,
                "no result and no call reads it",
                "use it or take it out; an optimizer would try its values for nothing",
                severity="warning",
            )
