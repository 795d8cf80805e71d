"""Generation: samples, steps, refinements, and records that are asked for until they can be read."""

from __future__ import annotations

from typing import Literal, cast

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.build.expressions import Env
from ttsc.compiler.ir.build.operators.maps import Arguments, Maps, constant_int, function
from ttsc.compiler.semantics import typed
from ttsc.compiler.values.schema import schema_text
from ttsc.compiler.values.types import BOOL, CANDIDATE, NONE, POOL, STR, ListOf, OptionalOf, RecordType
from ttsc.grammar.source import Span

UNSET: dict[str, object] = {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "top_logprobs": 20, "window": 2048}
"""Options left out of the IR at these values: they change nothing."""
OPTIONS = (
    *("temperature", "top_p", "top_k", "min_p", "max_tokens", "until", "engine"),
    *("top_logprobs", "stop_below", "window"),
)


class Generation(Maps):
    """Lowers what generates."""

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
        for name in OPTIONS:
            given = a.get(name)
            if given is None or (isinstance(given, typed.Const) and given.value == UNSET.get(name, _NEVER)):
                continue
            if isinstance(given, typed.Const) and given.value is None:
                continue
            options.append((name, self.value(given, env)))
        schema = a.get("schema")
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
                schema_text(schema) if isinstance(schema, RecordType) else "",
                span=span,
            )
        )
        return result

    def generate_one(
        self, op: Literal["sample", "refine", "judge"], source: ir.Value, a: Arguments, env: Env, span: Span
    ) -> ir.Value:
        """The one candidate of a generation: it fails with it."""
        return self.pure("one", (self.generate(op, source, self.const(1), a, env, span),), CANDIDATE, span=span)

    def refine(self, source: ir.Value, a: Arguments, env: Env, span: Span) -> ir.Value:
        turns = function(a["with"])
        assert isinstance(turns.body, typed.PromptCall)
        call = turns.body

        def answer(candidate: ir.Value) -> ir.Value:
            with self.bound(env, (turns.param,), (candidate,)):
                context = self.turns(call, candidate, env)
            return self.generate_one("refine", context, a, env, span)

        return self.map_with(source, answer, POOL, span) if isinstance(source.type, ListOf) else answer(source)

    def ask(self, e: typed.Operator, source: ir.Value, a: Arguments, env: Env) -> ir.Value:
        """A record: a loop of at most `attempts` generations, until one can be read."""
        record = a["record"]
        assert isinstance(record, RecordType)
        attempts = self.value(a["attempts"], env)
        given = constant_int(a["attempts"])
        failure = f"no answer of {'the attempts' if given is None else f'attempts={given}'} was a {record}"
        otherwise = a["otherwise"]
        fallback = None if otherwise is None else self.value(otherwise, env)
        options: Arguments = {**a, "schema": record}

        def asked(context: ir.Value) -> ir.Value:
            found, reason = self._attempts(context, record, attempts, options, env, e.span)
            if fallback is None:
                return self.pure("require", (found, reason), record, failure, e.span)
            type_ = OptionalOf(record) if _optional(fallback) else record
            return self.pure("or_else", (found, fallback), type_, span=e.span)

        return self.map_with(source, asked, e.type, e.span) if isinstance(source.type, ListOf) else asked(source)

    def _attempts(
        self, context: ir.Value, record: RecordType, attempts: ir.Value, options: Arguments, env: Env, span: Span
    ) -> tuple[ir.Value, ir.Value]:
        """What was read, or none, and why the last attempt could not be."""
        schema, maybe = schema_text(record), OptionalOf(record)
        init = (self.const(None, maybe), self.const(""))
        params = (self.fresh("found", maybe), self.fresh("reason", STR))
        with self.block() as nodes:
            text = self.text(self.generate_one("sample", context, options, env, span), span)
            found = self.pure("parse", (text,), maybe, schema, span)
            reason = self.pure("parse_failure", (text,), STR, schema, span)
            stop = self.pure("ne", (found, self.const(None, NONE)), BOOL, span=span)
        results = (self.fresh("found", maybe), self.fresh("reason", STR))
        body = ir.Block(params, tuple(nodes), (found, reason, stop))
        self.emit(ir.Repeat(results, self.fresh("ask", BOOL).id, attempts, init, body, span=span))
        return results[0], results[1]

    def parse(self, e: typed.Operator, source: ir.Value, a: Arguments) -> ir.Value:
        record = a["record"]
        assert isinstance(record, RecordType)
        schema, maybe = schema_text(record), OptionalOf(record)

        def parsed(value: ir.Value) -> ir.Value:
            return self.pure("parse", (self.text(value, e.span),), maybe, schema, e.span)

        return self.map_with(source, parsed, e.type, e.span) if isinstance(source.type, ListOf) else parsed(source)


_NEVER = object()


def _optional(value: ir.Value) -> bool:
    return value.type == NONE or isinstance(value.type, OptionalOf)
