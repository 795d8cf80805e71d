"""Walking and rebuilding the graph.

Every pass is written with these: what a node reads and defines, every node of a block with those inside it,
substitution of values, and a bottom-up rewrite. An unchanged node, block or program comes back as the same object, so
`is` tells a pass whether anything happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import is_

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
    Program,
    Pure,
    Repeat,
    Score,
    Select,
    Turn,
    Value,
)  # fmt: skip

NESTED = frozenset({Map, Dag, Offline, If, Repeat})
"""Nodes with blocks inside."""
_SEVERAL = (If, Repeat, Offline)
"""Nodes with several results and an id of their own."""
Rule = Callable[[Node], Sequence[Node] | None]
"""A private rule of a pass: the nodes that take a node's place, or None for no change."""


def node_id(node: Node) -> str:
    """The id that names a node in messages, traces and seeds."""
    return node.id if isinstance(node, _SEVERAL) else node.result.id


def results(node: Node) -> tuple[Value, ...]:
    """Values the node defines."""
    return node.results if isinstance(node, _SEVERAL) else (node.result,)


def operands(node: Node) -> tuple[Value, ...]:
    """Values the node itself reads, without those its blocks read."""
    match node:
        case Pure(args=args) | Draw(args=args):
            return args
        case Const():
            return ()
        case Turn(parent=parent, args=args):
            return (() if parent is None else (parent,)) + tuple(value for _, value in args)
        case Generate(source=source, count=count, options=options):
            return (source, count, *(value for _, value in options))
        case Force(source=source, text=text):
            return (source, text)
        case Cut(source=source, at=at):
            return (source, at)
        case Score(source=source, given=given):
            return (source,) if given is None else (source, given)
        case Extern(args=args, after=after):
            return args if after is None else (*args, after)
        case Map(over=over):
            return (over,)
        case Dag(over=over, needs=needs):
            return (over, needs)
        case Offline(inputs=inputs):
            return inputs
        case Select():
            optional = (node.keys, node.weights, node.count, node.otherwise)
            return (node.over, *(value for value in optional if value is not None))
        case If(condition=condition):
            return (condition,)
        case Repeat(limit=limit, init=init):
            return (limit, *init)


def blocks(node: Node) -> tuple[Block, ...]:
    """Blocks inside a node."""
    if type(node) not in NESTED:
        return ()
    match node:
        case Map(body=body) | Dag(body=body) | Offline(body=body) | Repeat(body=body):
            return (body,)
        case If(then=then, otherwise=otherwise):
            return (then, otherwise)
    return ()


def walk(block: Block) -> Iterator[Node]:
    """Every node of a block, a node before those inside it."""
    waiting = [iter(block.nodes)]
    while waiting:
        for node in waiting[-1]:
            yield node
            if type(node) in NESTED:
                waiting.extend(iter(inner.nodes) for inner in reversed(blocks(node)))
                break
        else:
            waiting.pop()


def uses(block: Block) -> dict[str, int]:
    """How often each value is read in a block, nested blocks and yields included."""
    count: dict[str, int] = {}

    def add(values: Sequence[Value]) -> None:
        for value in values:
            count[value.id] = count.get(value.id, 0) + 1

    def visit(each: Block) -> None:
        add(each.yields)
        for node in each.nodes:
            add(operands(node))
            for inner in blocks(node):
                visit(inner)

    visit(block)
    return count


def free_values(node: Node) -> frozenset[str]:
    """Values that a node, with everything inside it, takes from around it."""
    read = {value.id for value in operands(node)}
    defined: set[str] = set()

    def visit(block: Block) -> None:
        defined.update(value.id for value in block.params)
        read.update(value.id for value in block.yields)
        for inner in block.nodes:
            read.update(value.id for value in operands(inner))
            defined.update(value.id for value in results(inner))
            for nested in blocks(inner):
                visit(nested)

    for block in blocks(node):
        visit(block)
    return frozenset(read - defined)


def all_values(block: Block) -> Iterator[Value]:
    """Every value a block defines, its params first."""
    yield from block.params
    for node in block.nodes:
        yield from results(node)
        for inner in blocks(node):
            yield from all_values(inner)


def ids(program: Program) -> set[str]:
    """Every id in the program, for making fresh ones."""
    return {value.id for value in all_values(program.body)} | {node_id(node) for node in walk(program.body)}


def rewrite(block: Block, rule: Rule) -> Block:
    """`rule` on every node, innermost first; the block itself if nothing changed."""
    nodes: list[Node] = []
    changed = False
    for node in block.nodes:
        inside = within(node, lambda inner: rewrite(inner, rule))
        replacement = rule(inside)
        if replacement is None:
            nodes.append(inside)
            changed = changed or inside is not node
        else:
            nodes.extend(replacement)
            changed = True
    return replace(block, nodes=tuple(nodes)) if changed else block


def with_nodes(block: Block, nodes: Sequence[Node]) -> Block:
    """The block with other nodes; itself if they are the same."""
    if len(nodes) == len(block.nodes) and all(map(is_, nodes, block.nodes)):
        return block
    return Block(block.params, tuple(nodes), block.yields)


def within(node: Node, change: Callable[[Block], Block]) -> Node:
    """The node with `change` done to its blocks; itself if that changes none."""
    return with_blocks(node, [change(inner) for inner in blocks(node)]) if type(node) in NESTED else node


def with_blocks(node: Node, new: Sequence[Block]) -> Node:
    """The node with its blocks exchanged; itself if they are the same."""
    if all(a is b for a, b in zip(blocks(node), new, strict=True)):
        return node
    match node:
        case Map() | Dag() | Offline() | Repeat():
            return replace(node, body=new[0])
        case If():
            return replace(node, then=new[0], otherwise=new[1])
    return node


def substitute(block: Block, values: Mapping[str, Value]) -> Block:
    """The block reading other values; definitions stay. Chains (`a` for `b`, `c` for `a`) are followed."""
    if not values:
        return block
    final = {name: _final(value, values) for name, value in values.items()}
    return _substituted(block, final)


def _final(value: Value, values: Mapping[str, Value]) -> Value:
    seen: set[str] = set()
    while value.id in values and value.id not in seen:
        seen.add(value.id)
        value = values[value.id]
    return value


def _substituted(block: Block, values: Mapping[str, Value]) -> Block:
    inside = with_nodes(block, [_node_substituted(node, values) for node in block.nodes])
    yields = _each(block.yields, values)
    return inside if yields is block.yields else replace(inside, yields=yields)


def _node_substituted(node: Node, values: Mapping[str, Value]) -> Node:
    node = within(node, lambda inner: _substituted(inner, values))
    return _reading(node, values) if any(value.id in values for value in operands(node)) else node


def _reading(node: Node, values: Mapping[str, Value]) -> Node:
    """The node with other operands; what its blocks read stays."""
    match node:
        case Const():
            return node
        case Turn():
            return replace(node, parent=_maybe(node.parent, values), args=_named(node.args, values))
        case Generate():
            return replace(
                node,
                source=_one(node.source, values),
                count=_one(node.count, values),
                options=_named(node.options, values),
            )
        case Force():
            return replace(node, source=_one(node.source, values), text=_one(node.text, values))
        case Cut():
            return replace(node, source=_one(node.source, values), at=_one(node.at, values))
        case Score():
            return replace(node, source=_one(node.source, values), given=_maybe(node.given, values))
        case Extern():
            return replace(node, args=_each(node.args, values), after=_maybe(node.after, values))
        case Draw() | Pure():
            return replace(node, args=_each(node.args, values))
        case Map():
            return replace(node, over=_one(node.over, values))
        case Dag():
            return replace(node, over=_one(node.over, values), needs=_one(node.needs, values))
        case Offline():
            return replace(node, inputs=_each(node.inputs, values))
        case Select():
            return replace(
                node,
                over=_one(node.over, values),
                keys=_maybe(node.keys, values),
                weights=_maybe(node.weights, values),
                count=_maybe(node.count, values),
                otherwise=_maybe(node.otherwise, values),
            )
        case If():
            return replace(node, condition=_one(node.condition, values))
        case Repeat():
            return replace(node, limit=_one(node.limit, values), init=_each(node.init, values))


def renamed(block: Block, names: Mapping[str, str]) -> Block:
    """The block with other ids for its values and nodes, wherever they are defined or read."""

    def new(value: Value) -> Value:
        return replace(value, id=names.get(value.id, value.id))

    def visit(each: Block) -> Block:
        return Block(tuple(map(new, each.params)), tuple(map(defined, each.nodes)), tuple(map(new, each.yields)))

    def defined(node: Node) -> Node:
        node = within(node, visit)
        read = {value.id: new(value) for value in operands(node) if value.id in names}
        node = _reading(node, read) if read else node
        if isinstance(node, If | Repeat | Offline):
            return replace(node, id=names.get(node.id, node.id), results=tuple(map(new, node.results)))
        return replace(node, result=new(node.result))

    return visit(block)


def _one(value: Value, values: Mapping[str, Value]) -> Value:
    return values.get(value.id, value)


def _maybe(value: Value | None, values: Mapping[str, Value]) -> Value | None:
    return None if value is None else _one(value, values)


def _each(several: tuple[Value, ...], values: Mapping[str, Value]) -> tuple[Value, ...]:
    return tuple(_one(v, values) for v in several) if any(v.id in values for v in several) else several


def _named(several: tuple[tuple[str, Value], ...], values: Mapping[str, Value]) -> tuple[tuple[str, Value], ...]:
    return tuple((name, _one(value, values)) for name, value in several)
