"""A reference interpreter of the IR: every node in order, no engine, no concurrency, nothing decided early.

Its model's answers depend on the request alone and, unless greedy, on the seed: the node's id and the way to it. Inside
an offline region the way begins with the region's key and its inputs, and what was computed once is not computed again.
A token is a character.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.nodes import Block, Node, Program
from ttsc.compiler.values.abstain import Abstain
from ttsc.compiler.values.dependencies import problem, valid_needs
from ttsc.compiler.values.draws import draw
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
    scores: tuple[float, ...] = ()
    answer: str | None = None
    temperature: float = 1.0


class Failed(Exception):
    """An element, or the run, has no result."""


Path = tuple[object, ...]
"""Rounds and elements around a node."""


class Interpreter:
    """Runs every node in order, waits for everything, and logs the calls of externs outside of offline regions."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self._kept: dict[object, list[object]] = {}

    def run(self, program: Program, arguments: Mapping[str, object], stores: Mapping[str, object]) -> object:
        """All that the program yields: its result, what stores hold at the end, and whether the world is done."""
        values = {p.value.id: arguments.get(p.name, p.default) for p in program.parameters}
        values.update((store.value.id, stores[store.name]) for store in program.stores)
        try:
            return self.block(program.body, values, ())
        except Failed:
            return Failed

    def block(self, block: Block, values: dict[str, object], path: Path) -> list[object]:
        for node in block.nodes:
            try:
                self.node(node, values, path)
            except (EvaluationFailed, TemplateFailed) as failure:
                raise Failed from failure
        return [values[v.id] for v in block.yields]

    def node(self, node: Node, values: dict[str, object], path: Path) -> None:
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
                text = _said(values[node.text.id])
                values[node.result.id] = _each(values[node.source.id], lambda said: _continued(said, said.text + text))
            case ir.Cut():
                at = values[node.at.id]
                values[node.result.id] = _each(values[node.source.id], lambda said: _continued(said, _cut(said, at)))
            case ir.Score():
                given = values[node.given.id] if node.given else None
                values[node.result.id] = _scores(node, values[node.source.id], given)
            case ir.Draw():
                numbers = random.Random(_hash((node.result.id, path)))
                values[node.result.id] = draw(node.op, node.attr, [values[v.id] for v in node.args], numbers)
            case ir.Extern():
                args = tuple(values[v.id] for v in node.args)
                self.calls.append((node.name, *args))
                report = {"passed": _hash(args) % 2 == 0, "output": str(_hash(args) % 7)}
                values[node.result.id] = report if node.after is None else str(_hash((len(self.calls), args)) % 7)
            case ir.Pure():
                values[node.result.id] = evaluate(node.op, node.attr, [values[v.id] for v in node.args])
            case ir.Map():
                values[node.result.id] = self.map(node, values, path)
            case ir.Dag():
                values[node.result.id] = self.dag(node, values, path)
            case ir.Offline():
                for result, value in zip(node.results, self.offline(node, values), strict=True):
                    values[result.id] = value
            case ir.Select():
                values[node.result.id] = _select(node, values, path)
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

    def map(self, node: ir.Map, values: dict[str, object], path: Path) -> tuple[object, ...]:
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

    def dag(self, node: ir.Dag, values: dict[str, object], path: Path) -> tuple[object, ...]:
        over: Any = values[node.over.id]
        needs: Any = values[node.needs.id]
        if len(over) != len(needs) or node.invalid == "fail" and problem(needs) is not None:
            raise Failed
        edges = valid_needs(needs)
        done: dict[int, object] = {}

        def value(i: int) -> object:
            if i not in done:
                found = tuple(value(needed) for needed in edges[i])
                element, others = node.body.params
                try:
                    (done[i],) = self.block(node.body, {**values, element.id: over[i], others.id: found}, (*path, i))
                except Failed:
                    done[i] = Failed
            if done[i] is Failed:
                raise Failed
            return done[i]

        for i in range(len(over)):
            try:
                value(i)
            except Failed:
                done[i] = Failed
        return tuple(done[i] for i in range(len(over)) if done[i] is not Failed)

    def offline(self, node: ir.Offline, values: dict[str, object]) -> list[object]:
        inputs = [values[v.id] for v in node.inputs]
        key = (node.key, repr(inputs))
        if key not in self._kept:
            params = dict(zip((p.id for p in node.body.params), inputs, strict=True))
            calls, self.calls = self.calls, []
            try:
                self._kept[key] = self.block(node.body, params, key)
            finally:
                self.calls = calls
        return self._kept[key]

    def generate(self, node: ir.Generate, values: dict[str, object], path: Path) -> tuple[Said, ...]:
        options = {name: values[v.id] for name, v in node.options}
        source = values[node.source.id]
        out: list[Said] = []
        for said in source if isinstance(source, tuple) else (source,):
            for i in range(values[node.count.id]):  # type: ignore[arg-type]
                asked = {name: _of_grid(value, i) for name, value in options.items()}
                greedy = asked.get("temperature") == 0
                seed = () if greedy else (node.result.id, path, len(out))
                number = _hash((_bare(said), sorted(asked.items()), node.model, node.schema, seed))
                text = f"{said.text}{number % 3} \\boxed{{{number // 3 % 3}}}"
                finish = ("eos", "length")[number // 9 % 2]
                said_next = replace(_bare(said), text=text, tokens=said.tokens + number % 5, finish=finish)
                ended = {"finished": finish == "eos", "truncated": finish == "length"}
                out.append(replace(said_next, model=node.model, **ended))
        return tuple(out)


def _bare(said: Said) -> Said:
    """What an engine is told of a candidate: nothing that the program wrote on it."""
    return replace(said, score=0.0, scores=(), answer=None)


def _of_grid(option: object, i: int) -> object:
    return option[i % len(option)] if isinstance(option, tuple) and option else option


def _each(source: object, change: Callable[[Said], Said]) -> object:
    assert isinstance(source, Said | tuple)
    return tuple(map(change, source)) if isinstance(source, tuple) else change(source)


def _continued(said: Said, text: str) -> Said:
    return replace(said, text=text, tokens=len(text), finish="", finished=False, truncated=False)


def _said(text: object) -> str:
    return "".join(map(str, text)) if isinstance(text, tuple) else str(text)


def _cut(said: Said, at: object) -> str:
    if isinstance(at, str):
        return said.text.split(at)[0] if at else said.text
    if not isinstance(at, int) or at < 0:
        raise Failed
    return said.text[:at]


def _scores(node: ir.Score, source: object, given: object) -> tuple[float, ...]:
    count = len(given) if isinstance(given, tuple) else 3
    asked = _bare(source) if isinstance(source, Said) else source
    return tuple(_hash((node.kind, asked, given, node.model, i)) % 8 / 8 for i in range(count))


def _conversation(said: object) -> tuple[str, ...]:
    assert isinstance(said, Said)
    return (*said.turns, f"assistant: {said.text}") if said.model or said.text else said.turns


def _hash(value: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(value).encode()).digest()[:6], "big")


def _select(node: ir.Select, values: dict[str, object], path: Path) -> object:
    over = values[node.over.id]
    assert isinstance(over, tuple)

    def rank(i: int) -> tuple[int, int]:
        """Who wins a tie: the lowest."""
        ties = getattr(node.rule, "ties", "first")
        return (_hash((node.result.id, path, i)) if ties == "random" else -i if ties == "last" else i), i

    match node.op:
        case "any":
            return any(over)
        case "all":
            return all(over)
        case "vote":
            votes = [(i, v) for i, v in enumerate(over) if v is not None and not isinstance(v, Abstain)]
            if not votes:
                if node.otherwise is None:
                    raise Failed
                return values[node.otherwise.id]
            if isinstance(node.rule, ir.Sequential):
                found = _stopped(node.rule, [answer for _, answer in votes])
                if found is not None:
                    return found
            count = {answer: sum(answer == other for _, other in votes) for _, answer in votes}
            return min(votes, key=lambda vote: (-count[vote[1]], rank(vote[0])))[1]
        case "leading":
            return over[: values[node.count.id]]  # type: ignore[index, misc]
        case "stop_first":
            order = sorted((c for c in over if not c.truncated), key=lambda c: c.tokens)
            return tuple(order[: values[node.count.id]])  # type: ignore[index, misc]
    keys = values[node.keys.id]  # type: ignore[union-attr]
    assert isinstance(keys, tuple)

    def place(i: int) -> tuple[tuple[float, ...], tuple[int, int]]:
        key = keys[i] if isinstance(keys[i], tuple) else (keys[i],)
        return tuple(-each for each in key), rank(i)

    order = sorted(range(min(len(over), len(keys))), key=place)
    if node.op == "keep":
        return tuple(over[i] for i in order[: values[node.count.id]])  # type: ignore[union-attr, misc]
    if not order:
        raise Failed
    return over[order[0]]


def _stopped(rule: ir.Sequential, votes: list[object]) -> object:
    """The answer of the shortest prefix that is sure enough, by the definitions in `rules.py`; None if none is."""
    if rule.stop == "esc":
        windows = [votes[i : i + rule.window] for i in range(0, len(votes) - rule.window + 1, rule.window)]
        return next((window[0] for window in windows if len(set(window)) == 1), None)
    for end in range(1, len(votes) + 1):
        counts = sorted(((votes[:end].count(each), each) for each in set(votes[:end])), key=lambda c: -c[0])
        first, second = counts[0][0], counts[1][0] if len(counts) > 1 else 0
        if rule.stop == "sprt":
            sure = (rule.share / (1 - rule.share)) ** (first - second) >= rule.confidence / (1 - rule.confidence)
        else:
            throws = first + second + 1
            sure = sum(math.comb(throws, k) for k in range(first + 1)) / 2**throws >= rule.confidence
        if sure:
            return counts[0][1]
    return None
