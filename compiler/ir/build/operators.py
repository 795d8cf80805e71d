"""Operators to nodes.

Judgements are not node kinds of their own: a judge is a generation inside a `Map` over the candidates, so that every
candidate is judged the moment it is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.build.expressions import Env, ExpressionBuilder
from ttsc.compiler.semantics import typed
from ttsc.compiler.values.types import BOOL, CANDIDATE, CONTEXT, FLOAT, POOL, STR, ListOf, OptionalOf, Type
from ttsc.grammar.diagnostics import InternalError
from ttsc.grammar.source import Span

Arguments = dict[str, typed.Expr | typed.Lambda | str | None]
UNSET: dict[str, object] = {"top_p": 1.0, "top_k": -1, "min_p": 0.0}
"""Options left out of the IR at these values: they change nothing."""
VERDICT = r"(?i)\b(yes|no)\b"
"""What a judge's yes or no looks like, unless `read=` says otherwise; no verdict is a no."""


class OperatorBuilder(ExpressionBuilder):
    """Lowers the operators of `semantics/operators.py`."""

    def operator(self, e: typed.Operator, env: Env) -> ir.Value:
        a: Arguments = dict(e.arguments)
        source = self.expr(e.source, env)
        match e.name:
            case "sample" | "branch":
                return self.generate(e.name, source, self._value(a["n"], env), a, env, e.span)
            case "force":
                result = self.fresh("force", e.type)
                self.emit(ir.Force(result, source, self._value(a["text"], env), e.span))
                return result
            case "refine":
                return self._refine(source, a, env, e.span)
            case "verify":
                return self.map(
                    source,
                    _lambda(a["test"]),
                    env,
                    lambda v, _: self._verdict(v, a, env, e.span),
                    POOL,
                    e.span,
                    "filter",
                )
            case "score":
                return self.map(
                    source, _lambda(a["by"]), env, lambda v, x: self._scored(v, x, a, env, e.span), POOL, e.span
                )
            case "vote":
                return self._vote(source, a, env, e.span)
            case "best" | "keep":
                return self._greatest(e, source, a, env)
            case "stop_first":
                rule = ir.FirstFinished(
                    cast("Literal['tokens', 'time']", a["order"]), cast("Literal['exclude', 'include']", a["truncated"])
                )
                return self._select("stop_first", source, rule, POOL, e.span, count=self._value(a["n"], env))
            case "one":
                otherwise = a["otherwise"]
                args = (source,) if otherwise is None else (source, self._value(otherwise, env))
                return self.pure("one", args, e.type, span=e.span)
            case "each":
                return self.map(source, _lambda(a["do"]), env, lambda v, _: v, e.type, e.span)
            case "filter":
                return self.map(source, _lambda(a["where"]), env, lambda v, _: v, e.type, e.span, "filter")
            case "any" | "all":
                if a["where"] is not None:
                    source = self.map(source, _lambda(a["where"]), env, lambda v, _: v, ListOf(BOOL), e.span)
                return self._select(e.name, source, ir.Quantified(e.name), BOOL, e.span)
        raise InternalError(f"operator '{e.name}' has no lowering")

    # --- generation -------------------------------------------------------------------------------------------------

    def generate(
        self,
        op: Literal["sample", "branch", "refine", "judge"],
        source: ir.Value,
        count: ir.Value,
        a: Arguments,
        env: Env,
        span: Span,
    ) -> ir.Value:
        options: list[tuple[str, ir.Value]] = []
        for name in ("temperature", "top_p", "top_k", "min_p", "max_tokens", "until"):
            given = a.get(name)
            if given is None or (isinstance(given, typed.Const) and name in UNSET and given.value == UNSET[name]):
                continue
            options.append((name, self._value(given, env)))
        result = self.fresh(op, POOL)
        self.emit(
            ir.Generate(
                result,
                op,
                source,
                count,
                tuple(options),
                str(a["model"]),
                cast("Literal['keep', 'drop']", a.get("delimiter") or "keep"),
                cast("Literal['freeze', 'drop', 'continue']", a.get("finished") or "continue"),
                span=span,
            )
        )
        return result

    def _refine(self, source: ir.Value, a: Arguments, env: Env, span: Span) -> ir.Value:
        function = _lambda(a["with"])

        def answer(candidate: ir.Value) -> ir.Value:
            assert isinstance(function.body, typed.PromptCall)
            context = self.turns(function.body, candidate, {**env, function.param: candidate})
            pool = self.generate("refine", context, self.const(1), a, env, span)
            return self.pure("one", (pool,), CANDIDATE, span=span)

        if not isinstance(source.type, ListOf):
            return answer(source)
        element = self.fresh("x", source.type.item)
        with self.block() as nodes:
            value = answer(element)
        return self._map_node(source, element, nodes, value, POOL, span, "map")

    # --- judgement --------------------------------------------------------------------------------------------------

    def _judged(self, context: ir.Value, a: Arguments, env: Env, span: Span) -> ir.Value:
        pool = self.generate("judge", context, self.const(1), a, env, span)
        candidate = self.pure("one", (pool,), CANDIDATE, span=span)
        return self.pure("field", (candidate,), STR, "text", span)

    def _verdict(self, value: ir.Value, a: Arguments, env: Env, span: Span) -> ir.Value:
        if value.type != CONTEXT:
            return value
        text = self._judged(value, a, env, span)
        if a["read"] is not None:
            return self._or_else(self._read(_lambda(a["read"]), text), self.const(False), BOOL)
        word = self.pure("find", (text, self.const(VERDICT), self.const(1)), OptionalOf(STR), span=span)
        lowered = self.pure("lower", (self._or_else(word, self.const("no"), STR),), STR, span=span)
        return self.pure("eq", (lowered, self.const("yes")), BOOL, span=span)

    def _scored(self, value: ir.Value, candidate: ir.Value, a: Arguments, env: Env, span: Span) -> ir.Value:
        if value.type == CONTEXT:
            text = self._judged(value, a, env, span)
            if a["read"] is not None:
                value = self._read(_lambda(a["read"]), text)
            else:
                number = self.pure("last_number", (text,), OptionalOf(STR), span=span)
                value = self.pure(
                    "to_float", (self._or_else(number, self.const(""), STR),), OptionalOf(FLOAT), span=span
                )
            value = self._or_else(value, self._value(a["otherwise"], env), FLOAT)
        return self.pure("with_score", (candidate, value), CANDIDATE, span=span)

    def _read(self, function: typed.Lambda, text: ir.Value) -> ir.Value:
        return self.expr(function.body, {function.param: text})

    def _or_else(self, value: ir.Value, otherwise: ir.Value, type_: Type) -> ir.Value:
        return self.pure("or_else", (value, otherwise), type_) if isinstance(value.type, OptionalOf) else value

    # --- selection --------------------------------------------------------------------------------------------------

    def _vote(self, source: ir.Value, a: Arguments, env: Env, span: Span) -> ir.Value:
        over = source
        if a["by"] is not None:
            by = _lambda(a["by"])
            over = self.map(source, by, env, lambda v, _: v, ListOf(by.type), span)
        weights = None
        if a["weight"] is not None:
            weights = self.map(source, _lambda(a["weight"]), env, lambda v, _: v, ListOf(FLOAT), span)
        rule = ir.Majority(
            cast("Literal['first', 'last']", a["ties"]),
            cast("Literal['drop', 'count']", a["invalid"]),
            _number(a["max_weight"]),
        )
        return self._select("vote", over, rule, STR, span, weights=weights, otherwise=self._value(a["otherwise"], env))

    def _greatest(self, e: typed.Operator, source: ir.Value, a: Arguments, env: Env) -> ir.Value:
        keys = self.map(source, _lambda(a["by"]), env, lambda v, _: v, ListOf(FLOAT), e.span)
        rule = ir.Greatest(cast("Literal['first', 'last']", a["ties"]), _number(a["maximum"]))
        count = self._value(a["n"], env) if e.name == "keep" else None
        return self._select(
            cast("Literal['best', 'keep']", e.name), source, rule, e.type, e.span, keys=keys, count=count
        )

    def _select(
        self,
        op: Literal["vote", "best", "keep", "stop_first", "any", "all"],
        over: ir.Value,
        rule: ir.Rule,
        type_: Type,
        span: Span,
        *,
        keys: ir.Value | None = None,
        weights: ir.Value | None = None,
        count: ir.Value | None = None,
        otherwise: ir.Value | None = None,
    ) -> ir.Value:
        result = self.fresh(op, type_)
        self.emit(ir.Select(result, op, over, rule, keys, weights, count, otherwise, span=span))
        return result

    # --- maps -------------------------------------------------------------------------------------------------------

    def map(
        self,
        over: ir.Value,
        function: typed.Lambda,
        env: Env,
        finish: Callable[[ir.Value, ir.Value], ir.Value],
        type_: Type,
        span: Span,
        mode: Literal["map", "filter"] = "map",
    ) -> ir.Value:
        """`function` for every element; `finish(result, element)` makes what the block yields."""
        assert isinstance(over.type, ListOf)
        element = self.fresh("x", over.type.item)
        with self.block() as nodes:
            value = finish(self.expr(function.body, {**env, function.param: element}), element)
        return self._map_node(over, element, nodes, value, type_, span, mode)

    def _map_node(
        self,
        over: ir.Value,
        element: ir.Value,
        nodes: list[ir.Node],
        value: ir.Value,
        type_: Type,
        span: Span,
        mode: Literal["map", "filter"],
    ) -> ir.Value:
        result = self.fresh("filter" if mode == "filter" else "map", type_)
        self.emit(ir.Map(result, over, ir.Block((element,), tuple(nodes), (value,)), mode, span))
        return result

    def _value(self, argument: typed.Expr | typed.Lambda | str | None, env: Env) -> ir.Value:
        assert argument is not None and not isinstance(argument, (str, typed.Lambda)), "a value is expected here"
        return self.expr(argument, env)


def _lambda(argument: typed.Expr | typed.Lambda | str | None) -> typed.Lambda:
    assert isinstance(argument, typed.Lambda), "an element function is expected here"
    return argument


def _number(argument: typed.Expr | typed.Lambda | str | None) -> float | None:
    if isinstance(argument, typed.Const) and isinstance(argument.value, (int, float)):
        return float(argument.value)
    return None
