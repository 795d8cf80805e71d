"""Makes the contexts a prefix tree: equal turns become one, and each stands as far outside as it can.

`solve(q) |> sample(4)` and `check(q) |> sample(4)` with the same `system` text → one `system` turn with two children;
`each(d => judge(d))` → the turns of `judge` before the one that reads `d` stand before the loop. A generation is then
marked `share_prefix` when more than one request to its model may begin with the tokens of its context.

Preserves: value. A turn leaves a block only if rendering it cannot fail, so that no failure becomes unconditional.
Why here: after constants are folded, because texts are compared; before generations are merged, because sources are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import replace

from ttsc.compiler.ir.nodes import (
    Block,
    Const,
    Dag,
    Generate,
    If,
    Map,
    Node,
    Offline,
    Program,
    Pure,
    Repeat,
    Turn,
    Value,
)
from ttsc.compiler.ir.rewrite import (
    blocks,
    operands,
    results,
    rewrite,
    substitute,
    with_blocks,
    with_nodes,
    within,
)
from ttsc.compiler.passes.pass_ import Context
from ttsc.compiler.values.templates import cannot_fail
from ttsc.compiler.values.types import ListOf


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


_Sides = tuple[tuple[str, int], ...]


class _Places:
    """What is defined where: `loops`, the number of loops (maps, graphs and repeats) around each value; `sides`, the
    branches around each generation and on which side of them it is.
    """

    def __init__(self, body: Block) -> None:
        self.loops: dict[str, int] = {}
        self.ones: set[str] = set()
        self.turns: dict[str, Turn] = {}
        self.generations: list[tuple[Generate, _Sides]] = []
        self._visit(body, 0, ())

    def _visit(self, block: Block, loops: int, sides: _Sides) -> None:
        for param in block.params:
            self.loops[param.id] = loops
        for node in block.nodes:
            for result in results(node):
                self.loops[result.id] = loops
            match node:
                case Pure():
                    pass
                case Const():
                    if node.value in (0, 1):
                        self.ones.add(node.result.id)
                case Turn():
                    self.turns[node.result.id] = node
                case Generate():
                    self.generations.append((node, sides))
                case If():
                    for i, inner in enumerate(blocks(node)):
                        self._visit(inner, loops, (*sides, (node.id, i)))
                case Offline():
                    self._visit(node.body, loops, sides)
                case Map() | Dag() | Repeat():
                    self._visit(node.body, loops + 1, sides)


def _marked(body: Block) -> Block:
    places = _Places(body)
    shared = _shared_sources(places)
    if all(node.share_prefix == (node.result.id in shared) for node, _ in places.generations):
        return body

    def mark(node: Node) -> tuple[Node, ...] | None:
        if isinstance(node, Generate) and node.share_prefix != (node.result.id in shared):
            return (replace(node, share_prefix=node.result.id in shared),)
        return None

    return rewrite(body, mark)


def _shared_sources(places: _Places) -> set[str]:
    """Generations whose context more than one request may begin with: many candidates, a list of contexts, many rounds,
    or a fork.
    """
    shared: set[str] = set()
    readers: dict[tuple[str, str], list[tuple[str, _Sides]]] = {}
    for node, sides in places.generations:
        chain: set[str] = set()
        at: Value | None = node.source
        while at is not None and at.id not in chain:
            chain.add(at.id)
            at = places.turns[at.id].parent if at.id in places.turns else None
        loops = places.loops[node.result.id]
        several = node.count.id not in places.ones or isinstance(node.source.type, ListOf)
        if several or any(places.loops[each] < loops for each in chain):
            shared.add(node.result.id)
        for each in chain:
            readers.setdefault((node.model, each), []).append((node.result.id, sides))
    for generations in readers.values():
        if len(generations) > 1:
            shared.update(_with_company(generations))
    return shared


def _with_company(generations: list[tuple[str, _Sides]]) -> Iterator[str]:
    """Those that may run in one run with another: not all others are on the other side of a branch."""
    on = Counter(side for _, sides in generations for side in sides)
    for name, sides in generations:
        excluded = sum(on[branch, 1 - side] for branch, side in sides)
        if len(generations) - 1 > excluded:
            yield name
