"""Operators to nodes: what each row of `semantics/operators/` is made of."""

from __future__ import annotations

from typing import Literal, cast

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.build.expressions import Env
from ttsc.compiler.ir.build.operators.maps import Arguments, function
from ttsc.compiler.ir.build.operators.selection import Selection
from ttsc.compiler.semantics import typed
from ttsc.compiler.values.types import CANDIDATE, INT, NODE, POOL, TREE, ListOf
from ttsc.grammar.diagnostics import InternalError
from ttsc.grammar.source import Span


class OperatorBuilder(Selection):
    """Lowers every operator."""

    def operator(self, e: typed.Operator, env: Env) -> ir.Value:
        a: Arguments = dict(e.arguments)
        source = self.expr(e.source, env)
        match e.name:
            case "sample" | "branch":
                return self.generate(e.name, source, self.value(a["n"], env), a, env, e.span)
            case "refine":
                return self.refine(source, a, env, e.span)
            case "ask":
                return self.ask(e, source, a, env)
            case "parse":
                return self.parse(e, source, a)
            case "force":
                result = self.fresh("force", e.type)
                self.emit(ir.Force(result, source, self.value(a["text"], env), e.span))
                return result
            case "cut":
                result = self.fresh("cut", e.type)
                self.emit(ir.Cut(result, source, self.value(a["at"], env), e.span))
                return result
            case "verify":
                return self.verify(source, a, env, e.span)
            case "score":
                return self.score(source, a, env, e.span)
            case "reward":
                return self.reward(source, a, env, e.span)
            case "logprob":
                given = self.spanned(a, env)
                return self.logprob(source, given, str(a["model"]), str(a["normalise"]), e.span)
            case "perplexity":
                return self.perplexity(source, self.spanned(a, env), str(a["model"]), e.span)
            case "choices":
                return self.choices(source, a, env, e.span)
            case "embed":
                return self.embed(source, str(a["model"]), e.span)
            case "vote":
                return self.vote(e, source, a, env)
            case "best" | "keep":
                return self.greatest(e, source, a, env)
            case "stop_first":
                return self.stop_first(source, a, env, e.span)
            case "any" | "all":
                return self.quantified(e, source, a, env)
            case "maximal" | "distinct":
                return self.by_key(e, source, a, env)
            case "cluster":
                return self.cluster(e, source, a, env)
            case "tournament":
                return self.tournament(e, source, a, env)
            case "resample":
                return self.resample(source, a, env, e.span)
            case "prune":
                return self.prune(e, source, a, env)
        return self._over_lists(e, source, a, env)

    def _over_lists(self, e: typed.Operator, source: ir.Value, a: Arguments, env: Env) -> ir.Value:
        match e.name:
            case "one":
                otherwise = a["otherwise"]
                args = (source,) if otherwise is None else (source, self.value(otherwise, env))
                return self.pure("one", args, e.type, span=e.span)
            case "each":
                return self.map(source, function(a["do"]), env, e.type, e.span)
            case "filter":
                return self.map(source, function(a["where"]), env, e.type, e.span, "filter")
            case "count":
                found = self.map(source, function(a["where"]), env, source.type, e.span, "filter")
                return self.pure("length", (found,), INT, span=e.span)
            case "extract":
                return self.map(source, function(a["by"]), env, POOL, e.span, finish=self._with_answer)
            case "rewrite":
                return self._rewrite(source, a, env, e.span)
            case "sort":
                return self._sort(e, source, a, env)
            case "shuffle":
                return self.draw("shuffle", (source,), e.type, "", e.span)
            case "random":
                return self.draw("random", (source,), e.type, "", e.span)
            case "dag":
                return self._dag(e, source, a, env)
            case "nearest":
                return self._nearest(e, source, a, env)
        return self._over_trees(e, source, a, env)

    def _over_trees(self, e: typed.Operator, source: ir.Value, a: Arguments, env: Env) -> ir.Value:
        match e.name:
            case "select":
                names = ("n", "exploration", *(("prune", "prune_from") if a["policy"] == "mixed" else ()))
                args = (source, *(self.value(a[name], env) for name in names))
                words = f"{a['policy']} {a['prior']} {a['finished']}"
                return self.draw("select", args, ListOf(NODE), words, e.span)
            case "expand":
                return self.pure(
                    "expand", (source, self.value(a["at"], env), self.value(a["with"], env)), TREE, span=e.span
                )
            case "backpropagate":
                new = self.pure("uncounted", (source,), POOL, span=e.span)
                by = function(a["by"])
                values = self.map(new, by, env, ListOf(by.type), e.span)
                return self.pure("backpropagate", (source, values, self.value(a["discount"], env)), TREE, span=e.span)
        raise InternalError(f"operator '{e.name}' has no lowering")

    # --- lists ------------------------------------------------------------------------------------------------------

    def _with_answer(self, answer: ir.Value, candidate: ir.Value) -> ir.Value:
        return self.pure("with_answer", (candidate, answer), CANDIDATE)

    def _rewrite(self, source: ir.Value, a: Arguments, env: Env, span: Span) -> ir.Value:
        where, other = function(a["where"]), function(a["with"])

        def rewritten(candidate: ir.Value) -> ir.Value:
            def replaced() -> ir.Value:
                value = self.applied(other, env, candidate)
                if isinstance(value.type, ListOf):
                    return self.pure("one", (value,), CANDIDATE, span=span)
                return value

            condition = self.applied(where, env, candidate)
            return self.either(condition, replaced, lambda: candidate, CANDIDATE, span)

        return self.map_with(source, rewritten, POOL, span)

    def _sort(self, e: typed.Operator, source: ir.Value, a: Arguments, env: Env) -> ir.Value:
        """Equal keys keep their order: descending is the reverse of the reversed list sorted."""
        by = function(a["by"])
        over, keys = self.keyed(source, lambda x: self.applied(by, env, x), e.span)
        if a["order"] == "ascending":
            return self.pure("sort", (over, keys), e.type, span=e.span)
        turned = tuple(self.pure("reverse", (v,), v.type, span=e.span) for v in (over, keys))
        ascending = self.pure("sort", turned, e.type, span=e.span)
        return self.pure("reverse", (ascending,), e.type, span=e.span)

    def _dag(self, e: typed.Operator, source: ir.Value, a: Arguments, env: Env) -> ir.Value:
        assert isinstance(source.type, ListOf)
        needs, do = function(a["needs"]), function(a["do"])
        over, edges = self.keyed(source, lambda x: self.applied(needs, env, x), e.span)
        element, found = self.fresh("x", source.type.item), self.fresh("found", do.others[0].type)
        with self.block() as nodes:
            value = self.applied(do, env, element, found)
        result = self.fresh("dag", e.type)
        body = ir.Block((element, found), tuple(nodes), (value,))
        self.emit(ir.Dag(result, over, edges, body, cast("Literal['fail', 'drop']", a["invalid"]), e.span))
        return result

    def _nearest(self, e: typed.Operator, source: ir.Value, a: Arguments, env: Env) -> ir.Value:
        query, k = self.value(a["query"], env), self.value(a["k"], env)
        model = a["model"]

        def key(element: ir.Value) -> ir.Value:
            text = self.text(element, e.span) if a["by"] is None else self.applied(function(a["by"]), env, element)
            return text if model is None else self.embed(text, str(model), e.span)

        over, keys = self.keyed(source, key, e.span)
        if model is None:
            return self.pure("nearest_words", (over, keys, query, k), e.type, span=e.span)
        return self.pure("nearest_vectors", (over, keys, self.embed(query, str(model), e.span), k), e.type, span=e.span)
