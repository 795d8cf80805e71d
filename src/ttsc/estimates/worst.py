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


def apart(program: ir.Program) -> ir.Program:
    """The same program, in which every request's role and every extern is called like its node."""

    def rename(node: ir.Node) -> tuple[ir.Node, ...] | None:
        match node:
            case ir.Generate() | ir.Score():
                return (replace(node, model=node.result.id),)
        return None

    return replace(program, body=rewrite(program.body, rename))


def at_most_by_node(program: ir.Program, values: Sequence[Mapping[str, Any]]) -> dict[str, AtMost]:
    """The greatest over these inputs of what each node may cost."""
    bounds = worst_case(apart(program))
    found: dict[str, AtMost] = {}
    for given in values:
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
    asked = (bounds.generations, bounds.scores, bounds.rewards, bounds.embeddings)
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
    every = [bounds.at(given) for given in values]

    def most(name: str) -> dict[str, int]:
        keys = dict.fromkeys(key for each in every for key in getattr(each, name))
        return {key: max(getattr(each, name).get(key, 0) for each in every) for key in keys}

    names = ("generations", "scores", "rewards", "embeddings", "prefill", "decode", "scored", "externs")
    return ConcreteBounds(**{name: most(name) for name in names}, live=max((each.live for each in every), default=0))
