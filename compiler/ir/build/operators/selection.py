"""Selections: reductions with a decision rule, tournaments, groups and draws."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, log2
from typing import Literal, cast

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.build.expressions import Env
from ttsc.compiler.ir.build.operators.judgement import Judgement
from ttsc.compiler.ir.build.operators.maps import Arguments, constant_int, function, number
from ttsc.compiler.semantics import typed
from ttsc.compiler.values.pure import MAX_ITEMS
from ttsc.compiler.values.types import BOOL, FLOAT, INT, NONE, POOL, STR, ListOf, OptionalOf, PairOf, Type
from ttsc.grammar.source import Span

Ties = Literal["first", "last", "random"]


def _rule_of_votes(a: Arguments) -> ir.Majority | ir.Sequential:
    """Published schedules unless told otherwise: one by one, by windows, or all at once."""
    ties, invalid = cast("Ties", a["ties"]), cast("Literal['drop', 'count']", a["invalid"])
    wave = constant_int(a["wave"])
    if a["stop"] == "never":
        return ir.Majority(ties, invalid, number(a["max_weight"]), wave or 0)
    stop = cast("Literal['adaptive', 'beta', 'esc', 'sprt']", a["stop"])
    rule = ir.Sequential(stop, ties, invalid)
    confidence = number(a["confidence"]) or rule.confidence
    match stop:
        case "adaptive":
            return replace(rule, confidence=confidence, wave=wave or 1)
        case "beta":
            return replace(rule, confidence=confidence, wave=wave or 0)
        case "sprt":
            return replace(rule, confidence=confidence, share=number(a["share"]) or rule.share, wave=wave or 1)
        case "esc":
            window = constant_int(a["window"]) or rule.window
            return replace(rule, window=window, wave=wave or window)


class Selection(Judgement):
    """Lowers what selects."""

    def vote(self, e: typed.Operator, source: ir.Value, a: Arguments, env: Env) -> ir.Value:
        over = source
        if a["by"] is not None:
            by = function(a["by"])
            over = self.map(source, by, env, ListOf(by.type), e.span)
        weights = None
        if a["weight"] is not None:
            weights = self.map(source, function(a["weight"]), env, ListOf(FLOAT), e.span)
        rule = _rule_of_votes(a)
        otherwise = self.value(a["otherwise"], env)
        return self.select("vote", over, rule, e.type, e.span, weights=weights, otherwise=otherwise)

    def greatest(self, e: typed.Operator, source: ir.Value, a: Arguments, env: Env) -> ir.Value:
        if a.get("duplicates") == "drop":
            texts = self.map_with(source, lambda c: self.text(c, e.span), ListOf(STR), e.span)
            source = self.pure("distinct", (source, texts), source.type, span=e.span)
        by = function(a["by"])
        keys = self.map(source, by, env, ListOf(by.type), e.span)
        rule = ir.Greatest(cast("Ties", a["ties"]), number(a["maximum"]))
        count = self.value(a["n"], env) if e.name == "keep" else None
        return self.select(
            cast("Literal['best', 'keep']", e.name), source, rule, e.type, e.span, keys=keys, count=count
        )

    def stop_first(self, source: ir.Value, a: Arguments, env: Env, span: Span) -> ir.Value:
        rule = ir.FirstFinished(
            cast("Literal['tokens', 'time']", a["order"]), cast("Literal['exclude', 'include']", a["truncated"])
        )
        return self.select("stop_first", source, rule, POOL, span, count=self.value(a["n"], env))

    def quantified(self, e: typed.Operator, source: ir.Value, a: Arguments, env: Env) -> ir.Value:
        if a["where"] is not None:
            source = self.map(source, function(a["where"]), env, ListOf(BOOL), e.span)
        kind = cast("Literal['any', 'all']", e.name)
        return self.select(kind, source, ir.Quantified(kind), BOOL, e.span)

    def select(
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

    # --- groups -----------------------------------------------------------------------------------------------------

    def by_key(self, e: typed.Operator, source: ir.Value, a: Arguments, env: Env) -> ir.Value:
        """`maximal`, `distinct`: a pure operation on elements and their keys."""
        by = a["by"]
        if by is None and isinstance(source.type, ListOf) and source.type.item in (STR, INT, FLOAT, BOOL):
            return self.pure(e.name, (source,), e.type, span=e.span)

        def key(element: ir.Value) -> ir.Value:
            return self.text(element, e.span) if by is None else self.applied(function(by), env, element)

        over, keys = self.keyed(source, key, e.span)
        return self.pure(e.name, (over, keys), e.type, span=e.span)

    def cluster(self, e: typed.Operator, source: ir.Value, a: Arguments, env: Env) -> ir.Value:
        if a["same"] is not None:
            same = function(a["same"])

            def verdict(pair: ir.Value) -> ir.Value:
                value = self.applied(same, env, *self._parts(pair, e.span))
                if value.type == BOOL:
                    return value
                return self.or_else(self.yes_or_no(value, a, env, e.span), lambda: self.const(False), BOOL)

            verdicts = self.map_with(self._combinations(source, e.span), verdict, ListOf(BOOL), e.span)
            return self.pure("cluster_same", (source, verdicts), e.type, span=e.span)
        by = function(a["by"] if a["by"] is not None else a["near"])
        over, keys = self.keyed(source, lambda x: self.applied(by, env, x), e.span)
        if a["by"] is not None:
            return self.pure("cluster_by", (over, keys), e.type, span=e.span)
        distance = self.value(a["distance"], env)
        return self.pure("cluster_near", (over, keys, distance), e.type, str(a["linkage"]), e.span)

    # --- comparisons two by two -------------------------------------------------------------------------------------

    def tournament(self, e: typed.Operator, source: ir.Value, a: Arguments, env: Env) -> ir.Value:
        by = function(a["by"])
        if a["style"] == "knockout":
            return self._knockout(e, source, by, a, env)

        def verdict(pair: ir.Value) -> ir.Value:
            return self.first_wins(by, self._parts(pair, e.span), a, env, e.span)

        verdicts = self.map_with(self._combinations(source, e.span), verdict, ListOf(OptionalOf(BOOL)), e.span)
        wins = self.pure("round_robin_wins", (source, verdicts), ListOf(FLOAT), span=e.span)
        return self.select("best", source, ir.Greatest(cast("Ties", a["ties"])), e.type, e.span, keys=wins)

    def _knockout(self, e: typed.Operator, source: ir.Value, by: typed.Lambda, a: Arguments, env: Env) -> ir.Value:
        """Rounds of neighbours, until one is left. Half of them stay in each, so that few rounds do."""
        assert isinstance(source.type, ListOf)
        item, span = source.type.item, e.span
        rounds = self.const(max(1, ceil(log2(max(2, source.type.limit or MAX_ITEMS)))))
        standing = self.fresh("standing", ListOf(item))
        with self.block() as nodes:
            pairs = self.pure("pairs", (standing,), ListOf(PairOf(item, OptionalOf(item))), span=span)

            def winner(pair: ir.Value) -> ir.Value:
                first = self.field(pair, "first", item, span)
                second = self.field(pair, "second", OptionalOf(item), span)

                def meet() -> ir.Value:
                    other = self.pure("known", (second,), item, span=span)
                    wins = self.first_wins(by, (first, other), a, env, span)
                    wins = self.or_else(wins, lambda: self.const(True), BOOL)
                    return self.either(wins, lambda: first, lambda: other, item, span)

                return self.either(self.missing(second), lambda: first, meet, item, span)

            left = self.map_with(pairs, winner, ListOf(item), span)
            length = self.pure("length", (left,), INT, span=span)
            stop = self.pure("le", (length, self.const(1)), BOOL, span=span)
        result = self.fresh("standing", ListOf(item))
        body = ir.Block((standing,), tuple(nodes), (left, stop))
        self.emit(ir.Repeat((result,), self.fresh("knockout", BOOL).id, rounds, (source,), body, span=span))
        return self.pure("one", (result,), e.type, span=span)

    def _combinations(self, source: ir.Value, span: Span) -> ir.Value:
        assert isinstance(source.type, ListOf)
        item = source.type.item
        return self.pure("combinations", (source,), ListOf(PairOf(item, item)), span=span)

    def _parts(self, pair: ir.Value, span: Span) -> tuple[ir.Value, ir.Value]:
        assert isinstance(pair.type, PairOf)
        return self.field(pair, "first", pair.type.first, span), self.field(pair, "second", pair.type.second, span)

    def prune(self, e: typed.Operator, source: ir.Value, a: Arguments, env: Env) -> ir.Value:
        weights = function(a["weights"])
        over, found = self.keyed(source, lambda x: self.applied(weights, env, x), e.span)
        factors = [self.value(a[name], env) for name in ("shared", "diverse", "temperature")]
        rest = [self.const(None, NONE) if a[name] is None else self.value(a[name], env) for name in ("n", "clusters")]
        return self.pure("prune", (over, found, *factors, *rest), e.type, str(a["normalise"]), e.span)

    # --- draws ------------------------------------------------------------------------------------------------------

    def resample(self, source: ir.Value, a: Arguments, env: Env, span: Span) -> ir.Value:
        count = self.pure("length", (source,), INT, span=span) if a["n"] is None else self.value(a["n"], env)
        weights = function(a["weights"])
        over, found = self.keyed(source, lambda x: self.applied(weights, env, x), span)
        args = [over, found, count, self.value(a["temperature"], env)]
        if a["method"] == "conditional":
            args.append(self.value(a["reference"], env))
        return self.draw("resample", tuple(args), POOL, f"{a['method']} {a['finished']} {a['normalise']}", span)

    def draw(
        self,
        op: Literal["resample", "select", "shuffle", "random"],
        args: tuple[ir.Value, ...],
        type_: Type,
        attr: str,
        span: Span,
    ) -> ir.Value:
        result = self.fresh(op, type_)
        self.emit(ir.Draw(result, op, args, attr, span))
        return result
