"""A reference interpreter of the IR: every node in order, no engine, no concurrency, nothing decided early.

Its model's answers depend on the request alone and, unless greedy, on the seed: the node's id and the way to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.nodes import Block, Node, Program
from ttsc.compiler.values.pure import EvaluationFailed, evaluate
from ttsc.compiler.values.templates import TemplateFailed, render


@dataclass(frozen=True)
class Said:
    """A candidate or a context: the conversation so far, and what a model (or `force`) said after it."""

    turns: tuple[str, ...]
    text: str = ""
    tokens: int = 0
    finish: str = "eos"
    finished: bool = True
    truncated: bool = False
    score: float = 0.0
    model: str = ""


class Failed(Exception):
    """An element, or the run, has no result."""


class Interpreter:
    """Runs every node in order, waits for everything, and logs the calls of externs."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def run(self, program: Program, arguments: Mapping[str, object]) -> object:
        values = {p.value.id: arguments.get(p.name, p.default) for p in program.parameters}
        try:
            return self.block(program.body, values, ())[0]
        except Failed:
            return Failed

    def block(self, block: Block, values: dict[str, object], path: tuple[int, ...]) -> list[object]:
        for node in block.nodes:
            try:
                self.node(node, values, path)
            except (EvaluationFailed, TemplateFailed) as failure:
                raise Failed from failure
        return [values[v.id] for v in block.yields]

    def node(self, node: Node, values: dict[str, object], path: tuple[int, ...]) -> None:
        match node:
            case ir.Const():
                values[node.result.id] = node.value
            case ir.Turn():
                args = {name: values[v.id] for name, v in node.args}
                text = node.template if node.literal else render(node.template, args)
                before = _conversation(values[node.parent.id]) if node.parent else ()
                values[node.result.id] = Said((*before, f"{node.role}: {text}"))
            case ir.Generate():
                values[node.result.id] = self.generate(node, values, path)
            case ir.Force():
                source = values[node.source.id]
                text = str(values[node.text.id])
                force: Callable[[Said], Said] = lambda said: replace(said, text=said.text + text)  # noqa: E731
                values[node.result.id] = tuple(map(force, source)) if isinstance(source, tuple) else force(source)
            case ir.Extern():
                args = tuple(values[v.id] for v in node.args)
                self.calls.append((node.name, *args))
                values[node.result.id] = {"passed": _hash(args) % 2 == 0, "output": str(_hash(args) % 7)}
            case ir.Pure():
                values[node.result.id] = evaluate(node.op, node.attr, [values[v.id] for v in node.args])
            case ir.Map():
                values[node.result.id] = self.map(node, values, path)
            case ir.Select():
                values[node.result.id] = _select(node, values)
            case ir.If():
                chosen = node.then if values[node.condition.id] else node.otherwise
                for result, value in zip(node.results, self.block(chosen, dict(values), path), strict=True):
                    values[result.id] = value
            case ir.Repeat():
                carried = [values[v.id] for v in node.init]
                for i in range(min(3, values[node.limit.id])):  # type: ignore[call-overload]
                    inner = dict(values) | dict(zip((p.id for p in node.body.params), carried, strict=True))
                    *carried, stop = self.block(node.body, inner, (*path, i))
                    if stop:
                        break
                for result, value in zip(node.results, carried, strict=True):
                    values[result.id] = value

    def map(self, node: ir.Map, values: dict[str, object], path: tuple[int, ...]) -> tuple[object, ...]:
        out: list[object] = []
        for i, element in enumerate(values[node.over.id]):  # type: ignore[arg-type]
            try:
                (value,) = self.block(node.body, {**values, node.body.params[0].id: element}, (*path, i))
            except Failed:
                continue
            if node.mode == "map":
                out.append(value)
            elif value:
                out.append(element)
        return tuple(out)

    def generate(self, node: ir.Generate, values: dict[str, object], path: tuple[int, ...]) -> tuple[Said, ...]:
        options = {name: values[v.id] for name, v in node.options}
        source = values[node.source.id]
        out: list[Said] = []
        for said in source if isinstance(source, tuple) else (source,):
            for _ in range(values[node.count.id]):  # type: ignore[arg-type]
                greedy = options.get("temperature") == 0
                seed = () if greedy else (node.result.id, path, len(out))
                number = _hash((said, sorted(options.items()), node.model, seed))
                text = f"{said.text}{number % 3} \\boxed{{{number // 3 % 3}}}"
                finish = ("eos", "length")[number // 9 % 2]
                out.append(replace(said, text=text, tokens=said.tokens + number % 5, finish=finish, model=node.model,
                                   finished=finish == "eos", truncated=finish == "length"))  # fmt: skip
        return tuple(out)


def _conversation(said: object) -> tuple[str, ...]:
    assert isinstance(said, Said)
    return (*said.turns, f"assistant: {said.text}") if said.model or said.text else said.turns


def _hash(value: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(value).encode()).digest()[:6], "big")


def _select(node: ir.Select, values: dict[str, object]) -> object:
    over = values[node.over.id]
    assert isinstance(over, tuple)
    match node.op:
        case "any":
            return any(over)
        case "all":
            return all(over)
        case "vote":
            votes = [v for v in over if v is not None]
            if not votes:
                if node.otherwise is None:
                    raise Failed
                return values[node.otherwise.id]
            return max(votes, key=lambda v: (votes.count(v), -votes.index(v)))
        case "stop_first":
            order = sorted((c for c in over if not c.truncated), key=lambda c: c.tokens)
            return tuple(order[: values[node.count.id]])  # type: ignore[index, misc]
    keys = values[node.keys.id]  # type: ignore[union-attr]
    assert isinstance(keys, tuple)
    order = sorted(range(min(len(over), len(keys))), key=lambda i: -keys[i])
    if node.op == "keep":
        return tuple(over[i] for i in order[: values[node.count.id]])  # type: ignore[union-attr, misc]
    if not order:
        raise Failed
    return over[order[0]]
