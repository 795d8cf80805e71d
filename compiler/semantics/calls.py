"""Calls: what is called, and which argument goes where.

`value |> f(a, b=c)` is `f(value, a, b=c)`. A text function given candidates reads their text; given a list, it is
applied to each element.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.declarations import Declarations
from ttsc.compiler.semantics.functions import FUNCTIONS, Signature, element_fits, lifts, result_type
from ttsc.compiler.semantics.modules import Module
from ttsc.compiler.semantics.operator_calls import OperatorCalls
from ttsc.compiler.semantics.operators import OPERATORS
from ttsc.compiler.semantics.reporter import Reporter
from ttsc.compiler.semantics.shared import Shared
from ttsc.compiler.semantics.state import State
from ttsc.compiler.values.pattern import valid_pattern
from ttsc.compiler.values.types import CANDIDATE, NEVER, STR, ListOf, OptionalOf
from ttsc.grammar import ast
from ttsc.grammar.source import Span
from ttsc.grammar.spelling import did_you_mean, with_article

Env = Mapping[str, typed.Symbol]


class Calls(OperatorCalls):
    """Binds calls. `check` and `expect` are those of `Expressions`."""

    module: Module
    shared: Shared
    declarations: Declarations
    reporter: Reporter
    state: State
    stores: dict[typed.Symbol, typed.Store]
    functions: dict[int, typed.Function | None]
    pure: str
    in_test: bool

    def call(self, call: ast.Call, source: typed.Expr | None, env: Env) -> typed.Expr:
        """The call, with `source` (what was piped in) as its first argument."""
        if not isinstance(call.callee, ast.Name):
            self.reporter.error(
                "E0312", "this can't be called", call.callee.span, "not an operator, prompt or function"
            )
            return self.unknown(call.span)
        name = call.callee.id
        if name in env and env[name] not in self.implicit:
            self.reporter.error(
                "E0312",
                f"'{name}' is {with_article(env[name].type)} and can't be called",
                call.callee.span,
                "not a function",
            )
            return self.unknown(call.span)
        if name in OPERATORS:
            return self.operator_call(OPERATORS[name], call, source, env)
        if name in FUNCTIONS:
            return self._builtin(name, FUNCTIONS[name], call, source, env)
        found = self.module.scope.get(name)
        if found is None:
            if name not in self.module.unresolved:
                self._unknown_callee(name, call, env)
            return self.unknown(call.span)
        return self._declared(found[0], found[1], call, source, env)

    def _unknown_callee(self, name: str, call: ast.Call, env: Env) -> None:
        names = [*OPERATORS, *FUNCTIONS, *self.module.scope]
        hint = did_you_mean(name, names)
        if not hint and name in ("boxed", "number", "letter", "yes_no"):
            hint = f"use std.answers ({name})"
        self.reporter.error(
            "E0203", f"unknown operator '{name}'", call.callee.span, "not an operator, prompt or function", hint
        )
        for argument in call.args:
            if not isinstance(argument, ast.Lambda):
                self.check(argument, env)

    # --- built-in functions -----------------------------------------------------------------------------------------

    def _builtin(
        self, name: str, signature: Signature, call: ast.Call, source: typed.Expr | None, env: Env
    ) -> typed.Expr:
        for keyword in call.keywords:
            self.reporter.error(
                "E0315", f"'{name}' takes no named arguments", keyword.name_span, "write the value alone"
            )
        args = [*([source] if source is not None else []), *(self.check(a, env) for a in call.args)]
        most, least = len(signature.parameters), len(signature.parameters) - signature.optional
        if not least <= len(args) <= most:
            wanted = str(most) if most == least else f"{least} to {most}"
            self.reporter.error(
                "E0314",
                f"'{name}' takes {wanted} argument{'s' * (most != 1)}, not {len(args)}",
                call.span,
                signature.doc,
            )
            return self.unknown(call.span)
        if name in ("find", "find_last"):
            self._check_pattern(args[1])
        if lifts(signature, args[0].type):
            return self._lifted(args[0], call.span, lambda x: self._apply(name, signature, [x, *args[1:]], call.span))
        return self._apply(name, signature, args, call.span)

    def _apply(self, name: str, signature: Signature, args: Sequence[typed.Expr], span: Span) -> typed.Expr:
        if any(a.type == NEVER for a in args):
            return self.unknown(span)
        fitted = [
            a if p is None else self.expect(a, p, f"argument {i} of '{name}'")
            for i, (a, p) in enumerate(zip(args, signature.parameters, strict=False), 1)
        ]
        type_ = result_type(signature, [a.type for a in fitted])
        if type_ is None:
            given = ", ".join(str(a.type) for a in fitted)
            self.reporter.error("E0313", f"'{name}' can't take {given}", span, f"expected {signature.expects}")
            return self.unknown(span)
        return typed.Pure(name, tuple(fitted), type_, span=span)

    def _check_pattern(self, pattern: typed.Expr) -> None:
        if not (isinstance(pattern, typed.Const) and isinstance(pattern.value, str)):
            self.reporter.error("E0306", "a regular expression must be a literal", pattern.span, "not a literal")
            return
        problem = valid_pattern(pattern.value)
        if problem:
            self.reporter.error(
                "E0316",
                f"this regular expression can't be read: {problem}",
                pattern.span,
                "invalid",
                'in a string, write a backslash twice: "\\\\d+"',
            )

    def _lifted(self, over: typed.Expr, span: Span, body: object) -> typed.Expr:
        assert isinstance(over.type, ListOf) and callable(body)
        element = typed.Symbol("x", over.type.item, "element", span)
        result: typed.Expr = body(typed.Read(element, span))
        return typed.Operator("each", over, (("do", typed.Lambda(element, result, span)),), ListOf(result.type), span)

    # --- declared things --------------------------------------------------------------------------------------------

    def _declared(self, d: object, home: Module, call: ast.Call, source: typed.Expr | None, env: Env) -> typed.Expr:
        match d:
            case ast.Prompt():
                prompt = self.declarations.prompt(d, home)
                return typed.PromptCall(
                    prompt, self._bind(prompt.name, prompt.parameters, call, source, env), call.span
                )
            case ast.Extern():
                extern = self.declarations.extern(d, home)
                self.impure(f"extern '{extern.name}'", call.callee.span)
                if extern.kind == "environment":
                    self.state.change(f"a call of environment '{extern.name}'", call.callee.span)
                return typed.ExternCall(
                    extern, self._bind(extern.name, extern.parameters, call, source, env), call.span
                )
            case ast.Function():
                return self._function(d, home, call, source, env)
            case ast.Program():
                return self._program(d, home, call, source, env)
            case ast.Record():
                return self._record(d, home, call, source, env)
            case ast.Store():
                hint = f"{d.name.id} |> nearest(query, 3) reads it, {d.name.id} += item appends to it"
                self.reporter.error(
                    "E0312", f"'{d.name.id}' is a store and can't be called", call.callee.span, "not a function", hint
                )
            case ast.Model():
                hint = f"generate with it: |> sample(n, model={d.name.id})"
                self.reporter.error(
                    "E0312", f"'{d.name.id}' is a model and can't be called", call.callee.span, "not a function", hint
                )
        return self.unknown(call.span)

    def _program(self, d: ast.Program, home: Module, call: ast.Call, source: typed.Expr | None, env: Env) -> typed.Expr:
        self.impure(f"program '{d.name.id}'", call.callee.span)
        program = self.shared.programs.program(d, home, call.callee.span)
        if program is None:
            return self.unknown(call.span)
        if program.changes:
            self.state.change(f"a call of '{program.name}', which changes a store or the world,", call.callee.span)
        if program.budget and not self.in_test:
            self.reporter.warning(
                "W0203",
                f"the budget of '{program.name}' does not limit it here",
                call.callee.span,
                "a budget counts where a run begins",
                "give the calling program a budget",
            )
        for model in program.models:
            self.models.setdefault(model.name, model)
        self.stores.update((store.symbol, store) for store in program.stores)
        args = self._bind(program.name, program.parameters, call, source, env)
        return typed.ProgramCall(program, args, call.span)

    def _record(self, d: ast.Record, home: Module, call: ast.Call, source: typed.Expr | None, env: Env) -> typed.Expr:
        """A record is made by calling it; optional fields may be left out."""
        type_ = self.declarations.record(d, home)
        fields = tuple(
            typed.Parameter(typed.Symbol(name, t, "parameter", d.name.span), not isinstance(t, OptionalOf), None, None)
            for name, t in type_.fields
        )
        return typed.RecordValue(self._bind(type_.name, fields, call, source, env), type_, call.span)

    def _function(
        self, d: ast.Function, home: Module, call: ast.Call, source: typed.Expr | None, env: Env
    ) -> typed.Expr:
        function = self.function(d, home, call.callee.span)
        if function is None:
            return self.unknown(call.span)
        first = function.parameters[0].type if function.parameters else None
        if (
            source is not None
            and isinstance(source.type, ListOf)
            and first in (STR, CANDIDATE)
            and element_fits(source.type.item, first)
        ):
            return self._lifted(
                source,
                call.span,
                lambda x: typed.FunctionCall(
                    function, self._bind(function.name, function.parameters, call, x, env), call.span
                ),
            )
        return typed.FunctionCall(
            function, self._bind(function.name, function.parameters, call, source, env), call.span
        )

    def _bind(
        self, name: str, parameters: Sequence[typed.Parameter], call: ast.Call, source: typed.Expr | None, env: Env
    ) -> tuple[typed.Expr, ...]:
        """Arguments in the order of the parameters, defaults filled in."""
        given: dict[str, typed.Expr] = {}
        names = [p.name for p in parameters]
        positional: list[typed.Expr] = [] if source is None else [source]
        positional.extend(self.check(a, env) for a in call.args)
        if len(positional) > len(parameters):
            takes = f"{len(parameters)} argument{'s' * (len(parameters) != 1)}"
            self.reporter.error(
                "E0314", f"'{name}' takes {takes}, not {len(positional)}", call.span, f"{name}({', '.join(names)})"
            )
        given.update(zip(names, positional, strict=False))
        for keyword in call.keywords:
            value = self.check(keyword.value, env)
            if keyword.name not in names:
                hint = did_you_mean(keyword.name, names) or f"it takes: {', '.join(names)}"
                self.reporter.error(
                    "E0315", f"'{name}' has no parameter '{keyword.name}'", keyword.name_span, "unknown argument", hint
                )
            elif keyword.name in given:
                self.reporter.error("E0315", f"'{keyword.name}' is given twice", keyword.name_span, "second value")
            else:
                given[keyword.name] = value
        missing = [p.name for p in parameters if p.required and p.name not in given]
        if missing:
            word = "argument" if len(missing) == 1 else "arguments"
            self.reporter.error(
                "E0314", f"'{name}' misses its {word} {', '.join(missing)}", call.span, f"{name}({', '.join(names)})"
            )
        return tuple(
            self.expect(given[p.name], p.type, f"'{p.name}' of '{name}'")
            if p.name in given
            else typed.Const(p.default, p.type, call.span)
            for p in parameters
        )

    # --- what differs between checkers ------------------------------------------------------------------------------

    def function(self, d: ast.Function, home: Module, used: Span) -> typed.Function | None:
        """The checked function, or None if it was reported."""
        if id(d) not in self.functions:
            self.functions[id(d)] = None
            self.functions[id(d)] = self.check_function(d, home)
        elif self.functions[id(d)] is None:
            self.reporter.error(
                "E0402", f"function '{d.name.id}' calls itself", used, "recursion", "use repeat N { … } in a program"
            )
        return self.functions[id(d)]

    def check_function(self, d: ast.Function, home: Module) -> typed.Function:
        parameters = self.declarations.parameters(d, home)
        inner = self.child(home)
        inner.pure = f"function '{d.name.id}'"
        returns = self.declarations.type(d.returns, home)
        body = inner.check(d.body, {p.name: p.symbol for p in parameters})
        body = inner.expect(body, returns, f"the result of '{d.name.id}'")
        return typed.Function(d.name.id, parameters, returns, body, d.doc or "", d.span)

    def child(self, home: Module) -> Calls:
        """A checker for another declaration."""
        raise AssertionError("abstract")

    def impure(self, what: str, span: Span) -> None:
        """Report a call that a pure function may not make."""
        if self.pure:
            self.reporter.error(
                "E0401",
                f"{self.pure} is pure and can't use {what}",
                span,
                "not pure",
                "do this in a program" if self.pure.startswith("function") else "name what it gives before: let x = …",
            )
