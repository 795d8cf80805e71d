"""Element functions as the bodies of maps, and what all operators are lowered with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.build.expressions import Env, ExpressionBuilder
from ttsc.compiler.semantics import typed
from ttsc.compiler.values.pure import cannot_fail
from ttsc.compiler.values.types import BOOL, NONE, STR, ListOf, OptionalOf, PairOf, RecordType, Type, assignable
from ttsc.grammar.source import NOWHERE, Span

Argument = typed.Expr | typed.Lambda | str | RecordType | None
Arguments = dict[str, Argument]


class Maps(ExpressionBuilder):
    """Lowers functions of elements. An environment is shared with the bodies, which add their own names and take them
    away again, so that nothing is copied for a map.
    """

    def map(
        self,
        over: ir.Value,
        function: typed.Lambda,
        env: Env,
        type_: Type,
        span: Span,
        mode: Literal["map", "filter"] = "map",
        finish: Callable[[ir.Value, ir.Value], ir.Value] | None = None,
    ) -> ir.Value:
        """`function` for every element; `finish(result, element)` makes what the block yields; default: the result."""

        def body(element: ir.Value) -> ir.Value:
            value = self.applied(function, env, element)
            return value if finish is None else finish(value, element)

        return self.map_with(over, body, type_, span, mode)

    def map_with(
        self,
        over: ir.Value,
        body: Callable[[ir.Value], ir.Value],
        type_: Type | None,
        span: Span,
        mode: Literal["map", "filter"] = "map",
    ) -> ir.Value:
        """What `body` builds for every element. Without a type: a list of what it builds."""
        assert isinstance(over.type, ListOf)
        element = self.fresh("x", over.type.item)
        with self.block() as nodes:
            value = body(element)
        result = self.fresh(mode, ListOf(value.type, over.type.limit) if type_ is None else type_)
        self.emit(ir.Map(result, over, ir.Block((element,), tuple(nodes), (value,)), mode, span))
        return result

    def keyed(self, over: ir.Value, body: Callable[[ir.Value], ir.Value], span: Span) -> tuple[ir.Value, ir.Value]:
        """Elements and their keys, which `body` builds, as two lists of one length: without those whose key failed."""
        assert isinstance(over.type, ListOf)
        item = over.type.item
        element = self.fresh("x", item)
        with self.block() as nodes:
            key = body(element)
        keys = ListOf(key.type, over.type.limit)
        if all(isinstance(n, ir.Const) or (isinstance(n, ir.Pure) and cannot_fail(n.op)) for n in nodes):
            result = self.fresh("map", keys)
            self.emit(ir.Map(result, over, ir.Block((element,), tuple(nodes), (key,)), span=span))
            return over, result
        pair = PairOf(item, key.type)
        with self.reopened(nodes):
            both = self.pure("pair", (element, key), pair, span=span)
        pairs = self.fresh("map", ListOf(pair, over.type.limit))
        self.emit(ir.Map(pairs, over, ir.Block((element,), tuple(nodes), (both,)), span=span))
        first, second = (
            self.map_with(pairs, lambda p, n=name, t=type_: self.field(p, n, t, span), None, span)  # type: ignore[misc]
            for name, type_ in (("first", item), ("second", key.type))
        )
        return first, second

    def applied(self, function: typed.Lambda, env: Env, *elements: ir.Value) -> ir.Value:
        """The body of a function of these elements."""
        with self.bound(env, (function.param, *function.others), elements):
            return self.expr(function.body, env)

    @contextmanager
    def bound(self, env: Env, symbols: tuple[typed.Symbol, ...], values: tuple[ir.Value, ...]) -> Iterator[None]:
        """The environment with some names added; a function that is used twice has its names bound anew."""
        before = [env.get(s) for s in symbols]
        env.update(zip(symbols, values, strict=True))
        try:
            yield
        finally:
            for symbol, value in zip(symbols, before, strict=True):
                if value is None:
                    del env[symbol]
                else:
                    env[symbol] = value

    # --- short forms ------------------------------------------------------------------------------------------------

    def value(self, argument: Argument, env: Env) -> ir.Value:
        assert argument is not None and not isinstance(argument, (str, typed.Lambda, RecordType)), "a value is expected"
        return self.expr(argument, env)

    def field(self, of: ir.Value, name: str, type_: Type, span: Span) -> ir.Value:
        return self.pure("field", (of,), type_, name, span)

    def text(self, of: ir.Value, span: Span) -> ir.Value:
        """A text as it is, or what a candidate generated."""
        return of if assignable(of.type, STR) else self.field(of, "text", STR, span)

    def or_else(self, value: ir.Value, otherwise: Callable[[], ir.Value], type_: Type) -> ir.Value:
        return self.pure("or_else", (value, otherwise()), type_) if isinstance(value.type, OptionalOf) else value

    def missing(self, value: ir.Value, span: Span = NOWHERE) -> ir.Value:
        """Whether it is none."""
        return self.pure("eq", (value, self.const(None, NONE)), BOOL, span=span)

    def either(
        self,
        condition: ir.Value,
        then: Callable[[], ir.Value],
        otherwise: Callable[[], ir.Value],
        type_: Type,
        span: Span,
    ) -> ir.Value:
        """What one of two builders builds."""
        blocks: list[ir.Block] = []
        for side in (then, otherwise):
            with self.block() as nodes:
                value = side()
            blocks.append(ir.Block((), tuple(nodes), (value,)))
        result = self.fresh("if", type_)
        self.emit(ir.If((result,), result.id, condition, blocks[0], blocks[1], span=span))
        return result


def function(argument: Argument) -> typed.Lambda:
    assert isinstance(argument, typed.Lambda), "an element function is expected here"
    return argument


def number(argument: Argument) -> float | None:
    """A constant that a decision rule knows beforehand."""
    if isinstance(argument, typed.Const) and isinstance(argument.value, (int, float)):
        return float(argument.value)
    return None


def constant_int(argument: Argument) -> int | None:
    if isinstance(argument, typed.Const) and isinstance(argument.value, int):
        return argument.value
    return None
