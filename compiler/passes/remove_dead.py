"""Drops what nobody reads: nodes, branch results, carried variables. A generation that nobody reads is not asked for.

`let extra = solve(q) |> sample(8)`, never read again → nothing. Externs stay, because a host function may have effects.

Preserves: value. Inside the body of a map, what may fail stays as well, because a failure there removes the element;
elsewhere, a run that failed in something unread now succeeds.
Why here: after the passes that leave nodes unread, before the marks for the executor are set on what remains.
"""

from __future__ import annotations

from dataclasses import replace

from ttsc.compiler.ir import pure
from ttsc.compiler.ir.nodes import Block, Extern, If, Map, Node, Program, Pure, Repeat, Select, Turn, Value
from ttsc.compiler.ir.rewrite import blocks, results, uses, walk, with_blocks
from ttsc.compiler.ir.templates import cannot_fail
from ttsc.compiler.passes.pass_ import Context


def remove_dead(program: Program, context: Context) -> Program:
    body = program.body
    while True:  # each round removes at least one node or result, so this ends
        smaller = _swept(body, uses(body), in_map=False)
        if smaller == body:
            break
        body = smaller
    return program if body is program.body else replace(program, body=body)


def _swept(block: Block, read: dict[str, int], in_map: bool) -> Block:
    nodes: list[Node] = []
    for node in reversed(block.nodes):
        if not any(result.id in read for result in results(node)) and not _stays(node, in_map):
            continue
        inside = in_map or isinstance(node, Map)
        trimmed = _trimmed(node, read)
        nodes.append(with_blocks(trimmed, [_swept(inner, read, inside) for inner in blocks(trimmed)]))
    return replace(block, nodes=tuple(reversed(nodes)))


def _stays(node: Node, in_map: bool) -> bool:
    if isinstance(node, Extern) or any(isinstance(inner, Extern) for block in blocks(node) for inner in walk(block)):
        return True
    return in_map and _may_fail(node)


def _may_fail(node: Node) -> bool:
    match node:
        case Pure(op=op):
            return not pure.cannot_fail(op)
        case Turn(literal=literal, template=template):
            return not literal and not cannot_fail(template)
        case Select():
            return True
        case If() | Repeat():
            return any(_may_fail(inner) for block in blocks(node) for inner in block.nodes)
    return False


def _trimmed(node: Node, read: dict[str, int]) -> Node:
    """The node without the results that nobody reads."""
    match node:
        case If():
            keep = [result.id in read for result in node.results]
            if all(keep):
                return node
            return replace(
                node,
                results=_kept(node.results, keep),
                then=replace(node.then, yields=_kept(node.then.yields, keep)),
                otherwise=replace(node.otherwise, yields=_kept(node.otherwise.yields, keep)),
            )
        case Repeat():
            inside = uses(node.body)
            keep = [
                result.id in read or inside.get(param.id, 0) > (given.id == param.id)
                for result, param, given in zip(node.results, node.body.params, node.body.yields, strict=False)
            ]
            if all(keep):
                return node
            body = replace(
                node.body,
                params=_kept(node.body.params, keep),
                yields=(*_kept(node.body.yields[:-1], keep), node.body.yields[-1]),
            )
            return replace(node, results=_kept(node.results, keep), init=_kept(node.init, keep), body=body)
    return node


def _kept(items: tuple[Value, ...], keep: list[bool]) -> tuple[Value, ...]:
    return tuple(item for item, wanted in zip(items, keep, strict=True) if wanted)
