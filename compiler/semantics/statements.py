"""Statements: scopes, assignments, and whether a program always returns."""

from __future__ import annotations

from collections.abc import Sequence

from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.expressions import Expressions
from ttsc.compiler.values.types import CANDIDATE, CONTEXT, INT, NEVER, ListOf, Type, assignable
from ttsc.grammar import ast
from ttsc.grammar.spelling import did_you_mean

Scope = dict[str, typed.Symbol]


class Statements:
    """Checks the body of one program."""

    def __init__(self, expressions: Expressions, returns: Type) -> None:
        self._x = expressions
        self._reporter = expressions.reporter
        self._returns = returns

    def body(self, statements: Sequence[ast.Statement], scope: Scope) -> tuple[typed.Statement, ...]:
        """The statements of a block, in a scope of its own."""
        scope = dict(scope)
        result: list[typed.Statement] = []
        for i, statement in enumerate(statements):
            checked = self._statement(statement, scope)
            if checked is not None:
                result.append(checked)
            if always_returns((statement,)) and i + 1 < len(statements):
                following = statements[i + 1].span
                self._reporter.error("E0405", "this is never reached", following, "after a return", "remove it")
                break
        return tuple(result)

    def _statement(self, s: ast.Statement, scope: Scope) -> typed.Statement | None:
        match s:
            case ast.Let():
                return self._bind(s, scope, "let")
            case ast.Var():
                return self._bind(s, scope, "var")
            case ast.Assign(name, value):
                return self._assign(name, value, s, scope)
            case ast.If(condition, then, otherwise):
                test = self._x.condition(condition, scope, "'if'")
                return typed.If(test, self.body(then, scope), self.body(otherwise, scope), s.span)
            case ast.Repeat(count, body, until):
                return self._repeat(count, body, until, s, scope)
            case ast.Return(value):
                result = self._x.expect(self._x.check(value, scope), self._returns, "what the program returns")
                return typed.Return(result, s.span)

    def _bind(self, s: ast.Let | ast.Var, scope: Scope, kind: str) -> typed.Statement:
        value = self._x.check(s.value, scope)
        type_ = value.type
        if s.type is not None:
            type_ = self._x.declarations.type(s.type, self._x.module)
            value = self._x.expect(value, type_, f"'{s.name.id}'")
        elif kind == "var":
            type_ = _widened(type_)
        if type_ == ListOf(NEVER) and kind == "var":
            self._reporter.error(
                "E0321",
                f"the type of '{s.name.id}' can't be told from an empty list",
                s.span,
                "list of what?",
                f"var {s.name.id}: list[str] = []",
            )
        name = s.name.id
        if name in scope:
            line, _ = scope[name].span.source.line_col(scope[name].span.start)
            hint = f"assign without '{kind}': {name} = …" if scope[name].kind == "var" else "choose another name"
            self._reporter.error(
                "E0201",
                f"'{name}' is already defined",
                s.name.span,
                "second definition",
                hint,
                (f"the first is on line {line}",),
            )
        symbol = typed.Symbol(name, type_, "let" if kind == "let" else "var", s.name.span)
        scope[name] = symbol
        return typed.Bind(symbol, value, s.span)

    def _assign(self, name: ast.Name, value: ast.Expr, s: ast.Assign, scope: Scope) -> typed.Statement | None:
        checked = self._x.check(value, scope)
        symbol = scope.get(name.id)
        if symbol is None:
            hint = did_you_mean(name.id, scope) or f"define it first: var {name.id} = …"
            self._reporter.error("E0204", f"unknown name '{name.id}'", name.span, "not defined here", hint)
            return None
        if symbol.kind != "var":
            hint = "define it with var" if symbol.kind == "let" else "only a var may be assigned again"
            self._reporter.error("E0406", f"'{name.id}' can't be assigned", name.span, f"it is a {symbol.kind}", hint)
            return None
        return typed.Assign(symbol, self._x.expect(checked, symbol.type, f"'{name.id}'"), s.span)

    def _repeat(
        self, count: ast.Expr, body: Sequence[ast.Statement], until: ast.Expr | None, s: ast.Repeat, scope: Scope
    ) -> typed.Statement:
        rounds = self._x.expect(self._x.check(count, scope), INT, "the number of rounds")
        if isinstance(rounds, typed.Const) and isinstance(rounds.value, int) and not 0 <= rounds.value <= 10_000:
            self._reporter.error("E0403", f"a loop of {rounds.value} rounds", count.span, "0 to 10,000 rounds")
        checked = self.body(body, scope)
        condition = None if until is None else self._x.condition(until, scope, "'until'")
        return typed.Repeat(rounds, checked, condition, s.span)


def _widened(type_: Type) -> Type:
    """A variable that begins as a context may become a candidate."""
    if type_ == CONTEXT:
        return CANDIDATE
    if isinstance(type_, ListOf) and assignable(type_.item, CANDIDATE) and type_.item != NEVER:
        return ListOf(CANDIDATE)
    return type_


def always_returns(statements: Sequence[ast.Statement]) -> bool:
    """Whether every way through ends in a return. A loop may run no round, so it never counts."""
    for s in statements:
        if isinstance(s, ast.Return):
            return True
        if isinstance(s, ast.If) and always_returns(s.then) and always_returns(s.otherwise):
            return True
    return False
