"""Typed expressions with other expressions in the place of some variables."""

from __future__ import annotations

from collections.abc import Mapping

from ttsc.compiler.semantics import typed
from ttsc.compiler.values.types import RecordType

Argument = typed.Expr | typed.Lambda | str | RecordType | None


class Substitution:
    """What stands for which variable. `used`: the variables that were met."""

    def __init__(self, replacements: Mapping[typed.Symbol, typed.Expr]) -> None:
        self._replacements = replacements
        self.used: set[typed.Symbol] = set()

    def expr(self, e: typed.Expr) -> typed.Expr:
        match e:
            case typed.Const():
                return e
            case typed.Read(symbol):
                if symbol not in self._replacements:
                    return e
                self.used.add(symbol)
                return self._replacements[symbol]
            case typed.Pure(op, args, type_, attr):
                return typed.Pure(op, self._all(args), type_, attr, e.span)
            case typed.Conditional(condition, then, otherwise, type_):
                return typed.Conditional(self.expr(condition), self.expr(then), self.expr(otherwise), type_, e.span)
            case typed.PromptCall(prompt, args):
                return typed.PromptCall(prompt, self._all(args), e.span)
            case typed.ExternCall(extern, args):
                return typed.ExternCall(extern, self._all(args), e.span)
            case typed.ProgramCall(program, args):
                return typed.ProgramCall(program, self._all(args), e.span)
            case typed.RecordValue(fields, type_):
                return typed.RecordValue(self._all(fields), type_, e.span)
            case typed.FunctionCall(function, args):
                return typed.FunctionCall(function, self._all(args), e.span)
            case typed.Operator(name, source, arguments, type_):
                changed = tuple((n, self._argument(v)) for n, v in arguments)
                return typed.Operator(name, self.expr(source), changed, type_, e.span)

    def _all(self, args: tuple[typed.Expr, ...]) -> tuple[typed.Expr, ...]:
        return tuple(self.expr(a) for a in args)

    def _argument(self, argument: Argument) -> Argument:
        match argument:
            case None | str() | RecordType():
                return argument
            case typed.Lambda(param, body):
                return typed.Lambda(param, self.expr(body), argument.span, argument.others)
            case _:
                return self.expr(argument)
