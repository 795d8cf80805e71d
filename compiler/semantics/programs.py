"""Programs: each is checked once, whether it is run or called by another."""

from __future__ import annotations

from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.constraints import budget
from ttsc.compiler.semantics.declarations import Declarations
from ttsc.compiler.semantics.effects import changed_state, effects_of
from ttsc.compiler.semantics.expressions import Expressions
from ttsc.compiler.semantics.modules import Module
from ttsc.compiler.semantics.reporter import Reporter
from ttsc.compiler.semantics.shared import Shared
from ttsc.compiler.semantics.state import ENVIRONMENT
from ttsc.compiler.semantics.statements import Statements, always_returns
from ttsc.grammar import ast
from ttsc.grammar.source import Span


class Programs:
    """Checks programs on demand. `shared` is what all checkers of this compilation have in common."""

    def __init__(self, declarations: Declarations, reporter: Reporter) -> None:
        self.shared = Shared(declarations, reporter, self)
        self._checked: dict[int, typed.Program | None] = {}

    def program(self, d: ast.Program, home: Module, used: Span) -> typed.Program | None:
        """The checked program, or None if it calls itself, which is reported at `used`."""
        if id(d) not in self._checked:
            self._checked[id(d)] = None
            self._checked[id(d)] = self._check(d, home)
        elif self._checked[id(d)] is None:
            self.shared.reporter.error(
                "E0408", f"program '{d.name.id}' calls itself", used, "recursion", "use repeat N { … }"
            )
        return self._checked[id(d)]

    def _check(self, d: ast.Program, module: Module) -> typed.Program:
        declarations, reporter = self.shared.declarations, self.shared.reporter
        parameters = declarations.parameters(d, module)
        returns = declarations.type(d.returns, module)
        expressions = Expressions(module, self.shared)
        body = Statements(expressions, returns).body(d.body, {p.name: p.symbol for p in parameters})
        if not always_returns(d.body):
            reporter.error(
                "E0404",
                f"program '{d.name.id}' can end without returning",
                d.name.span,
                "not every way returns",
                "end it with a return",
            )
        effects = effects_of(body)
        if any(p.oracle for p in parameters):
            effects |= {"oracle"}
        return typed.Program(
            d.name.id,
            d.doc or module.tree.doc or "",
            parameters,
            returns,
            tuple(expressions.models.values()),
            body,
            d.span,
            effects,
            tuple(expressions.stores.values()),
            ENVIRONMENT if "environment" in effects else None,
            budget(reporter, d.budget),
            changed_state(body) if effects & {"store", "environment"} else frozenset(),
        )
