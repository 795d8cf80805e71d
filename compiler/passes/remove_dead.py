"""Drops what nobody reads: nodes, branch results, carried variables. A generation that nobody reads is not asked for.

`let extra = solve(q) |> sample(8)`, never read again → nothing. Externs stay, because a host function may have effects;
so does what decides that they are called, and what stores hold at the end. An offline region goes or stays as a whole.

Preserves: value. Inside the body of a map or a dependency graph, what may fail stays as well, because a failure there
removes the element; elsewhere, a run that failed in something unread now succeeds.
Why here: after the passes that leave nodes unread, before the marks for the executor are set on what remains.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ttsc.compiler.ir.failures import failing
from ttsc.compiler.ir.nodes import (
    Block,
    Const,
    Dag,
    Extern,
    Generate,
    If,
    Map,
    Node,
    Offline,
    Program,
    Repeat,
    Value,
)
from ttsc.compiler.ir.rewrite import NESTED, blocks, node_id, operands, results, walk, with_nodes, within
from ttsc.compiler.passes.pass_ import Context


def remove_dead(program: Program, context: Context) -> Program:
    marks = _Marks(program)
    body = _swept(program.body, marks)
    return program if body is program.body else replace(program, body=body)


class _Marks:
    """Marks from the roots (the program's yields, externs) what the result depends on. `kept` nodes stay unread too."""

    def __init__(self, program: Program) -> None:
        self.live: set[str] = set()
        self.kept: set[str] = set()
        self._defined: dict[str, tuple[Node, int, bool]] = {}
        self._around: dict[str, tuple[Node, ...]] = {}
        self._known: dict[str, Node] = {
            node.result.id: node for node in walk(program.body) if isinstance(node, Const | Generate)
        }
        self._waiting: list[Value] = list(program.body.yields)
        self._define(program.body, ())
        for node in _externs(program.body):
            self._keep(node)
        self._follow()

    def _define(self, block: Block, around: tuple[Node, ...]) -> None:
        for node in block.nodes:
            self._around[node_id(node)] = around
            for i, result in enumerate(results(node)):
                self._defined[result.id] = (node, i, False)
            if type(node) not in NESTED:
                continue
            for inner in blocks(node):
                for i, param in enumerate(inner.params):
                    self._defined[param.id] = (node, i, True)
                self._define(inner, (*around, node))

    def _follow(self) -> None:
        while self._waiting:
            value = self._waiting.pop()
            if value.id in self.live:
                continue
            self.live.add(value.id)
            if value.id in self._defined:
                node, index, is_param = self._defined[value.id]
                self._need(node)
                self._waiting.extend(_parts(node, index, is_param))

    def _need(self, node: Node) -> None:
        """The node will run: what decides that, and what it cannot run without."""
        match node:
            case Map() | Dag():
                self._waiting.extend((*operands(node), *node.body.yields))
                for inner in failing(node.body, self._known):
                    self._keep(inner)
            case Repeat():
                self._waiting.extend((node.limit, *node.body.yields[-1:]))
            case Offline():
                self._waiting.extend((*node.inputs, *node.body.yields))
                for extern in _externs(node.body):
                    self._keep(extern)
            case _:
                self._waiting.extend(operands(node))

    def _keep(self, node: Node) -> None:
        if node_id(node) not in self.kept:
            self.kept.add(node_id(node))
            self._need(node)
            for outer in self._around[node_id(node)]:
                self._keep(outer)


def _parts(node: Node, index: int, is_param: bool) -> tuple[Value, ...]:
    """What one result or param of a node comes from, beside what the node needs anyway."""
    match node:
        case If():
            return (node.then.yields[index], node.otherwise.yields[index])
        case Repeat():
            return (node.init[index], node.body.yields[index])
    return ()


def _externs(block: Block) -> Iterator[Extern]:
    """Calls of host functions that are made whatever is read. Those of an offline region depend on its being run."""
    for node in block.nodes:
        if isinstance(node, Extern):
            yield node
        elif not isinstance(node, Offline):
            for inner in blocks(node):
                yield from _externs(inner)


def _swept(block: Block, marks: _Marks) -> Block:
    nodes: list[Node] = []
    for node in block.nodes:
        if node_id(node) in marks.kept or any(result.id in marks.live for result in results(node)):
            trimmed = _trimmed(node, marks.live)
            nodes.append(within(trimmed, lambda inner: _swept(inner, marks)))
    return with_nodes(block, nodes)


def _trimmed(node: Node, live: set[str]) -> Node:
    """The node without the results and carried variables that nobody reads."""
    if type(node) not in NESTED:
        return node
    match node:
        case If():
            keep = [result.id in live for result in node.results]
            if all(keep):
                return node
            then = replace(node.then, yields=_kept(node.then.yields, keep))
            otherwise = replace(node.otherwise, yields=_kept(node.otherwise.yields, keep))
            return replace(node, results=_kept(node.results, keep), then=then, otherwise=otherwise)
        case Repeat():
            pairs = zip(node.results, node.body.params, strict=True)
            keep = [result.id in live or param.id in live for result, param in pairs]
            if all(keep):
                return node
            yields = (*_kept(node.body.yields[:-1], keep), node.body.yields[-1])
            body = replace(node.body, params=_kept(node.body.params, keep), yields=yields)
            return replace(node, results=_kept(node.results, keep), init=_kept(node.init, keep), body=body)
    return node


def _kept(values: tuple[Value, ...], keep: list[bool]) -> tuple[Value, ...]:
    return tuple(value for value, wanted in zip(values, keep, strict=True) if wanted)
