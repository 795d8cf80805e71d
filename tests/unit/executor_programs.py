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
    Force,
    Generate,
    If,
    Majority,
    Map,
    Node,
    Parameter,
    Program,
    Pure,
    Repeat,
    Rule,
    Select,
    Turn,
    Value,
)
from ttsc.compiler.plan.nodes import Level, Plan, Request
from ttsc.compiler.values.types import CANDIDATE, CONTEXT, INT, POOL, STR, ListOf, Type
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
        result = node.results[0] if isinstance(node, If | Repeat) else node.result
        return result

    def const(self, value: Any, kind: Type = STR) -> Value:
        return self.add(Const(self.value("const", kind), value))

    def user(self, text: str, parent: Value | None = None, **args: Value) -> Value:
        result = self.value("turn", CONTEXT)
        return self.add(Turn(result, parent, "user", text, tuple(args.items()), literal=not args))

    def add_turn(self, role: Any, text: str, parent: Value | None = None) -> Value:
        return self.add(Turn(self.value("turn", CONTEXT), parent, role, text, literal=True))

    def generate(self, source: Value, count: int = 1, op: Any = "sample", **options: Any) -> Value:
        extra = {k: options.pop(k) for k in ("delimiter", "finished", "stream", "share_prefix") if k in options}
        model = options.pop("model", "default")
        given = tuple((name, v if isinstance(v, Value) else self.const(v)) for name, v in options.items())
        wanted = self.const(count, INT)
        return self.add(Generate(self.value("gen", POOL), op, source, wanted, given, model, **extra))

    def force(self, source: Value, text: str) -> Value:
        return self.add(Force(self.value("force", source.type), source, self.const(text)))

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

    def program(self, result: Value, parameters: Sequence[Parameter] = (), externs: Any = ()) -> Program:
        params = tuple(p.value for p in parameters)
        return Program("test", "", tuple(parameters), (), externs, Block(params, tuple(self.nodes), (result,)))


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
        for node in generates(program.body)
    )
    return Plan(program, level, (), requests, ())


def generates(block: Block) -> list[Generate]:
    found: list[Generate] = []
    for node in block.nodes:
        match node:
            case Generate():
                found.append(node)
            case Map(body=body) | Repeat(body=body):
                found += generates(body)
            case If(then=then, otherwise=otherwise):
                found += generates(then) + generates(otherwise)
    return found


async def within(work: Coroutine[Any, Any, RunResult], seconds: float = 20.0) -> RunResult:
    """The same task, ended if it takes too long."""
    async with asyncio.timeout(seconds):
        return await work


def run(
    program: Program,
    engine: ScriptedEngine,
    arguments: Mapping[str, object] | None = None,
    *,
    level: Level = 2,
    seed: int = 0,
    events: list[Event] | None = None,
    externs: Mapping[str, Callable[..., object]] | None = None,
    session_options: Mapping[str, Any] | None = None,
    **changes: Any,
) -> RunResult:
    async def main() -> RunResult:
        session = Session({"default": engine}, **(session_options or {}))
        result = await run_plan(
            plan(program, level, **changes),
            arguments or {},
            session,
            externs,
            seed=seed,
            emit=None if events is None else events.append,
        )
        await session.close()
        assert engine.running == 0
        await engine.close()
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
