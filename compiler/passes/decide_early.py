"""Lets a selection end what it no longer needs: marks those whose rule can be decided before all have arrived.

`pool |> vote(by=boxed)` → the same, `early`: once no outstanding vote can change the answer, those are stopped.
`stop_first(order=tokens)` compares the lengths of unfinished candidates, so what it reads is marked `stream`. A vote
with weights and a choice by keys need bounds: where the program says none, those that follow from it are taken
(`ir/deciding.py`): a sigmoid is at most 1, a record's grade what the record allows.

Preserves: value. Every rule so marked is exact: decided only when nothing outstanding can change the result; or looks
at the list in index order, so that it does not depend on what is outstanding. Ties that are drawn are as exact as ties
by index (`ir/rules.py`).
Why here: last, because it only marks, and marks should be set on what is left of the program.
"""

from __future__ import annotations

from dataclasses import replace

from ttsc.compiler.ir.candidates import candidate_sources
from ttsc.compiler.ir.deciding import Deciding
from ttsc.compiler.ir.nodes import Block, FirstFinished, Generate, Node, Program, Select
from ttsc.compiler.ir.rewrite import rewrite, walk
from ttsc.compiler.passes.pass_ import Context


def decide_early(program: Program, context: Context) -> Program:
    deciding = Deciding(program)

    def decided(node: Node) -> tuple[Node, ...] | None:
        if isinstance(node, Select) and not node.early:
            rule = deciding.rule(node)
            if rule is not None:
                return (replace(node, rule=rule, early=True),)
        return None

    body = rewrite(program.body, decided)
    streamed = _streamed(body)
    if not streamed:
        return program if body is program.body else replace(program, body=body)

    def stream(node: Node) -> tuple[Node, ...] | None:
        if isinstance(node, Generate) and not node.stream and node.result.id in streamed:
            return (replace(node, stream=True),)
        return None

    body = rewrite(body, stream)
    return program if body is program.body else replace(program, body=body)


def _streamed(body: Block) -> set[str]:
    """Generations whose candidates reach a `stop_first(order=tokens)` through loops, branches and maps."""
    waiting = [
        node.over.id
        for node in walk(body)
        if isinstance(node, Select) and isinstance(node.rule, FirstFinished) and node.rule.order == "tokens"
    ]
    sources = candidate_sources(body) if waiting else {}
    reached: set[str] = set()
    while waiting:
        value = waiting.pop()
        if value not in reached:
            reached.add(value)
            waiting.extend(sources.get(value, ()))
    return reached
