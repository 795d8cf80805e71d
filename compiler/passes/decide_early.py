"""Lets a selection end what it no longer needs: marks those whose rule can be decided before all have arrived.

`pool |> vote(by=boxed)` → the same, `early`: once no outstanding vote can change the answer, those are stopped.
`stop_first(order=tokens)` compares the lengths of unfinished candidates, so what it reads is marked `stream`.

Preserves: value. Every rule so marked is exact: decided only when nothing outstanding can change the result.
Why here: last, because it only marks, and marks should be set on what is left of the program.
"""

from __future__ import annotations

from dataclasses import replace

from ttsc.compiler.ir.nodes import (
    Block,
    FirstFinished,
    Generate,
    Greatest,
    If,
    Majority,
    Map,
    Node,
    Program,
    Pure,
    Quantified,
    Repeat,
    Select,
)
from ttsc.compiler.ir.rewrite import results, rewrite, walk
from ttsc.compiler.passes.pass_ import Context

_SAME_CANDIDATES = frozenset({"list", "add", "item", "one", "or_else", "with_score", "head"})
"""Pure operations whose result is, or holds, candidates of their arguments."""


def decide_early(program: Program, context: Context) -> Program:
    body = rewrite(program.body, _decided)
    streamed = _streamed(body)

    def stream(node: Node) -> tuple[Node, ...] | None:
        if isinstance(node, Generate) and not node.stream and node.result.id in streamed:
            return (replace(node, stream=True),)
        return None

    body = rewrite(body, stream)
    return program if body is program.body else replace(program, body=body)


def _decided(node: Node) -> tuple[Node, ...] | None:
    if isinstance(node, Select) and not node.early and _can_decide_early(node):
        return (replace(node, early=True),)
    return None


def _can_decide_early(node: Select) -> bool:
    match node.rule:
        case Majority(max_weight=bound):
            return node.weights is None or bound is not None
        case Greatest(maximum=maximum):
            return maximum is not None
        case FirstFinished() | Quantified():
            return True


def _streamed(body: Block) -> set[str]:
    """Generations whose candidates reach a `stop_first(order=tokens)` through loops, branches and maps."""
    sources = _candidate_sources(body)
    reached: set[str] = set()
    waiting = [
        node.over.id
        for node in walk(body)
        if isinstance(node, Select) and isinstance(node.rule, FirstFinished) and node.rule.order == "tokens"
    ]
    while waiting:
        value = waiting.pop()
        if value not in reached:
            reached.add(value)
            waiting.extend(sources.get(value, ()))
    return reached


def _candidate_sources(body: Block) -> dict[str, list[str]]:
    """For each value, the values whose candidates it may hold unchanged."""
    sources: dict[str, list[str]] = {}

    def link(value: str, *others: str) -> None:
        sources.setdefault(value, []).extend(others)

    for node in walk(body):
        match node:
            case Map():
                link(node.result.id, *([node.over.id] if node.mode == "filter" else [v.id for v in node.body.yields]))
                for param in node.body.params:
                    link(param.id, node.over.id)
            case If():
                for result, a, b in zip(results(node), node.then.yields, node.otherwise.yields, strict=True):
                    link(result.id, a.id, b.id)
            case Repeat():
                carried = zip(node.results, node.body.params, node.init, node.body.yields, strict=False)
                for result, param, init, given in carried:
                    link(result.id, init.id, given.id)
                    link(param.id, init.id, given.id)
            case Select() if node.op in ("best", "keep", "stop_first"):
                link(node.result.id, node.over.id)
            case Pure() if node.op in _SAME_CANDIDATES:
                link(node.result.id, *(arg.id for arg in node.args))
    return sources
