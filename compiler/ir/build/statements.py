"""Statements to structured regions.

There is no jump in the IR, so an early `return` becomes data. Lowering a list of statements gives an *exit*: it falls
through, it returns a value, or it may have returned (a flag and a value). What follows an `if` that always returns on
one side moves into the other side; what follows a "may have returned" is guarded by the flag; a loop carries flag and
value and stops on the flag.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.build.expressions import Env
from ttsc.compiler.ir.build.operators import OperatorBuilder
from ttsc.compiler.ir.offline import offline
from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.effects import changed
from ttsc.compiler.values.types import BOOL, INT, Type
from ttsc.grammar.diagnostics import InternalError
from ttsc.grammar.source import Span


@dataclass(frozen=True, slots=True)
class Falls:
    """Control reaches the end."""


@dataclass(frozen=True, slots=True)
class Returns:
    """Every way returned."""

    value: ir.Value


@dataclass(frozen=True, slots=True)
class MayReturn:
    """It returned `value` if `flag` is true."""

    flag: ir.Value
    value: ir.Value


Exit = Falls | Returns | MayReturn


@dataclass(slots=True)
class Branch:
    """One side of an `If` while it is built."""

    nodes: list[ir.Node]
    exit: Exit
    env: Env


class StatementBuilder(OperatorBuilder):
    """Lowers the body of one program that returns `returns`."""

    def __init__(self, returns: Type, taken: frozenset[str]) -> None:
        super().__init__(taken)
        self._returns = returns

    def statements(self, statements: Sequence[typed.Statement], env: Env) -> Exit:
        """Lower into the innermost block; `env` is brought up to date."""
        for i, s in enumerate(statements):
            match s:
                case typed.Bind(symbol, value, offline=True):
                    env[symbol] = self._offline(symbol, value, env, s.span)
                case typed.Bind(symbol, value) | typed.Assign(symbol, value):
                    env[symbol] = self.expr(value, env)
                case typed.Return(value):
                    return Returns(self.expr(value, env))
                case typed.If():
                    exit_, consumed = self._if(s, statements, i + 1, env)
                    if consumed or isinstance(exit_, Returns):
                        return exit_
                    if isinstance(exit_, MayReturn):
                        return self._guarded(exit_, statements[i + 1 :], env, s.span)
                case typed.Repeat() | typed.For():
                    exit_ = self._for(s, env) if isinstance(s, typed.For) else self._repeat(s, env)
                    if isinstance(exit_, MayReturn):
                        return self._guarded(exit_, statements[i + 1 :], env, s.span)
        return Falls()

    # --- programs and what is kept ----------------------------------------------------------------------------------

    def program_call(self, call: typed.ProgramCall, env: Env) -> ir.Value:
        """The callee's body in place of the call. State goes in and comes out; its other variables are its own."""
        program = call.program
        inner: Env = {s: v for s, v in env.items() if s.kind in ("store", "environment")}
        inner.update((p.symbol, self.expr(a, env)) for p, a in zip(program.parameters, call.args, strict=True))
        caller, self._returns = self._returns, program.returns
        exit_ = self.statements(program.body, inner)
        self._returns = caller
        if not isinstance(exit_, Returns):
            raise InternalError(f"program '{program.name}' passed the check and can end without returning")
        env.update((s, inner[s]) for s in env if s.kind in ("store", "environment"))
        return exit_.value

    def _offline(self, symbol: typed.Symbol, value: typed.Expr, env: Env, span: Span) -> ir.Value:
        with self.block() as nodes:
            inner = self.expr(value, env)
        result = self.fresh(symbol.name, symbol.type)
        region = self.fresh(f"offline_{symbol.name}", BOOL).id
        self.emit(offline((result,), region, nodes, (inner,), span))
        return result

    # --- if ---------------------------------------------------------------------------------------------------------

    def _if(self, s: typed.If, statements: Sequence[typed.Statement], after: int, env: Env) -> tuple[Exit, bool]:
        """The exit, and whether the statements from `after` on went into one of the sides."""
        condition = self.expr(s.condition, env)
        then, otherwise = tuple(s.then), tuple(s.otherwise)
        consumed = False
        if _always_returns(then):
            otherwise, consumed = (*otherwise, *statements[after:]), True
        elif _always_returns(otherwise):
            then, consumed = (*then, *statements[after:]), True
        return self._merge(condition, self._branch(then, env), self._branch(otherwise, env), env, s.span), consumed

    def _guarded(self, exit_: MayReturn, rest: Sequence[typed.Statement], env: Env, span: Span) -> Exit:
        if not rest:
            return exit_
        returned = Branch([], Returns(exit_.value), dict(env))
        return self._merge(exit_.flag, returned, self._branch(rest, env), env, span)

    def _branch(self, statements: Sequence[typed.Statement], env: Env) -> Branch:
        inner = dict(env)
        with self.block() as nodes:
            exit_ = self.statements(statements, inner)
        return Branch(nodes, exit_, inner)

    def _merge(self, condition: ir.Value, a: Branch, b: Branch, env: Env, span: Span) -> Exit:
        """The `If` of two branches; variables that differ become its results."""
        both_return = isinstance(a.exit, Returns) and isinstance(b.exit, Returns)
        both_fall = isinstance(a.exit, Falls) and isinstance(b.exit, Falls)
        sides = zip(env.items(), a.env.values(), b.env.values(), strict=False)  # copies of `env`, in its order
        changed = [s for (s, value), x, y in sides if x is not value or y is not value]
        if both_return:  # variables end here, but what outlives the program goes on
            changed = [s for s in changed if s.kind in ("store", "environment")]
        results: list[ir.Value] = []
        if not both_fall and not both_return:
            results.append(self.fresh("returned", BOOL))
        if not both_fall:
            results.append(self.fresh("value", self._returns))
        results.extend(self.fresh(s.name, s.type) for s in changed)
        blocks = []
        for branch in (a, b):
            with self.reopened(branch.nodes):
                yields = [] if both_fall else self._exit_values(branch.exit, with_flag=not both_return)
            yields.extend(branch.env[s] for s in changed)
            blocks.append(ir.Block((), tuple(branch.nodes), tuple(yields)))
        node_id = self.fresh("if", BOOL).id
        self.emit(ir.If(tuple(results), node_id, condition, blocks[0], blocks[1], span=span))
        for symbol, value in zip(changed, results[len(results) - len(changed) :], strict=True):
            env[symbol] = value
        if both_fall:
            return Falls()
        return Returns(results[0]) if both_return else MayReturn(results[0], results[1])

    def _exit_values(self, exit_: Exit, *, with_flag: bool) -> list[ir.Value]:
        match exit_:
            case Falls():
                return [self.const(False), self._undefined()]
            case Returns(value):
                return [self.const(True), value] if with_flag else [value]
            case MayReturn(flag, value):
                return [flag, value]

    def _undefined(self) -> ir.Value:
        """Stands for a result that the flag says is not there."""
        return self.const(None, self._returns)

    # --- repeat -----------------------------------------------------------------------------------------------------

    def _repeat(self, s: typed.Repeat, env: Env) -> Exit:
        return self._loop(self.expr(s.count, env), s.body, s.until, env, s.span)

    def _for(self, s: typed.For, env: Env) -> Exit:
        """A loop that counts: each round takes the element of its number."""
        over = self.expr(s.over, env)
        limit = self.pure("length", (over,), INT, span=s.span)
        return self._loop(limit, s.body, s.until, env, s.span, (s.element, over))

    def _loop(
        self,
        limit: ir.Value,
        body: Sequence[typed.Statement],
        until: typed.Expr | None,
        env: Env,
        span: Span,
        element: tuple[typed.Symbol, ir.Value] | None = None,
    ) -> Exit:
        """At most `limit` rounds of `body`. With `element`, a symbol and a list: bound to the element of the round's
        number, which is carried along.
        """
        changes = changed(body)
        carried = [symbol for symbol in env if symbol in changes]
        returns = _contains_return(body)
        init = [env[symbol] for symbol in carried]
        if element is not None:
            init.append(self.const(0))
        if returns:
            init += [self.const(False), self._undefined()]
        names = [symbol.name for symbol in carried]
        names += (["i"] if element is not None else []) + (["returned", "value"] if returns else [])
        params = [self.fresh(symbol.name, symbol.type) for symbol in carried]
        number = self.fresh("i", INT) if element is not None else None
        if number is not None:
            params.append(number)
        if returns:
            params += [self.fresh("returned", BOOL), self.fresh("value", self._returns)]
        inner = dict(env)
        inner.update(zip(carried, params, strict=False))
        with self.block() as nodes:
            if element is not None and number is not None:
                symbol, over = element
                inner[symbol] = self.pure("item", (over, number), symbol.type, span=symbol.span)
            exit_ = self.statements(body, inner)
            yields = [inner[symbol] for symbol in carried]
            if number is not None:
                yields.append(self.pure("add", (number, self.const(1)), INT))
            if returns:
                yields += self._exit_values(exit_, with_flag=True)
            yields.append(self._stop(exit_, until, inner, span))
        results = [self.fresh(name, param.type) for name, param in zip(names, params, strict=True)]
        block = ir.Block(tuple(params), tuple(nodes), tuple(yields))
        self.emit(ir.Repeat(tuple(results), self.fresh("repeat", BOOL).id, limit, tuple(init), block, span=span))
        env.update(zip(carried, results, strict=False))
        return MayReturn(results[-2], results[-1]) if returns else Falls()

    def _stop(self, exit_: Exit, until: typed.Expr | None, env: Env, span: Span) -> ir.Value:
        match exit_:
            case Returns():
                return self.const(True)
            case Falls():
                return self.const(False) if until is None else self.expr(until, env)
            case MayReturn(flag, _):
                if until is None:
                    return flag
                true = typed.Const(True, BOOL, span)
                return self.conditional(flag, true, until, BOOL, env, span)


def _always_returns(statements: Sequence[typed.Statement]) -> bool:
    return any(
        isinstance(s, typed.Return)
        or (isinstance(s, typed.If) and _always_returns(s.then) and _always_returns(s.otherwise))
        for s in statements
    )


def _contains_return(statements: Sequence[typed.Statement]) -> bool:
    for s in statements:
        match s:
            case typed.Return():
                return True
            case typed.If(_, then, otherwise) if _contains_return(then) or _contains_return(otherwise):
                return True
            case typed.Repeat(_, body) | typed.For(_, _, body) if _contains_return(body):
                return True
    return False
