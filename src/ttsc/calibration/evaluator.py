"""Evaluates a program's IR after a run, with what is known of it: the part that the two ways to look at it share.

A value is what the executor had (`runtime/values.py`), UNKNOWN where nothing tells it, or FAILED. A list may have
places whose element is missing (ABSENT), so that an element's place stays what it was when the requests were made. An
operation on something unknown is unknown; nothing here asks an engine or a host function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum
from typing import assert_never

from ttsc.backends.protocol import Turn as ChatTurn
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
    Map,
    Node,
    Offline,
    Pure,
    Repeat,
    Score,
    Select,
    Turn,
    Value,
)
from ttsc.compiler.ir.rewrite import results
from ttsc.compiler.values.pure import EvaluationFailed, evaluate
from ttsc.compiler.values.templates import TemplateFailed, render
from ttsc.runtime.values import CandidateValue, ContextValue, add_turn, plain

Path = tuple[int | str, ...]
Env = dict[str, object]


class Hole(Enum):
    """UNKNOWN: a value that nothing tells. FAILED: one that is not there because something failed. ABSENT: an empty
    place of a list.
    """

    UNKNOWN = "unknown"
    FAILED = "failed"
    ABSENT = "absent"


UNKNOWN, FAILED, ABSENT = Hole.UNKNOWN, Hole.FAILED, Hole.ABSENT

_WRITING = ("with_score", "with_scores", "with_answer")
_STRUCTURAL = frozenset(
    "length item list one last flatten take drop reverse copies pair zip cross enumerate record field or_else".split()
)
"""Operations that look at places and not into elements, so that unknown elements don't matter."""
_ORDERING = frozenset({"distinct", "sort", "maximal", "prune"})
"""Operations that order or thin out a list by keys: with unknown keys it stays as it is."""


class Evaluator:
    """The nodes that are evaluated alike in both ways. Those that are not raise `NotImplementedError` here."""

    def block(self, block: Block, env: Env, path: Path) -> tuple[object, ...]:
        """The yields. `env`, by value id, gets what the nodes define."""
        for node in block.nodes:
            self.node(node, env, path)
        return tuple(env.get(value.id, UNKNOWN) for value in block.yields)

    def node(self, node: Node, env: Env, path: Path) -> None:
        match node:
            case If() | Repeat() | Offline():
                values = self.region(node, env, path)
                env.update(zip((each.id for each in results(node)), values, strict=True))
            case _:
                env[node.result.id] = self.value(node, env, path)

    def value(
        self,
        node: Const | Turn | Generate | Force | Cut | Score | Draw | Extern | Pure | Map | Dag | Select,
        env: Env,
        path: Path,
    ) -> object:
        match node:
            case Const():
                return node.value
            case Turn():
                return self.turn(node, env)
            case Force():
                return _over(env.get(node.source.id, UNKNOWN), lambda each: _forced(each, got(env, node.text)))
            case Cut():
                return _over(env.get(node.source.id, UNKNOWN), lambda each: _cut(each, got(env, node.at)))
            case Pure():
                return applied(node, [got(env, each) for each in node.args])
            case Map():
                return self.map(node, env, path)
            case Generate():
                return self.generate(node, env, path)
            case Score():
                return self.score(node, env, path)
            case Extern():
                return self.extern(node, env, path)
            case Draw():
                return self.draw(node, env, path)
            case Select():
                return self.select(node, env, path)
            case Dag():
                return self.dag(node, env, path)
            case _:
                assert_never(node)

    def turn(self, node: Turn, env: Env) -> object:
        parent = got(env, node.parent) if node.parent is not None else None
        args = {name: got(env, value) for name, value in node.args}
        if not (parent is None or isinstance(parent, CandidateValue | ContextValue)):
            return parent if isinstance(parent, Hole) else UNKNOWN
        if any(unknown_in(each) for each in args.values()):
            return add_turn(parent, ChatTurn(node.role, ""))
        try:
            text = node.template if node.literal else render(node.template, {k: plain(v) for k, v in args.items()})
        except TemplateFailed:
            return FAILED
        return add_turn(parent, ChatTurn(node.role, text))

    def map(self, node: Map, env: Env, path: Path) -> object:
        over = got(env, node.over)
        if not isinstance(over, tuple):
            return over if over is FAILED else UNKNOWN
        found: list[object] = []
        for place, element in enumerate(over):
            if element is ABSENT:
                found.append(ABSENT)
                continue
            inner = {**env, node.body.params[0].id: element}
            (value,) = self.block(node.body, inner, (*path, place))
            if value is FAILED or value is ABSENT:
                found.append(ABSENT)
            elif node.mode == "map":
                found.append(value)
            else:
                found.append(ABSENT if value is False else element)
        return tuple(found)

    def dag(self, node: Dag, env: Env, path: Path) -> object:
        raise NotImplementedError

    def region(self, node: If | Repeat | Offline, env: Env, path: Path) -> Sequence[object]:
        raise NotImplementedError

    def generate(self, node: Generate, env: Env, path: Path) -> object:
        raise NotImplementedError

    def score(self, node: Score, env: Env, path: Path) -> object:
        raise NotImplementedError

    def extern(self, node: Extern, env: Env, path: Path) -> object:
        raise NotImplementedError

    def draw(self, node: Draw, env: Env, path: Path) -> object:
        raise NotImplementedError

    def select(self, node: Select, env: Env, path: Path) -> object:
        raise NotImplementedError


def got(env: Env, value: Value) -> object:
    return env.get(value.id, UNKNOWN)


def present(values: tuple[object, ...]) -> tuple[object, ...]:
    """The elements that are there."""
    return tuple(each for each in values if each is not ABSENT)


def applied(node: Pure, args: list[object]) -> object:
    """The value of a pure operation."""
    if any(each is FAILED for each in args):
        return FAILED
    if node.op in _WRITING:
        if isinstance(args[0], Hole) or any(unknown_in(each) for each in args[1:]):
            return args[0]
    elif node.op == "add" and all(isinstance(each, tuple) for each in args):
        return tuple(each for part in args if isinstance(part, tuple) for each in part)
    elif node.op in _ORDERING and args[0] is not UNKNOWN and any(unknown_in(each) for each in args[1:]):
        return args[0]
    elif any(each is UNKNOWN for each in args) or (
        node.op not in _STRUCTURAL and any(unknown_in(each) for each in args)
    ):
        return UNKNOWN
    try:
        return evaluate(node.op, node.attr, [present(each) if isinstance(each, tuple) else each for each in args])
    except EvaluationFailed:
        return FAILED


def unknown_in(value: object) -> bool:
    """Whether something unknown is in it."""
    if isinstance(value, tuple):
        return any(unknown_in(each) for each in value)
    if isinstance(value, dict):
        return any(unknown_in(each) for each in value.values())
    return value is UNKNOWN


def _over(source: object, change: Callable[[object], object]) -> object:
    if isinstance(source, tuple):
        return tuple(each if isinstance(each, Hole) else change(each) for each in source)
    return source if isinstance(source, Hole) else change(source)


def _forced(source: object, text: object) -> object:
    if not isinstance(source, CandidateValue):
        return UNKNOWN
    if isinstance(text, str):
        return replace(source, text=source.text + text, finish="")
    return UNKNOWN if isinstance(text, Hole) else replace(source, finish="")


def _cut(source: object, at: object) -> object:
    if not isinstance(source, CandidateValue):
        return UNKNOWN
    if isinstance(at, str) and at:
        return replace(source, text=source.text.split(at)[0], finish="")
    return UNKNOWN
