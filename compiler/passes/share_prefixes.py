"""Makes the contexts a prefix tree: equal turns become one, and each stands as far outside as it can.

`solve(q) |> sample(4)` and `check(q) |> sample(4)` with the same `system` text → one `system` turn with two children;
`each(d => judge(d))` → the turns of `judge` before the one that reads `d` stand before the loop. A generation is then
marked `share_prefix` when more than one request to its model may begin with the tokens of its context.

Preserves: value. A turn leaves a block only if rendering it cannot fail, so that no failure becomes unconditional.
Why here: after constants are folded, because texts are compared; before generations are merged, because sources are.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from ttsc.compiler.ir.nodes import Block, Const, Generate, If, Node, Offline, Program, Turn, Value
from ttsc.compiler.ir.rewrite import (
    blocks,
    operands,
    results,
    rewrite,
    substitute,
    walk,
    with_blocks,
    with_nodes,
    within,
)
from ttsc.compiler.passes.pass_ import Context
from ttsc.compiler.values.templates import cannot_fail


def share_prefixes(program: Program, context: Context) -> Program:
    consing = _Consing()
    body = consing.block(program.body)
    body = _marked(substitute(body, consing.aliases))
    return program if body is program.body else replace(program, body=body)


# --- one turn for equal turns ---------------------------------------------------------------------------------------


class _Consing:
    """Walks blocks from the outside in. For each open block: the nodes kept so far and the turns they define."""

    def __init__(self) -> None:
        self.aliases: dict[str, Value] = {}
        self._depth: dict[str, int] = {}
        self._kept: list[list[Node]] = []
        self._turns: list[dict[Hashable, Value]] = []

    def block(self, block: Block) -> Block:
        self._kept.append([])
        self._turns.append({})
        level = len(self._kept) - 1
        for param in block.params:
            self._depth[param.id] = level
        for node in block.nodes:
            if isinstance(node, Turn):
                self._turn(node, level)
                continue
            inside = _closed(node) if isinstance(node, Offline) else within(node, self.block)
            for result in results(node):
                self._depth[result.id] = level
            self._kept[level].append(inside)
        self._turns.pop()
        return with_nodes(block, self._kept.pop())

    def _turn(self, node: Turn, level: int) -> None:
        parent = None if node.parent is None else self._final(node.parent)
        args = tuple((name, self._final(value)) for name, value in node.args)
        key = (
            None if parent is None else parent.id,
            node.role,
            node.template,
            node.literal,
            frozenset((name, value.id) for name, value in args),
        )
        for turns in self._turns:
            if key in turns:
                self.aliases[node.result.id] = turns[key]
                return
        target = level
        if node.literal or cannot_fail(node.template):
            target = max((self._depth[self._final(value).id] for value in operands(node)), default=0)
        self._kept[target].append(node)
        self._turns[target][key] = node.result
        self._depth[node.result.id] = target

    def _final(self, value: Value) -> Value:
        return self.aliases.get(value.id, value)


def _closed(node: Offline) -> Node:
    """An offline region is a program of its own: nothing in it becomes one with anything around it."""
    consing = _Consing()
    return with_blocks(node, [substitute(consing.block(node.body), consing.aliases)])


# --- which requests share -------------------------------------------------------------------------------------------


def _marked(body: Block) -> Block:
    shared = _shared_sources(body)

    def mark(node: Node) -> tuple[Node, ...] | None:
        if isinstance(node, Generate) and node.share_prefix != (node.result.id in shared):
            return (replace(node, share_prefix=node.result.id in shared),)
        return None

    return rewrite(body, mark)


def _shared_sources(body: Block) -> set[str]:
    """Generations whose context more than one request may begin with: many candidates, many rounds, or a fork."""
    ones = {node.result.id for node in walk(body) if isinstance(node, Const) and node.value in (0, 1)}
    turns = {node.result.id: node for node in walk(body) if isinstance(node, Turn)}
    loops = _loops_around(body)
    chains: dict[tuple[str, str], set[str]] = {}
    shared: set[str] = set()
    for node in walk(body):
        if not isinstance(node, Generate):
            continue
        chain: set[str] = set()
        at: Value | None = node.source
        while at is not None and at.id not in chain:
            chain.add(at.id)
            at = turns[at.id].parent if at.id in turns else None
        chains[node.result.id, node.model] = chain
        from_outside = any(len(loops[each]) < len(loops[node.result.id]) for each in chain)
        if node.count.id not in ones or from_outside:
            shared.add(node.result.id)
    readers: dict[tuple[str, str], list[str]] = {}
    for (generation, model), chain in chains.items():
        for each in chain:
            readers.setdefault((model, each), []).append(generation)
    sides = _sides_around(body)
    for generations in readers.values():
        shared.update(a for a in generations if any(a != b and _both_may_run(sides[a], sides[b]) for b in generations))
    return shared


def _both_may_run(a: dict[str, int], b: dict[str, int]) -> bool:
    return all(b.get(branch, side) == side for branch, side in a.items())


def _sides_around(body: Block) -> dict[str, dict[str, int]]:
    """For each value, the branches it is defined in and on which side."""
    around: dict[str, dict[str, int]] = {}

    def visit(block: Block, sides: dict[str, int]) -> None:
        for node in block.nodes:
            for result in results(node):
                around[result.id] = sides
            for i, inner in enumerate(blocks(node)):
                visit(inner, {**sides, node.id: i} if isinstance(node, If) else sides)

    visit(body, {})
    return around


def _loops_around(body: Block) -> dict[str, tuple[int, ...]]:
    """The loops (maps, graphs and repeats) around each value's definition, outermost first."""
    around: dict[str, tuple[int, ...]] = {}

    def visit(block: Block, loops: tuple[int, ...]) -> None:
        for param in block.params:
            around[param.id] = loops
        for node in block.nodes:
            for result in results(node):
                around[result.id] = loops
            for inner in blocks(node):
                visit(inner, loops if isinstance(node, If | Offline) else (*loops, id(node)))

    visit(body, ())
    return around
