"""Builds small IR programs and runs them on the scripted stub engine, for the tests of the executor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from ttsc.backends.protocol import Sampling
from ttsc.backends.scripted import ScriptedEngine
from ttsc.compiler.ir.nodes import (
    Block,
    Const,
    Cut,
    Dag,
    Draw,
    Extern,
    Force,
    Generate,
    If,
    Limit,
    Majority,
    Map,
    ModelRole,
    Node,
    Offline,
    Parameter,
    Program,
    Pure,
    Repeat,
    Rule,
    Score,
    Select,
    StoreSlot,
    Turn,
    Value,
)
from ttsc.compiler.ir.offline import offline
from ttsc.compiler.ir.rewrite import walk
from ttsc.compiler.plan.nodes import Level, Plan, Request
from ttsc.compiler.values.types import CANDIDATE, CONTEXT, FLOAT, INT, POOL, STR, ListOf, Type
from ttsc.runtime.events import Event, RunResult
from ttsc.runtime.executor import run_plan
from ttsc.runtime.session import Session


class Builder:
    """Builds a block of IR; each method adds a node and returns its value."""

    def __init__(self, prefix: str = "") -> None:
        self.nodes: list[Node] = []
        self.prefix = prefix
        self.count = 0

    def name(self, what: str) -> str:
        self.count += 1
        return f"%{self.prefix}{what}{self.count}"

    def value(self, what: str, kind: Type) -> Value:
        return Value(self.name(what), kind)

    def add(self, node: Node) -> Value:
        self.nodes.append(node)
        result = node.results[0] if isinstance(node, If | Repeat | Offline) else node.result
        return result

    def const(self, value: Any, kind: Type = STR) -> Value:
        return self.add(Const(self.value("const", kind), value))

    def user(self, text: str, parent: Value | None = None, **args: Value) -> Value:
        result = self.value("turn", CONTEXT)
        return self.add(Turn(result, parent, "user", text, tuple(args.items()), literal=not args))

    def add_turn(self, role: Any, text: str, parent: Value | None = None) -> Value:
        return self.add(Turn(self.value("turn", CONTEXT), parent, role, text, literal=True))

    def generate(self, source: Value, count: int = 1, op: Any = "sample", **options: Any) -> Value:
        named = ("delimiter", "finished", "stream", "share_prefix", "schema", "logprobs")
        extra = {k: options.pop(k) for k in named if k in options}
        model = options.pop("model", "default")
        given = tuple((name, v if isinstance(v, Value) else self.const(v)) for name, v in options.items())
        wanted = self.const(count, INT)
        return self.add(Generate(self.value("gen", POOL), op, source, wanted, given, model, **extra))

    def force(self, source: Value, text: str | tuple[int, ...]) -> Value:
        return self.add(Force(self.value("force", source.type), source, self.const(text)))

    def cut(self, source: Value, at: int | str) -> Value:
        return self.add(Cut(self.value("cut", source.type), source, self.const(at)))

    def score(self, kind: Any, source: Value, given: Any = None, model: str = "default") -> Value:
        span = None if given is None else given if isinstance(given, Value) else self.const(given)
        return self.add(Score(self.value(kind, ListOf(FLOAT)), kind, source, span, model))

    def draw(self, op: Any, *args: Value, attr: str = "", kind: Type = POOL) -> Value:
        return self.add(Draw(self.value(op, kind), op, args, attr))

    def extern(self, name: str, *args: Value, after: Value | None = None, kind: Type = STR) -> Value:
        return self.add(Extern(self.value(name, kind), name, args, after))

    def dag(
        self, over: Value, needs: Value, body: Callable[[Builder, Value, Value], Value], kind: Type = STR, **more: Any
    ) -> Value:
        inner = Builder(f"{self.prefix}d{len(self.nodes)}.")
        params = (inner.value("x", STR), inner.value("found", ListOf(kind)))
        result = body(inner, *params)
        block = Block(params, tuple(inner.nodes), (result,))
        return self.add(Dag(self.value("dag", ListOf(kind)), over, needs, block, **more))

    def offline(self, body: Callable[[Builder], Value], region: str = "notes") -> Value:
        inner = Builder(f"{self.prefix}o{len(self.nodes)}.")
        result = body(inner)
        return self.add(offline((self.value("offline", result.type),), region, inner.nodes, (result,)))

    def pure(self, op: str, *args: Value, attr: str = "", kind: Type = STR) -> Value:
        return self.add(Pure(self.value(op, kind), op, args, attr))

    def map(self, over: Value, body: Callable[[Builder, Value], Value], mode: Any = "map", kind: Type = STR) -> Value:
        inner = Builder(f"{self.prefix}{len(self.nodes)}.")
        param = inner.value("x", CANDIDATE)
        result = body(inner, param)
        return self.add(
            Map(self.value("map", ListOf(kind)), over, Block((param,), tuple(inner.nodes), (result,)), mode)
        )

    def select(self, op: Any, over: Value, rule: Rule, kind: Type = STR, **parts: Any) -> Value:
        return self.add(Select(self.value(op, kind), op, over, rule, **parts))

    def vote(self, over: Value, early: bool = True, **parts: Any) -> Value:
        rule = parts.pop("rule", Majority())
        return self.select("vote", over, rule, early=early, **parts)

    def texts(self, over: Value) -> Value:
        return self.map(over, lambda b, x: b.pure("field", x, attr="text"))

    def one(self, over: Value) -> Value:
        return self.pure("one", over, kind=CANDIDATE)

    def text(self, candidate: Value) -> Value:
        return self.pure("field", candidate, attr="text")

    def repeat(
        self,
        limit: Value,
        init: Sequence[Value],
        body: Callable[[Builder, Sequence[Value]], tuple[Sequence[Value], Value]],
    ) -> tuple[Value, ...]:
        inner = Builder(f"{self.prefix}r{len(self.nodes)}.")
        params = tuple(inner.value("p", v.type) for v in init)
        carried, stop = body(inner, params)
        results = tuple(self.value("loop", v.type) for v in init)
        name = self.name("repeat")
        self.add(Repeat(results, name, limit, tuple(init), Block(params, tuple(inner.nodes), (*carried, stop))))
        return results

    def program(
        self,
        result: Value,
        parameters: Sequence[Parameter] = (),
        externs: Any = (),
        *,
        stores: Sequence[tuple[StoreSlot, Value]] = (),
        yields: Sequence[Value] = (),
        budget: Sequence[Limit] = (),
    ) -> Program:
        """`stores`: each with the value it has at the end. `yields`: what else the run waits for."""
        params = (*(p.value for p in parameters), *(slot.value for slot, _ in stores))
        block = Block(params, tuple(self.nodes), (result, *(end for _, end in stores), *yields))
        roles = dict.fromkeys(node.model for node in walk(block) if isinstance(node, Generate | Score))
        slots = tuple(slot for slot, _ in stores)
        models = tuple(ModelRole(role) for role in roles)
        return Program("test", "", tuple(parameters), models, externs, block, slots, tuple(budget))


def plan(program: Program, level: Level = 2, **changes: Any) -> Plan:
    requests = tuple(
        Request(
            node.result.id,
            node.op,
            node.model,
            (),
            (),
            None,
            node.stream,
            changes.get("share_prefix", node.share_prefix),
            changes.get("abortable", level > 0),
        )
        for node in walk(program.body)
        if isinstance(node, Generate)
    )
    return Plan(program, level, ("share_prefixes",) if level > 0 else (), requests, ())


async def within(work: Coroutine[Any, Any, RunResult], seconds: float = 20.0) -> RunResult:
    """The same task, ended if it takes too long."""
    async with asyncio.timeout(seconds):
        return await work


def run(
    program: Program,
    engine: ScriptedEngine | Mapping[str, ScriptedEngine],
    arguments: Mapping[str, object] | None = None,
    *,
    level: Level = 2,
    seed: int = 0,
    events: list[Event] | None = None,
    externs: Mapping[str, Callable[..., object]] | None = None,
    session_options: Mapping[str, Any] | None = None,
    stores: Mapping[str, Sequence[object]] | None = None,
    budget: Sequence[Limit] | None = None,
    **changes: Any,
) -> RunResult:
    engines = {"default": engine} if isinstance(engine, ScriptedEngine) else engine

    async def main() -> RunResult:
        session = Session(engines, **(session_options or {}))
        result = await run_plan(
            plan(program, level, **changes),
            arguments or {},
            session,
            externs,
            seed=seed,
            emit=None if events is None else events.append,
            stores=stores,
            budget=budget,
        )
        await session.close()
        for each in engines.values():
            assert each.running == 0
            await each.close()
        left = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        assert not left, left
        return result

    return asyncio.run(within(main()))


def lengths(*answers: str) -> Callable[[str, int, Sampling], str]:
    """The k-th different request says the k-th answer, and from then on the last one."""
    seen: dict[tuple[str, int], int] = {}

    def reply(prompt: str, seed: int, sampling: Sampling) -> str:
        return answers[min(seen.setdefault((prompt, seed), len(seen)), len(answers) - 1)]

    return reply


def voices(*answers: str) -> Callable[[str, int, Sampling], str]:
    """The k-th request (in order of arrival) says the k-th answer."""
    seen: dict[tuple[str, int], int] = {}

    def reply(prompt: str, seed: int, sampling: Sampling) -> str:
        return answers[seen.setdefault((prompt, seed), len(seen)) % len(answers)]

    return reply
