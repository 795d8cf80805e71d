"""Judgements.

They are not node kinds of their own: a judge is a generation inside a `Map` over the candidates, so that every
candidate is judged the moment it is there.
"""

from __future__ import annotations

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.build.expressions import Env
from ttsc.compiler.ir.build.operators.generation import Generation
from ttsc.compiler.ir.build.operators.maps import Argument, Arguments, constant_int, function
from ttsc.compiler.semantics import typed
from ttsc.compiler.values.types import BOOL, CANDIDATE, CONTEXT, FLOAT, INT, NONE, POOL, STR, ListOf, OptionalOf
from ttsc.grammar.source import Span

VERDICT = r"(?i)\b(yes|no)\b"
"""What a judge's yes or no looks like, unless `read=` says otherwise."""
WINNER = r"\b([AB])\b"
"""What a judge's choice of two looks like, unless `read=` says otherwise."""
NUMBERS = ListOf(FLOAT)


class Judgement(Generation):
    """Lowers what judges and measures."""

    def verify(self, source: ir.Value, a: Arguments, env: Env, span: Span) -> ir.Value:
        def passes(value: ir.Value, _: ir.Value) -> ir.Value:
            if value.type != CONTEXT:
                return value
            return self.or_else(self.yes_or_no(value, a, env, span), lambda: self.const(False), BOOL)

        return self.map(source, function(a["test"]), env, source.type, span, "filter", passes)

    def score(self, source: ir.Value, a: Arguments, env: Env, span: Span) -> ir.Value:
        by = a["by"]
        if isinstance(by, str):
            return self.map_with(source, lambda c: self._measured(c, by, a, env, span), POOL, span)

        def scored(value: ir.Value, candidate: ir.Value) -> ir.Value:
            if value.type == CONTEXT:
                value = self._judged_number(value, a, env, span)
            return self.pure("with_score", (candidate, value), CANDIDATE, span=span)

        return self.map(source, function(by), env, POOL, span, finish=scored)

    def _measured(self, candidate: ir.Value, measure: str, a: Arguments, env: Env, span: Span) -> ir.Value:
        """The candidate with what a model makes of it."""
        match measure:
            case "reward":
                otherwise = self.value(a["otherwise"], env)
                scores = self.step_rewards(candidate, a, env, span)
                score = self.pure("reduce_scores", (scores, otherwise), FLOAT, str(a["reduce"]), span)
                return self.pure("with_scores", (candidate, scores, score), CANDIDATE, span=span)
            case "perplexity":
                score = self.perplexity(candidate, None, str(a["model"]), span)
            case _:
                score = self.logprob(candidate, None, str(a["model"]), str(a["normalise"]), span)
        return self.pure("with_score", (candidate, score), CANDIDATE, span=span)

    # --- models of rewards, probabilities and vectors ---------------------------------------------------------------

    def reward(self, candidate: ir.Value, a: Arguments, env: Env, span: Span) -> ir.Value:
        scores = self.step_rewards(candidate, a, env, span)
        return self.pure("reduce_scores", (scores,), FLOAT, str(a["reduce"]), span)

    def step_rewards(self, candidate: ir.Value, a: Arguments, env: Env, span: Span) -> ir.Value:
        """A reward for the end of each step, or one for the whole: which is that of the last step, too."""
        steps = a["steps"]
        whole = (
            a["reduce"] in ("whole", "last")
            or steps is None
            or (isinstance(steps, typed.Const) and steps.value is None)
        )
        given = None if whole else self.value(steps, env)
        scores = self.measure("reward", candidate, given, str(a["model"]), span)
        if a["link"] == "none":
            return scores
        return self.map_with(scores, lambda x: self.pure("sigmoid", (x,), FLOAT, span=span), NUMBERS, span)

    def logprob(self, source: ir.Value, given: ir.Value | None, model: str, normalise: str, span: Span) -> ir.Value:
        tokens = self.measure("logprob", source, given, model, span)
        return self.pure(normalise, (tokens,), FLOAT, span=span)

    def perplexity(self, source: ir.Value, given: ir.Value | None, model: str, span: Span) -> ir.Value:
        mean = self.logprob(source, given, model, "mean", span)
        return self.pure("exp", (self.pure("neg", (mean,), FLOAT, span=span),), FLOAT, span=span)

    def choices(self, source: ir.Value, a: Arguments, env: Env, span: Span) -> ir.Value:
        found = self.measure("choices", source, self.value(a["of"], env), str(a["model"]), span)
        return found if a["normalise"] == "none" else self.pure("softmax", (found,), NUMBERS, span=span)

    def embed(self, source: ir.Value, model: str, span: Span) -> ir.Value:
        def vector(of: ir.Value) -> ir.Value:
            return self.measure("embed", self.text(of, span), None, model, span)

        return self.map_with(source, vector, None, span) if isinstance(source.type, ListOf) else vector(source)

    def measure(self, kind: str, source: ir.Value, given: ir.Value | None, model: str, span: Span) -> ir.Value:
        result = self.fresh(kind, NUMBERS)
        self.emit(ir.Score(result, kind, source, given, model, span))  # type: ignore[arg-type]
        return result

    def spanned(self, a: Arguments, env: Env) -> ir.Value | None:
        """The text after the source that is meant, if not what the candidate generated."""
        of = a["of"]
        return None if of is None or (isinstance(of, typed.Const) and of.value is None) else self.value(of, env)

    # --- judges -----------------------------------------------------------------------------------------------------

    def yes_or_no(self, context: ir.Value, a: Arguments, env: Env, span: Span) -> ir.Value:
        """A judge's verdict: bool, or bool? if it may be unreadable."""
        text = self._verdict_text(context, a, env, span)
        if a["read"] is not None:
            return self.applied(function(a["read"]), env, text)
        word = self.pure("find", (text, self.const(VERDICT), self.const(1)), OptionalOf(STR), span=span)
        lowered = self.pure("lower", (self.or_else(word, lambda: self.const("no"), STR),), STR, span=span)
        return self.pure("eq", (lowered, self.const("yes")), BOOL, span=span)

    def first_wins(
        self, comparison: typed.Lambda, pair: tuple[ir.Value, ir.Value], a: Arguments, env: Env, span: Span
    ) -> ir.Value:
        """Whether the first of two wins; none if that can't be told."""
        value = self.applied(comparison, env, *pair)
        maybe = OptionalOf(BOOL)
        if value.type == CONTEXT:
            text = self._verdict_text(value, a, env, span)
            if a["read"] is not None:
                return self.applied(function(a["read"]), env, text)
            word = self.pure("find", (text, self.const(WINNER), self.const(1)), OptionalOf(STR), span=span)

            def is_first() -> ir.Value:
                return self.pure("eq", (word, self.const("A")), BOOL, span=span)

            return self.either(self.missing(word), lambda: self.const(None, NONE), is_first, maybe, span)
        if value.type == BOOL:
            return value
        zero = self.const(0.0)
        drawn = self.pure("eq", (value, zero), BOOL, span=span)

        def above() -> ir.Value:
            return self.pure("gt", (value, zero), BOOL, span=span)

        return self.either(drawn, lambda: self.const(None, NONE), above, maybe, span)

    def _verdict_text(self, context: ir.Value, a: Arguments, env: Env, span: Span) -> ir.Value:
        return self.text(self.generate_one("judge", context, a, env, span), span)

    def _judged_number(self, context: ir.Value, a: Arguments, env: Env, span: Span) -> ir.Value:
        """A judge's number, or the mean of several; `otherwise` if none can be read."""
        if constant_int(a["samples"]) == 1:
            value = self._number(self._verdict_text(context, a, env, span), a["read"], env, span)
            return self._counted(value, a, env, span)
        pool = self.generate("judge", context, self.value(a["samples"], env), a, env, span)
        read = self.map_with(pool, lambda c: self._number(self.text(c, span), a["read"], env, span), None, span)

        def readable(value: ir.Value) -> ir.Value:
            return self.pure("ne", (value, self.const(None, NONE)), BOOL, span=span)

        if isinstance(read.type, ListOf) and isinstance(read.type.item, OptionalOf):
            read = self.map_with(read, readable, read.type, span, "filter")
        numbers = self.map_with(read, lambda x: self._counted(x, a, env, span), NUMBERS, span)
        mean = self.pure("mean", (numbers,), FLOAT, span=span)
        some = self.pure("length", (numbers,), INT, span=span)
        none = self.pure("eq", (some, self.const(0)), BOOL, span=span)
        return self.either(none, lambda: self.value(a["otherwise"], env), lambda: mean, FLOAT, span)

    def _number(self, text: ir.Value, read: Argument, env: Env, span: Span) -> ir.Value:
        """What a judge's text says: a number or a bool, or one of these or none."""
        if read is not None:
            return self.applied(function(read), env, text)
        number = self.pure("last_number", (text,), OptionalOf(STR), span=span)
        return self.pure("to_float", (self.or_else(number, lambda: self.const(""), STR),), OptionalOf(FLOAT), span=span)

    def _counted(self, value: ir.Value, a: Arguments, env: Env, span: Span) -> ir.Value:
        """As a number: true is 1, false 0, none `otherwise`."""
        item = value.type.item if isinstance(value.type, OptionalOf) else value.type
        if item != BOOL:
            return self.or_else(value, lambda: self.value(a["otherwise"], env), FLOAT)

        def as_number() -> ir.Value:
            true = self.pure("eq", (value, self.const(True)), BOOL, span=span)
            return self.either(true, lambda: self.const(1.0), lambda: self.const(0.0), FLOAT, span)

        if item == value.type:
            return as_number()
        return self.either(self.missing(value), lambda: self.value(a["otherwise"], env), as_number, FLOAT, span)
