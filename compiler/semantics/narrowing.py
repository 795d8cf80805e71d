"""What a condition tells about optional values: after `x != none`, a `x: T?` is a `T`.

A narrowed name is a symbol of its own that points to the variable it narrows; reading it reads that variable. What has
no value (`none`, or `abstain`) counts as none here.
"""

from __future__ import annotations

from collections.abc import Iterable

from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.scopes import Env, Inner
from ttsc.compiler.values.types import OptionalOf
from ttsc.grammar import ast
from ttsc.grammar.source import Span

Names = frozenset[str]
_NOTHING: Names = frozenset()


def known(condition: ast.Expr) -> tuple[Names, Names]:
    """Names that have a value if the condition holds, and those that have one if it does not."""
    match condition:
        case ast.Binary("!=", ast.Name(name), ast.Literal(None)) | ast.Binary("!=", ast.Literal(None), ast.Name(name)):
            return frozenset({name}), _NOTHING
        case ast.Binary("==", ast.Name(name), ast.Literal(None)) | ast.Binary("==", ast.Literal(None), ast.Name(name)):
            return _NOTHING, frozenset({name})
        case ast.Unary("not", operand):
            holds, fails = known(operand)
            return fails, holds
        case ast.Binary("and", left, right):
            (a, b), (c, d) = known(left), known(right)
            return a | c, b & d
        case ast.Binary("or", left, right):
            (a, b), (c, d) = known(left), known(right)
            return a & c, b | d
    return _NOTHING, _NOTHING


def narrowed(scope: Env, names: Iterable[str]) -> Env:
    """The scope with those of `names` that are optional variables known to have a value."""
    symbols = narrowings(scope, names)
    return Inner(scope, symbols) if symbols else scope


def narrowings(scope: Env, names: Iterable[str]) -> list[typed.Symbol]:
    """A symbol for each of `names` that is an optional variable, known to have a value."""
    found = ((name, scope.get(name)) for name in names)
    return [
        typed.Symbol(name, symbol.type.item, symbol.kind, symbol.span, symbol)
        for name, symbol in found
        if symbol is not None and isinstance(symbol.type, OptionalOf)
    ]


def widened(scope: dict[str, typed.Symbol], names: Iterable[str]) -> None:
    """Forget what is known of `names`: they may be assigned."""
    for name in names:
        symbol = scope.get(name)
        if symbol is not None and symbol.narrows is not None:
            scope[name] = symbol.narrows


def read(symbol: typed.Symbol, span: Span) -> typed.Expr:
    """The value of a name, as far as it is known here."""
    if symbol.narrows is not None:
        return typed.Pure("known", (typed.Read(symbol.narrows, span),), symbol.type, span=span)
    return typed.Read(symbol, span)
