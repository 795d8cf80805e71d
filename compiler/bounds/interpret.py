"""The abstract interpreter: every node of a program, with sizes instead of values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, assert_never

from ttsc.compiler.bounds.cost import LIVE, NO_COST, Cost, Kind, larger
from ttsc.compiler.bounds.domain import (
    NEVER,
    NOTHING,
    PLAIN,
    Abstract,
    Conversation,
    Items,
    Nothing,
    Number,
    Text,
    Unknown,
    join,
)
from ttsc.compiler.bounds.expr import INFINITE, ONE, ZERO, Expr, Symbol, atom, constant, maximum, minimum
from ttsc.compiler.bounds.numbers import high
from ttsc.compiler.bounds.operations import applied, item, length, why
from ttsc.compiler.bounds.order import key, order
from ttsc.compiler.bounds.prompts import Assumptions, Prompts
from ttsc.compiler.bounds.recurrences import Recurrence, State
from ttsc.compiler.bounds.sources import foreign, measured, tree_node
from ttsc.compiler.bounds.text_sizes import written
from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.rewrite import walk
from ttsc.compiler.values.types import Type
from ttsc.grammar.diagnostics import Diagnostic
from ttsc.grammar.source import Span

DEFAULT_MAX_TOKENS = constant(1024)
"""What a generation without `max_tokens` may take; programs always say (runtime/generation.py)."""
MAX_ROUNDS = constant(10_000)
"""Rounds of one `repeat`, whatever its limit evaluates to (runtime/run.py)."""
PASSES = 20
"""How often a node may be visited on average; beyond that, loops are bounded without looking how values grow."""
LEAST_VISITS = 20_000
NUMBER_WAY_OUT = "bound it: `clamp(x, 1, 8)`, or a record's field with a range: `in 1..8`"
LIST_WAY_OUT = "take the first few: `|> take(8)`, or declare a limit: `list[str, 8]`"


_Change = Callable[[Conversation, Abstract], Conversation]
_Step = Callable[[State], tuple[State, Cost]]


class Interpreter:
    """Walks a program once.

    `foreign_texts`: known sizes of texts that externs return, by symbol; None: they stay symbols. `loops`: "close"
    looks for a closed form, "walk" goes round by round where their number is known, "finite" only tells finite from
    infinite.
    """

    def __init__(
        self,
        program: ir.Program,
        assumptions: Assumptions,
        foreign_texts: Mapping[str, int] | None = None,
        *,
        loops: Literal["close", "walk", "finite"] = "close",
    ) -> None:
        self.problems: dict[tuple[str, Span], Diagnostic] = {}
        self._assumed = assumptions
        self._texts = foreign_texts
        self._mode = loops
        self._signatures = {each.name: each for each in program.externs}
        self._prompts = Prompts(assumptions, one_model=len(program.models) <= 1)
        self._values: dict[str, Abstract] = {}
        self._constants: dict[str, object] = {}
        self._order = order(program) if loops != "finite" else None
        self._rank = 10 * (len(program.parameters) + len(program.stores) + 1)
        self._loops = 0
        self._depth = 0
        self._visited = 0
        self._patience = LEAST_VISITS + PASSES * sum(1 for _ in walk(program.body))

    def run(self, program: ir.Program, given: Mapping[str, Abstract]) -> Cost:
        """The whole program's cost; `given`: sizes of the body's params by value id."""
        self._values = dict(given)
        return self.block(program.body, ())[1]

    def block(self, block: ir.Block, params: Sequence[Abstract]) -> tuple[State, Cost]:
        for param, value in zip(block.params, params, strict=False):
            self._values[param.id] = value
        chains = {} if self._order is None else self._order.chains[id(block)]
        peaks: dict[int, Expr] = {}
        total = NO_COST
        for node in block.nodes:
            self._visited += self._depth > 0
            cost = self.node(node)
            if LIVE in cost.parts:
                chain = chains[key(node)]
                peaks[chain] = maximum(peaks.get(chain, ZERO), cost.parts[LIVE])
            total = total + cost
        if peaks:
            total = Cost({**total.parts, LIVE: sum(peaks.values(), ZERO)})
        return [self._values[value.id] for value in block.yields], total

    def value(self, value: ir.Value | None) -> Abstract:
        return NOTHING if value is None else self._values[value.id]

    def node(self, node: ir.Node) -> Cost:
        match node:
            case ir.Const(result=result, value=value):
                self._values[result.id] = measured(value, self._assumed.count)
                self._constants[result.id] = value
            case ir.Turn():
                args = [self.value(v) for _, v in node.args]
                self._values[node.result.id] = self._prompts.turn(node, self.value(node.parent), args)
            case ir.Pure(result=result, op=op, args=args, attr=attr):
                self._values[result.id] = applied(op, attr, [self.value(a) for a in args], result.type)
            case ir.Force():
                self._values[node.result.id] = self._each(node.source, node.text, self._prompts.forced)
            case ir.Cut():
                self._values[node.result.id] = self._each(node.source, node.at, self._prompts.cut)
            case ir.Draw():
                self._values[node.result.id] = self._draw(node)
            case ir.Select():
                self._values[node.result.id] = self._select(node)
            case ir.Extern():
                return self._extern(node)
            case ir.Generate():
                return self._generate(node)
            case ir.Score():
                return self._score(node)
            case ir.Map():
                return self._map(node)
            case ir.Dag():
                return self._dag(node)
            case ir.Offline(results=results, inputs=inputs, body=body):
                yields, cost = self.block(body, [self.value(v) for v in inputs])
                self._define(results, yields)
                return cost
            case ir.If():
                return self._if(node)
            case ir.Repeat():
                return self._repeat(node)
            case _:
                assert_never(node)
        return NO_COST

    def _define(self, results: Sequence[ir.Value], values: Sequence[Abstract]) -> None:
        for result, value in zip(results, values, strict=True):
            self._values[result.id] = value

    # --- prompts and candidates -------------------------------------------------------------------------------------

    def _each(self, source: ir.Value, by: ir.Value, change: _Change) -> Abstract:
        """A candidate changed by a value, or every one of a list."""
        value = self.value(source)
        if isinstance(value, Conversation):
            return change(value, self.value(by))
        if isinstance(value, Items) and isinstance(value.item, Conversation):
            return replace(value, item=change(value.item, self.value(by)))
        return value

    def _generate(self, node: ir.Generate) -> Cost:
        source = self.value(node.source)
        candidate = source if isinstance(source, Conversation) else item(source)
        if not isinstance(candidate, Conversation):
            self._values[node.result.id] = Items(ZERO, NEVER)
            return NO_COST
        sources = ONE if isinstance(source, Conversation) else self._length(source, node.span)
        count = self._number(self.value(node.count), f"the count of `{node.op}`", node.span)
        limit = dict(node.options).get("max_tokens")
        given = self.value(limit)
        given = item(given) if isinstance(given, Items) else given
        tokens = DEFAULT_MAX_TOKENS if isinstance(given, Nothing) else self._number(given, "`max_tokens`", node.span)
        stop = self._constant(dict(node.options).get("until"))
        number = sources * count
        said = self._prompts.said(candidate, tokens, stop, dropped=node.delimiter == "drop")
        self._values[node.result.id] = Items(number, said)
        prompt = self._prompts.sent(candidate)
        amounts: dict[Kind, Expr] = {"generate": number, "prefill": number * prompt, "decode": number * tokens}
        live = Cost({LIVE: number}) if self._order is not None and number != ZERO else NO_COST
        return live + self._cost(node.model, amounts)

    def _score(self, node: ir.Score) -> Cost:
        source, given = self.value(node.source), self.value(node.given)
        single = Number(INFINITE, None)
        if node.kind == "embed":
            self._values[node.result.id] = Items(INFINITE, single)
            size = written(source).tokens + constant(self._assumed.chat_tokens)
            return self._cost(node.model, {"embed": ONE, "scored": size})
        if not isinstance(source, Conversation):
            self._values[node.result.id] = Items(ZERO, single)
            return NO_COST
        before = self._prompts.sent(source)
        match node.kind:
            case "logprob":
                added = ZERO if isinstance(given, Nothing) else written(given).tokens
                self._values[node.result.id] = Items(added if added != ZERO else self._prompts.carried(source), single)
                return self._cost(node.model, {"score": ONE, "scored": before + added})
            case "choices":
                count = self._length(given, node.span)
                self._values[node.result.id] = Items(count, single)
                each = written(item(given)).tokens
                return self._cost(node.model, {"score": count, "scored": count * (before + each)})
            case "reward":
                steps = ONE if node.given is None else self._prompts.steps(source, self._constant(node.given))
                self._values[node.result.id] = Items(steps, single)
                whole = before + constant(self._assumed.turn_tokens)
                return self._cost(node.model, {"reward": steps, "scored": steps * whole})

    def _constant(self, value: ir.Value | None) -> str:
        """The text that a value is known to be, or ""."""
        known = None if value is None else self._constants.get(value.id)
        return known if isinstance(known, str) else ""

    def _cost(self, role: str, amounts: Mapping[Kind, Expr]) -> Cost:
        return Cost({(kind, role): amount for kind, amount in amounts.items() if amount != ZERO})

    # --- values from outside and selections -------------------------------------------------------------------------

    def _extern(self, node: ir.Extern) -> Cost:
        signature = self._signatures.get(node.name)
        returns = node.result.type if signature is None else signature.returns
        self._values[node.result.id] = foreign(node.name, returns, f"what `{node.name}` returns", self._foreign_text)
        return Cost({("extern", node.name): ONE})

    def _foreign_text(self, path: str) -> Expr:
        name = f"tokens({path})"
        if self._texts is None:
            return atom(Symbol(name, self._rank))
        return constant(self._texts[name]) if name in self._texts else INFINITE

    def _draw(self, node: ir.Draw) -> Abstract:
        args = [self.value(a) for a in node.args]
        source = args[0]
        if node.op == "select":
            candidate = getattr(source, "candidate", NEVER)
            nodes = length(source)
            return Items(minimum(high(args[1]), nodes), tree_node(nodes, candidate))
        if node.op == "resample":
            return self._resampled(node.attr.split()[1], args)
        if node.op == "random":
            return Number(high(source), ZERO, why(source))
        return source

    def _resampled(self, finished: str, args: list[Abstract]) -> Abstract:
        """As many as asked for; frozen ones stay even if they are more, and beside them a reference."""
        source, count = args[0], high(args[2])
        reference = args[4] if len(args) > 4 else NOTHING
        kept = length(source) + (ZERO if isinstance(reference, Nothing) else ONE)
        size = maximum(count, kept) if finished == "freeze" else count
        return Items(size, join(item(source), reference), why(source, args[2]))

    def _select(self, node: ir.Select) -> Abstract:
        over = self.value(node.over)
        match node.op:
            case "vote":
                winner = item(over)
                if isinstance(winner, Text):
                    winner = replace(winner, optional=False)
                return join(winner, self.value(node.otherwise)) if node.otherwise is not None else winner
            case "best":
                return item(over)
            case "keep" | "stop_first" | "leading":
                count = high(self.value(node.count))
                size = minimum(length(over), count)
                return Items(size, item(over), why(over) if size.infinite else None)
            case "any" | "all":
                return PLAIN

    # --- regions ----------------------------------------------------------------------------------------------------

    def _map(self, node: ir.Map) -> Cost:
        over = self.value(node.over)
        (value,), cost = self.block(node.body, [item(over)])
        count = self._length(over, node.span) if cost.requests else length(over)
        inner = item(over) if node.mode == "filter" else value
        self._values[node.result.id] = Items(count, inner, why(over) if count.infinite else None)
        return cost.times(count)

    def _if(self, node: ir.If) -> Cost:
        then, cost = self.block(node.then, ())
        otherwise, other = self.block(node.otherwise, ())
        self._define(node.results, [join(a, b) for a, b in zip(then, otherwise, strict=True)])
        return larger(cost, other)

    def _repeat(self, node: ir.Repeat) -> Cost:
        def step(state: State) -> tuple[State, Cost]:
            yields, cost = self.block(node.body, state)
            return yields[:-1], cost

        limit = self.value(node.limit)
        most = high(limit)
        rounds = MAX_ROUNDS if most.infinite or (most.number or 0) > (MAX_ROUNDS.number or 0) else most
        exclusive = self._order is not None and node.id in self._order.exclusive
        results, cost = self._recur(
            step, [self.value(v) for v in node.init], [v.type for v in node.init], rounds, exclusive=exclusive
        )
        if high(limit).infinite and cost.requests:
            self._number(limit, "the number of rounds", node.span)
        self._define(node.results, results)
        return cost

    def _dag(self, node: ir.Dag) -> Cost:
        """As a loop: in the worst order each element needs all those before it."""
        over, needs = self.value(node.over), item(self.value(node.needs))

        def step(state: State) -> tuple[State, Cost]:
            return self.block(node.body, [item(over), Items(length(needs), state[0])])

        (value,), cost = self._recur(step, [NEVER], [node.body.yields[0].type], length(over), exclusive=False)
        if cost.requests:
            self._length(over, node.span)
        self._values[node.result.id] = Items(length(over), value, why(over))
        return cost

    def _recur(
        self, step: _Step, start: State, types: Sequence[Type], rounds: Expr, *, exclusive: bool
    ) -> tuple[State, Cost]:
        self._loops += 1
        self._depth += 1
        loop = Recurrence(step, self._loops, exclusive=exclusive)
        try:
            known = rounds.number
            if known == 0:
                step(start)
                return start, NO_COST
            if self._visited > 2 * self._patience:
                return loop.coarse([foreign("", t, "a value of a loop", lambda _: INFINITE) for t in types], rounds)
            if self._mode == "finite":
                return loop.settled(start)
            if known is not None and self._mode == "walk":
                walked = loop.walked(start, known, lambda: self._visited > self._patience)
                if walked is not None:
                    return walked
            state, cost = loop.closed(start, rounds)
            if loop.unbounded(state):
                step(state)  # says what has no bound
            return state, cost
        finally:
            self._depth -= 1

    # --- what has no bound ------------------------------------------------------------------------------------------

    def _length(self, value: Abstract, span: Span) -> Expr:
        """The length of a list that requests are made for. Without a bound it is an error."""
        size = length(value)
        if size.infinite:
            self._report("E0420", "the number of requests here has no bound", why(value), span, LIST_WAY_OUT, "items")
            return ONE
        return size

    def _number(self, value: Abstract, what: str, span: Span) -> Expr:
        """A number that requests or tokens depend on."""
        size = high(value)
        if size.infinite:
            self._report("E0421", f"{what} has no bound", why(value), span, NUMBER_WAY_OUT, "")
            return ONE
        return size

    def _report(self, code: str, message: str, unknown: Unknown | None, span: Span, way_out: str, unit: str) -> None:
        cause = unknown or Unknown("a value that grows from round to round")
        label = f"{cause.what} may have any number of {unit}" if unit else f"{cause.what} may be any number"
        problem = Diagnostic(code, message, span, label, cause.way_out or way_out)
        self.problems.setdefault((code, span), problem)
