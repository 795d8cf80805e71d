"""Statements: scopes, assignments, what is assigned and known where, and whether a program always returns."""

from __future__ import annotations

from collections.abc import Sequence

from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.expressions import Expressions
from ttsc.compiler.semantics.narrowing import known, narrowed, narrowings, widened
from ttsc.compiler.semantics.scopes import Env
from ttsc.compiler.values.types import (
    CANDIDATE,
    CONTEXT,
    INT,
    NEVER,
    ListOf,
    PairOf,
    Type,
    assignable,
)
from ttsc.grammar import ast
from ttsc.grammar.source import Span
from ttsc.grammar.spelling import did_you_mean, with_article

Scope = dict[str, typed.Symbol]
MAX_ROUNDS = 10_000


class Statements:
    """Checks the body of one program. `returns`: the type it must return."""

    def __init__(self, expressions: Expressions, returns: Type) -> None:
        self._x = expressions
        self._reporter = expressions.reporter
        self._returns = returns

    def body(self, statements: Sequence[ast.Statement], outer: Env) -> tuple[typed.Statement, ...]:
        """The statements of a block, in a scope of its own."""
        scope = dict(outer)
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
                return self._let(s, scope)
            case ast.Var(value=None):
                return self._unset(s, scope)
            case ast.Var():
                return self.bind(s, scope, "var")
            case ast.Assign(name, value):
                return self._assign(name, self._x.check(value, scope), s.span, scope)
            case ast.Add(name, value):
                return self._add(name, value, s.span, scope)
            case ast.If():
                return self._if(s, scope)
            case ast.Repeat(count, body, until):
                return self._repeat(count, body, until, s, scope)
            case ast.For():
                return self._for(s, scope)
            case ast.Return(value):
                result = self._x.expect(self._x.check(value, scope), self._returns, "what the program returns")
                return typed.Return(result, s.span)

    # --- names ------------------------------------------------------------------------------------------------------

    def _let(self, s: ast.Let, scope: Scope) -> typed.Statement:
        if not s.offline:
            return self.bind(s, scope, "let")
        with self._x.state.forked("'offline let'"):
            bound = self.bind(s, scope, "let")
        self._x.declarations.data_only(bound.symbol.type, s.value.span, f"offline '{s.name.id}'")
        return bound

    def bind(self, s: ast.Let | ast.Var, scope: Scope, kind: str = "let") -> typed.Bind:
        """A name with a value; `kind` is `let` or `var`."""
        assert s.value is not None, "an unset variable is bound elsewhere"
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
        symbol = self._define(s.name, type_, kind, scope)
        return typed.Bind(symbol, value, s.span, isinstance(s, ast.Let) and s.offline)

    def _unset(self, s: ast.Var, scope: Scope) -> typed.Statement:
        assert s.type is not None, "the grammar asks for a type or a value"
        type_ = self._x.declarations.type(s.type, self._x.module)
        symbol = self._define(s.name, type_, "var", scope)
        self._x.unassigned.add(symbol)
        return typed.Bind(symbol, typed.Const(None, type_, s.span), s.span)

    def _define(self, name: ast.Name, type_: Type, kind: str, scope: Scope) -> typed.Symbol:
        if name.id in scope:
            first = scope[name.id]
            line, _ = first.span.source.line_col(first.span.start)
            hint = f"assign without '{kind}': {name.id} = …" if first.kind == "var" else "choose another name"
            self._reporter.error(
                "E0201",
                f"'{name.id}' is already defined",
                name.span,
                "second definition",
                hint,
                (f"the first is on line {line}",),
            )
        symbol = typed.Symbol(name.id, type_, "var" if kind == "var" else "let", name.span)
        if self._reporter.index is not None:
            self._reporter.index.define(symbol)
        scope[name.id] = symbol
        return symbol

    # --- assignments ------------------------------------------------------------------------------------------------

    def _assign(self, name: ast.Name, value: typed.Expr, span: Span, scope: Scope) -> typed.Statement | None:
        widened(scope, (name.id,))
        symbol = scope.get(name.id)
        if symbol is None:
            if self._x.store(name.id) is not None:
                hint = f"a store only grows: {name.id} += …"
                self._reporter.error("E0406", f"'{name.id}' can't be assigned", name.span, "it is a store", hint)
                return None
            hint = did_you_mean(name.id, scope) or f"define it first: var {name.id} = …"
            self._reporter.error("E0204", f"unknown name '{name.id}'", name.span, "not defined here", hint)
            return None
        if symbol.kind != "var":
            hint = "define it with var" if symbol.kind == "let" else "only a var may be assigned again"
            self._reporter.error("E0406", f"'{name.id}' can't be assigned", name.span, f"it is a {symbol.kind}", hint)
            return None
        self._x.unassigned.discard(symbol)
        return typed.Assign(symbol, self._x.expect(value, symbol.type, f"'{name.id}'"), span)

    def _add(self, name: ast.Name, value: ast.Expr, span: Span, scope: Scope) -> typed.Statement | None:
        store = None if name.id in scope else self._x.store(name.id)
        if store is not None:
            return self._append(store, self._x.check(value, scope), span)
        if name.id not in scope:
            return self._assign(name, self._x.check(value, scope), span, scope)
        return self._assign(name, self._x.check(ast.Binary("+", name, value, span), scope), span, scope)

    def _append(self, store: typed.Store, value: typed.Expr, span: Span) -> typed.Statement:
        """A store grows by an item, or by a list of them."""
        self._x.state.change(f"an append to store '{store.name}'", span)
        if not (isinstance(value.type, ListOf) and assignable(value.type, store.symbol.type)):
            value = self._x.expect(value, store.item, f"what is appended to '{store.name}'")
            value = typed.Pure("list", (value,), store.symbol.type, span=span)
        longer = typed.Pure("add", (typed.Read(store.symbol, span), value), store.symbol.type, span=span)
        return typed.Assign(store.symbol, longer, span)

    # --- control ----------------------------------------------------------------------------------------------------

    def _if(self, s: ast.If, scope: Scope) -> typed.Statement:
        test = self._x.condition(s.condition, scope, "'if'")
        holds, fails = known(s.condition)
        before = set(self._x.unassigned)
        then = self.body(s.then, narrowed(scope, holds))
        after_then = self._left_unassigned(s.then)
        self._x.unassigned = set(before)
        otherwise = self.body(s.otherwise, narrowed(scope, fails))
        self._x.unassigned = after_then | self._left_unassigned(s.otherwise)
        widened(scope, assigned((s,)))
        if always_returns(s.then):
            scope.update((n.name, n) for n in narrowings(scope, fails - assigned(s.otherwise)))
        elif s.otherwise and always_returns(s.otherwise):
            scope.update((n.name, n) for n in narrowings(scope, holds - assigned(s.then)))
        return typed.If(test, then, otherwise, s.span)

    def _left_unassigned(self, statements: Sequence[ast.Statement]) -> set[typed.Symbol]:
        """What is not assigned where the statements end; where they always return, nothing goes on."""
        return set() if always_returns(statements) else set(self._x.unassigned)

    def _repeat(
        self, count: ast.Expr, body: Sequence[ast.Statement], until: ast.Expr | None, s: ast.Repeat, scope: Scope
    ) -> typed.Statement:
        rounds = self._x.expect(self._x.check(count, scope), INT, "the number of rounds")
        if isinstance(rounds, typed.Const) and isinstance(rounds.value, int) and not 0 <= rounds.value <= MAX_ROUNDS:
            self._reporter.error("E0403", f"a loop of {rounds.value} rounds", count.span, "0 to 10,000 rounds")
        checked, condition = self._round(body, until, scope, scope)
        return typed.Repeat(rounds, checked, condition, s.span)

    def _for(self, s: ast.For, scope: Scope) -> typed.Statement:
        over = self._x.check(s.over, scope)
        item: Type = NEVER
        if isinstance(over.type, ListOf):
            item = over.type.item
        elif over.type != NEVER:
            hint = "range(n) counts: for i in range(8) { … }" if over.type == INT else "a loop takes a list"
            self._reporter.error(
                "E0356", f"a loop can't go over {with_article(over.type)}", s.over.span, "not a list", hint
            )
        inner = dict(scope)
        name = s.names[0]
        if len(s.names) == 1:
            element = self._define(name, item, "let", inner)
            checked, condition = self._round(s.body, s.until, inner, scope)
            return typed.For(element, over, checked, condition, s.span)
        element = typed.Symbol(f"{name.id}_{s.names[1].id}", item, "let", name.span)
        if not isinstance(item, PairOf) and item != NEVER:
            hint = "one name takes the whole element; zip, cross and enumerate give pairs"
            self._reporter.error(
                "E0357", f"{with_article(item)} can't be taken apart", name.span, "two names need a pair", hint
            )
        parts = (item.first, item.second) if isinstance(item, PairOf) else (NEVER, NEVER)
        taken: list[typed.Statement] = []
        for part, field, type_ in zip(s.names, ("first", "second"), parts, strict=False):
            symbol = self._define(part, type_, "let", inner)
            value = typed.Pure("field", (typed.Read(element, part.span),), type_, field, part.span)
            taken.append(typed.Bind(symbol, value, part.span))
        checked, condition = self._round(s.body, s.until, inner, scope)
        return typed.For(element, over, (*taken, *checked), condition, s.span)

    def _round(
        self, body: Sequence[ast.Statement], until: ast.Expr | None, inner: Scope, scope: Scope
    ) -> tuple[tuple[typed.Statement, ...], typed.Expr | None]:
        """A loop's body, which may run no round, and its condition, which is read after one."""
        names = assigned(body)
        widened(inner, names)
        widened(scope, names)
        before = set(self._x.unassigned)
        checked = self.body(body, inner)
        condition = None if until is None else self._x.condition(until, inner, "'until'")
        self._x.unassigned = before
        return checked, condition


def _widened(type_: Type) -> Type:
    """A variable that begins as a context may become a candidate."""
    if type_ == CONTEXT:
        return CANDIDATE
    if isinstance(type_, ListOf) and assignable(type_.item, CANDIDATE) and type_.item != NEVER:
        return ListOf(CANDIDATE)
    return type_


def assigned(statements: Sequence[ast.Statement]) -> frozenset[str]:
    """Names that statements may assign."""
    found: set[str] = set()
    for s in statements:
        match s:
            case ast.Assign(name) | ast.Add(name):
                found.add(name.id)
            case ast.If(_, then, otherwise):
                found |= assigned(then) | assigned(otherwise)
            case ast.Repeat(_, body):
                found |= assigned(body)
            case ast.For(_, _, body):
                found |= assigned(body)
    return frozenset(found)


def always_returns(statements: Sequence[ast.Statement]) -> bool:
    """Whether every way through ends in a return. A loop may run no round, so it never counts."""
    for s in statements:
        if isinstance(s, ast.Return):
            return True
        if isinstance(s, ast.If) and always_returns(s.then) and always_returns(s.otherwise):
            return True
    return False
