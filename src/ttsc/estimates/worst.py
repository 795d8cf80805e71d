"""The worst case, per node: the static bounds of the program with a model role of its own for each node.

Each is a proof by itself. Their sum can be more than the whole's: of two branches only one runs, but each is a worst
case of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ttsc.compiler.bounds import Bounds, ConcreteBounds, worst_case
from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.rewrite import rewrite
from ttsc.estimates.figures import AtMost


def bounds_of(program: ir.Program) -> Bounds:
    return worst_case(program)


def widest(values: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """As few inputs as bound them all: of those that differ in texts alone, one with texts as long as any of theirs. A
    text counts by its length, and what holds of a length holds of shorter ones.
    """
    groups: dict[str, dict[str, Any]] = {}
    for given in values:
        key = repr(sorted((name, _but_texts(value)) for name, value in given.items()))
        before = groups.get(key)
        groups[key] = dict(given) if before is None else {name: _longer(before[name], given[name]) for name in before}
    return list(groups.values())


def _but_texts(value: Any) -> Any:
    match value:
        case str():
            return str
        case list() | tuple():
            return [_but_texts(each) for each in value]
        case dict():
            return sorted((name, _but_texts(each)) for name, each in value.items())
    return repr(value)


def _longer(a: Any, b: Any) -> Any:
    """Two values that differ in texts alone."""
    match a, b:
        case str(), str():
            if len(a) >= len(b) and len(a.encode()) >= len(b.encode()):
                return a
            if len(b) >= len(a) and len(b.encode()) >= len(a.encode()):
                return b
            return "x" * max(len(a.encode()), len(b.encode()))
        case ((list() | tuple()), (list() | tuple())):
            return [_longer(x, y) for x, y in zip(a, b, strict=True)]
        case dict(), dict():
            return {name: _longer(a[name], b[name]) for name in a}
    return a


def apart(program: ir.Program) -> ir.Program:
    """The same program, in which every request's role and every extern is called like its node."""
    signatures = {each.name: each for each in program.externs}
    externs: list[ir.ExternSignature] = []

    def rename(node: ir.Node) -> tuple[ir.Node, ...] | None:
        match node:
            case ir.Generate() | ir.Score():
                return (replace(node, model=node.result.id),)
            case ir.Extern():
                externs.append(replace(signatures[node.name], name=node.result.id))
                return (replace(node, name=node.result.id),)
        return None

    body = rewrite(program.body, rename)
    return replace(program, body=body, externs=tuple(externs))


def at_most_by_node(program: ir.Program, values: Sequence[Mapping[str, Any]]) -> dict[str, AtMost]:
    """The greatest over these inputs of what each node may cost."""
    bounds = worst_case(apart(program))
    found: dict[str, AtMost] = {}
    for given in widest(values):
        for node, one in _by_node(bounds.at(given)).items():
            before = found.get(node, AtMost())
            found[node] = AtMost(
                max(before.requests, one.requests),
                max(before.prefill_tokens, one.prefill_tokens),
                max(before.decode_tokens, one.decode_tokens),
                max(before.scored_tokens, one.scored_tokens),
            )
    return found


def _by_node(bounds: ConcreteBounds) -> dict[str, AtMost]:
    asked = (bounds.generations, bounds.scores, bounds.rewards, bounds.embeddings, bounds.externs)
    nodes = dict.fromkeys(node for each in asked for node in each)
    return {
        node: AtMost(
            sum(each.get(node, 0) for each in asked),
            bounds.prefill.get(node, 0),
            bounds.decode.get(node, 0),
            bounds.scored.get(node, 0),
        )
        for node in nodes
    }


def greatest(bounds: Bounds, values: Sequence[Mapping[str, Any]]) -> ConcreteBounds:
    """The worst case over these inputs, quantity by quantity."""
    every = [bounds.at(given) for given in widest(values)]

    def most(name: str) -> dict[str, int]:
        keys = dict.fromkeys(key for each in every for key in getattr(each, name))
        return {key: max(getattr(each, name).get(key, 0) for each in every) for key in keys}

    names = ("generations", "scores", "rewards", "embeddings", "prefill", "decode", "scored", "externs")
    return ConcreteBounds(**{name: most(name) for name in names}, live=max((each.live for each in every), default=0))
