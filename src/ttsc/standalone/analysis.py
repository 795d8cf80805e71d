"""What the writer of a standalone program must know of the graph: what waits for what, and what is needed in any case.

A program in Python waits where it says `await`. To wait at a place loses nothing if all work that has not been started
depends on what is waited for. And it may only wait, or compute what may fail, where its block fails with it: what may
turn out not to be needed must not fail the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
    Repeat,
    Score,
    Select,
    Value,
)
from ttsc.compiler.ir.rewrite import blocks, free_values, operands, results, walk
from ttsc.compiler.values.types import Interval, ListOf

_WORK = Generate | Score | Extern | Offline | Dag


class Waiting:
    """For each value what is whole by the time it is whole, and for a list also what is whole when its first element
    may come; for each node what must be whole before it asks anything of an engine or a host.

    Only what is certain is in these sets.
    """

    def __init__(self, body: Block, positive: frozenset[str]) -> None:
        """`positive`: numbers of at least 1."""
        self._positive = positive
        self._whole: dict[str, frozenset[str]] = {}
        self._first: dict[str, frozenset[str]] = {}
        self._before: dict[int, frozenset[str]] = {}
        self._block(body)

    def waits_for(self, node: Node, ids: frozenset[str]) -> bool:
        """Whether none of a node's work can begin before one of these values is whole."""
        return bool(self._before[id(node)] & ids)

    def _block(self, block: Block) -> None:
        for node in block.nodes:
            self._node(node)

    def _node(self, node: Node) -> None:
        start = self._start(node)
        for inner in blocks(node):
            for place, param in enumerate(inner.params):
                given = self._wholes([node.init[place]]) if isinstance(node, Repeat) else start
                self._whole[param.id] = self._first[param.id] = given | {param.id}
            self._block(inner)
        inside = [self._before[id(each)] for inner in blocks(node) for each in inner.nodes if starts_work(each)]
        self._before[id(node)] = start | (frozenset.intersection(*inside) if inside else frozenset())
        for place, result in enumerate(results(node)):
            own = frozenset((result.id,))
            match node:
                case Generate(source=over) | Map(over=over) | Force(source=over) | Cut(source=over) | Dag(over=over):
                    self._first[result.id] = start
                    self._whole[result.id] = start | own | self._wholes([over])
                case If(then=then, otherwise=other):
                    then_value, other_value = then.yields[place], other.yields[place]
                    self._first[result.id] = start | own | (self._firsts([then_value]) & self._firsts([other_value]))
                    self._whole[result.id] = start | own | (self._wholes([then_value]) & self._wholes([other_value]))
                case Repeat(limit=limit, body=body) if limit.id in self._positive:
                    ended = start | own | self._wholes([body.yields[-1]])
                    self._first[result.id] = self._whole[result.id] = ended
                case _:
                    self._first[result.id] = self._whole[result.id] = start | own

    def _start(self, node: Node) -> frozenset[str]:
        """What is whole before a node begins."""
        match node:
            case Generate() | Force() | Cut():
                others = [value for value in operands(node) if value is not node.source]
                is_list = isinstance(node.source.type, ListOf)
                return self._wholes(others) | (self._firsts if is_list else self._wholes)([node.source])
            case Map(over=over):
                return self._firsts([over])
            case Dag(over=over, needs=needs):
                return self._firsts([over, needs])
            case Select(over=over, keys=keys, weights=weights, count=count):
                lists = [value for value in (over, keys, weights) if value is not None]
                return self._firsts(lists) | self._wholes([] if count is None else [count])
            case Repeat(limit=limit):
                return self._wholes([limit])
        return self._wholes(operands(node))

    def _wholes(self, values: Iterable[Value]) -> frozenset[str]:
        return frozenset().union(*(self._whole.get(value.id, frozenset()) for value in values))

    def _firsts(self, values: Iterable[Value]) -> frozenset[str]:
        return frozenset().union(*(self._first.get(value.id, frozenset()) for value in values))


def starts_work(node: Node) -> bool:
    """Whether something is asked of an engine or a host in it."""
    return isinstance(node, _WORK) or any(isinstance(inner, _WORK) for block in blocks(node) for inner in walk(block))


def is_waiting(node: Node) -> bool:
    """Whether a node may give something that is not there at once."""
    return isinstance(node, _WORK | Select | Map | Force | Cut) or any(
        isinstance(inner, _WORK | Select | Map | Force | Cut) for block in blocks(node) for inner in walk(block)
    )


def needs_place(block: Block) -> bool:
    """Whether seeds within a block depend on where it stands."""
    return any(
        isinstance(node, Generate | Draw | Dag)
        or (isinstance(node, Select) and getattr(node.rule, "ties", "") == "random")
        for node in _outside_offline(block)
    )


def _outside_offline(block: Block) -> Iterable[Node]:
    for node in block.nodes:
        yield node
        if not isinstance(node, Offline):
            for inner in blocks(node):
                yield from _outside_offline(inner)


def strictly_needed(block: Block, wanted: Iterable[str], positive: frozenset[str]) -> frozenset[str]:
    """Values of a block without which it can't give the `wanted` of its yields. `positive`: numbers of at least 1."""
    needed = set(wanted)
    for node in reversed(block.nodes):
        if not any(result.id in needed for result in results(node)):
            continue
        needed |= {value.id for value in _strict_operands(node)}
        match node:
            case If(results=values, then=then, otherwise=other):
                at = [place for place, value in enumerate(values) if value.id in needed]
                both = [
                    strictly_needed(each, [each.yields[place].id for place in at], positive) for each in (then, other)
                ]
                needed |= both[0] & both[1]
            case Repeat(limit=limit, body=body, init=init) if limit.id in positive:
                inside = strictly_needed(body, [body.yields[-1].id], positive)
                needed |= inside
                needed |= {value.id for value, param in zip(init, body.params, strict=True) if param.id in inside}
    return frozenset(needed)


def _strict_operands(node: Node) -> Sequence[Value]:
    match node:
        case Repeat(limit=limit):
            return (limit,)
        case Select(otherwise=otherwise):
            return tuple(value for value in operands(node) if value is not otherwise)
    return operands(node)


def strict_yields(node: Repeat, needed: frozenset[str], positive: frozenset[str]) -> list[str]:
    """Yields of a loop's body that every round must give: the last one, which ends it, and carried values that are
    needed at the end and that each round needs of the one before.
    """
    body = node.body
    places = [place for place, value in enumerate(node.results) if value.id in needed]
    while True:
        wanted = [body.yields[-1].id, *(body.yields[place].id for place in places)]
        inner = strictly_needed(body, wanted, positive)
        kept = [place for place in places if body.params[place].id in inner]
        if kept == places:
            return wanted
        places = kept


def positive_numbers(program: Program) -> frozenset[str]:
    """Values that are known to be whole numbers of at least 1: constants, and parameters by their range."""
    found = {
        each.value.id
        for each in program.parameters
        if isinstance(each.tunable, Interval) and isinstance(each.tunable.low, int) and each.tunable.low >= 1
    }
    for node in walk(program.body):
        if isinstance(node, Const) and isinstance(node.value, int) and node.value >= 1:
            found.add(node.result.id)
    return frozenset(found)


def consumers(block: Block) -> dict[str, int]:
    """For each list of a block how many consumers will release its elements; those that somebody holds are left out."""
    counts: dict[str, int] = {}
    held = {value.id for value in block.yields}
    for node in block.nodes:
        releasing: list[Value] = []
        match node:
            case Select(over=over, keys=keys, weights=weights):
                releasing = [value for value in (over, keys, weights) if value is not None]
            case Map(over=over) | Generate(source=over) | Force(source=over) | Cut(source=over):
                releasing = [over]
        for value in releasing:
            counts[value.id] = counts.get(value.id, 0) + 1
        inside = {name for inner in blocks(node) for each in walk(inner) for name in free_values(each)}
        inside |= {value.id for inner in blocks(node) for value in inner.yields}
        others = [value.id for value in operands(node)]
        for value in releasing:
            others.remove(value.id)
        held |= inside | set(others)
    return {name: count for name, count in counts.items() if name not in held}


def read_once(block: Block) -> frozenset[str]:
    """Values that one node of the block reads once, as it begins, and nobody else."""
    counts: dict[str, int] = {}
    for node in block.nodes:
        read = [value.id for value in operands(node)]
        unfit = [value.id for value in (*(node.init if isinstance(node, Repeat) else ()),)]
        if isinstance(node, Select) and node.otherwise is not None:
            unfit.append(node.otherwise.id)
        inside = set(free_values(node)) - set(read)
        for name in (*read, *unfit, *inside, *inside):
            counts[name] = counts.get(name, 0) + 1
        for name in inside | {each for each in free_values(node) if each in _inner(node)}:
            counts[name] = counts.get(name, 0) + 1
    for value in block.yields:
        counts[value.id] = counts.get(value.id, 0) + 1
    return frozenset(name for name, count in counts.items() if count == 1)


def _inner(node: Node) -> set[str]:
    """What the blocks of a node read of what is around it."""
    read: set[str] = set()
    for block in blocks(node):
        for inner in block.nodes:
            read |= free_values(inner)
        read |= {value.id for value in block.yields}
    return read
