"""Expressions to nodes. Functions are inlined; a prompt is a chain of turns."""

from __future__ import annotations

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.build.emit import Emitter
from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.state import ENVIRONMENT
from ttsc.compiler.values.schema import constraints_text
from ttsc.compiler.values.types import BOOL, CONTEXT, STR, RecordType, Type, has_constraints
from ttsc.grammar.source import Span

Env = dict[typed.Symbol, ir.Value]


class ExpressionBuilder(Emitter):
    """Lowers expressions into the innermost open block. `operator` is that of `OperatorBuilder`."""

    def operator(self, e: typed.Operator, env: Env) -> ir.Value:
        raise AssertionError("abstract")

    def expr(self, e: typed.Expr, env: Env) -> ir.Value:
        match e:
            case typed.Const(value, type_):
                return self.const(value, type_, e.span)
            case typed.Read(symbol):
                return env[symbol]
            case typed.Pure("text", (candidate,)):
                return self.pure("field", (self.expr(candidate, env),), STR, "text", e.span)
            case typed.Pure(op, args, type_, attr):
                return self.pure(op, tuple(self.expr(a, env) for a in args), type_, attr, e.span)
            case typed.Conditional(condition, then, otherwise, type_):
                return self.conditional(self.expr(condition, env), then, otherwise, type_, env, e.span)
            case typed.PromptCall():
                return self.turns(e, None, env)
            case typed.ExternCall(extern, args):
                values = tuple(self.expr(a, env) for a in args)
                signature = tuple((p.name, p.type) for p in extern.parameters)
                self.externs.setdefault(
                    extern.name, ir.ExternSignature(extern.name, signature, extern.returns, extern.kind)
                )
                result = self.fresh("extern", extern.returns)
                if extern.kind != "environment":
                    self.emit(ir.Extern(result, extern.name, values, span=e.span))
                    return result
                self.emit(ir.Extern(result, extern.name, values, env[ENVIRONMENT], e.span))
                env[ENVIRONMENT] = self.pure("done", (result,), BOOL, span=e.span)
                return result
            case typed.ProgramCall():
                return self.program_call(e, env)
            case typed.RecordValue(fields, type_):
                assert isinstance(type_, RecordType), "a record's value has its type"
                names = ",".join(name for name, _ in type_.fields)
                made = self.pure("record", tuple(self.expr(f, env) for f in fields), type_, names, e.span)
                if not has_constraints(type_):
                    return made
                return self.pure("checked", (made,), type_, constraints_text(type_), e.span)
            case typed.FunctionCall(function, args):
                inner = {p.symbol: self.expr(a, env) for p, a in zip(function.parameters, args, strict=True)}
                return self.expr(function.body, inner)
            case typed.Operator():
                return self.operator(e, env)

    def program_call(self, call: typed.ProgramCall, env: Env) -> ir.Value:
        raise AssertionError("abstract")

    def conditional(
        self, condition: ir.Value, then: typed.Expr, otherwise: typed.Expr, type_: Type, env: Env, span: Span
    ) -> ir.Value:
        blocks: list[ir.Block] = []
        for side in (then, otherwise):
            with self.block() as nodes:
                value = self.expr(side, env)
            blocks.append(ir.Block((), tuple(nodes), (value,)))
        result = self.fresh("if", type_)
        self.emit(ir.If((result,), result.id, condition, blocks[0], blocks[1], span=span))
        return result

    def turns(self, call: typed.PromptCall, parent: ir.Value | None, env: Env) -> ir.Value:
        """The prompt's turns after `parent`: a context."""
        args = {p.name: self.expr(a, env) for p, a in zip(call.prompt.parameters, call.args, strict=True)}
        value = parent
        for turn in call.prompt.turns:
            used = tuple((name, args[name]) for name in turn.variables)
            result = self.fresh("turn", CONTEXT)
            self.emit(ir.Turn(result, value, turn.role, turn.template, used, not turn.dynamic, call.span))
            value = result
        assert value is not None, "a prompt has turns"
        return value
