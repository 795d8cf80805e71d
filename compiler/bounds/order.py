"""Which generations can be in flight together: what the data dependencies rule out.

A node runs as soon as its operands are there, so two generations may overlap unless one waits for what the other makes.
For each block this finds chains of nodes that wait for one another: of a chain only one member's requests can be in
flight at a time, or, where elements of a list are passed on one by one, of each element's share only one. So the most
that a block has in flight is the sum over its chains of their largest member. Of a loop it finds whether a round's
requests wait for those of the round before.

What is decided early (`vote`, `stop_first`, `any`, the first of a list, …) orders nothing: what it stops takes a moment
to end.
An element that fails is left out of its list while others go on, so inside of a `map` only blocks count as ended whose
requests form one chain that nothing else can fail beside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.deciding import Deciding
from ttsc.compiler.ir.rewrite import walk
from ttsc.compiler.values.pure import cannot_fail
from ttsc.compiler.values.templates import cannot_fail as cannot_fail_to_render

MAX_NODES = 400
"""In a longer block every generation may overlap every other one."""

Waits = frozenset[str]
"""Ids of nodes with requests that have ended, of nodes that can't fail any more, and of values from outside."""
_NOTHING: Waits = frozenset()


@dataclass(slots=True)
class Order:
    """`chains`: by block (its identity) the chain of each node that makes requests. `exclusive`: ids of loops whose
    rounds don't overlap.
    """

    chains: dict[int, dict[str, int]] = field(default_factory=dict)
    exclusive: set[str] = field(default_factory=set)
    early: set[str] = field(default_factory=set)
    """Selections and operations that may not wait for all they read."""


@dataclass(frozen=True, slots=True)
class _Summary:
    """A block from outside. `entry`: values from outside that every request waits for (None: there are no requests).
    `yields`: what each yield waits for; `ended`: whether by then all requests of the block have ended.
    """

    entry: Waits | None
    yields: tuple[Waits, ...]
    ended: tuple[bool, ...]


def order(program: ir.Program) -> Order:
    """The order of a whole program's requests."""
    deciding = Deciding(program)
    found = Order()
    for node in walk(program.body):
        if isinstance(node, ir.Select):
            early = deciding.rule(node) is not None
        else:
            early = isinstance(node, ir.Pure) and deciding.reads_beginning(node)
        if early:
            found.early.add(key(node))
    _Block(program.body, found).summary()
    return found


def key(node: ir.Node) -> str:
    """What names a node here."""
    return node.id if isinstance(node, ir.If | ir.Repeat | ir.Offline) else node.result.id


class _Block:
    """One block: what each value waits for, node by node."""

    def __init__(self, block: ir.Block, found: Order, contained: bool = False) -> None:
        """`contained`: a failure inside is that of one element, and others go on."""
        self._block = block
        self._contained = contained
        self._found = found
        self._waits: dict[str, Waits] = {}
        self._starts: dict[str, Waits] = {}
        """By node with requests: what has ended when its first request begins."""
        self._fragile: dict[str, Waits] = {}
        """By node that can fail: what has ended by then."""
        self._inside = {p.id for p in block.params}
        self._blind = len(block.nodes) > MAX_NODES

    def summary(self) -> _Summary:
        for node in self._block.nodes:
            self._node(node)
        self._found.chains[id(self._block)] = self._chains()
        requests = frozenset(self._starts)
        yields = tuple(self._of(value) for value in self._block.yields)
        orderly = self._orderly()
        ended = tuple(not requests or (orderly and requests <= waits) for waits in yields)
        entry = frozenset.intersection(*self._starts.values()) if self._starts else None
        return _Summary(entry, yields, ended)

    def _chains(self) -> dict[str, int]:
        """Each node joins the first chain all of which has ended when it begins."""
        chains: list[set[str]] = []
        found: dict[str, int] = {}
        for name, starts in self._starts.items():
            number = next((i for i, chain in enumerate(chains) if chain <= starts), len(chains))
            if number == len(chains):
                chains.append(set())
            chains[number].add(name)
            found[name] = number
        return found

    def _orderly(self) -> bool:
        """Whether nothing can fail while a request of the block is in flight: it has one chain, and what can fail
        does so before it begins, between its members, or after it.
        """
        if not self._contained:
            return True
        if len(set(self._found.chains[id(self._block)].values())) > 1:
            return False
        return all(
            name in waits or other in starts
            for name, starts in self._starts.items()
            for other, waits in self._fragile.items()
            if other != name
        )

    def _of(self, value: ir.Value | None) -> Waits:
        if value is None or self._blind:
            return _NOTHING
        return self._waits.get(value.id, frozenset({value.id}))

    def _all(self, values: Iterable[ir.Value | None]) -> Waits:
        return _NOTHING.union(*(self._of(value) for value in values))

    def _outer(self, waits: Waits, params: Mapping[str, Waits]) -> Waits:
        """What a block inside waits for, as seen here: for its params and captured values, what they wait for."""
        total = _NOTHING
        for name in waits:
            total = total | (params[name] if name in params else self._waits.get(name, frozenset({name})))
        return total

    def _node(self, node: ir.Node) -> None:
        match node:
            case ir.Const():
                self._waits[node.result.id] = _NOTHING
            case ir.Generate():
                starts = self._all((node.source, node.count, *(value for _, value in node.options)))
                self._requests(node, starts)
                self._waits[node.result.id] = starts | {node.result.id}
            case ir.Turn():
                fragile = not node.literal and not cannot_fail_to_render(node.template)
                self._value(node, (node.parent, *(value for _, value in node.args)), fragile)
            case ir.Pure():
                read = node.args[1:] if node.result.id in self._found.early else node.args
                self._value(node, read, not cannot_fail(node.op))
            case ir.Force():
                self._value(node, (node.source, node.text), False)
            case ir.Cut():
                self._value(node, (node.source, node.at), True)
            case ir.Score():
                self._value(node, (node.source, node.given), True)
            case ir.Draw():
                self._value(node, node.args, True)
            case ir.Extern():
                self._value(node, (*node.args, node.after), True)
            case ir.Select():
                self._select(node)
            case ir.Map():
                self._map(node)
            case ir.Dag():
                inside = _Block(node.body, self._found, contained=True).summary()
                starts = self._all((node.over, node.needs))
                self._fragile[node.result.id] = starts
                self._region(node, (node.result,), starts, inside, [starts])
            case ir.Offline():
                inside = self._inner(node.body)
                params = {p.id: self._of(v) for p, v in zip(node.body.params, node.inputs, strict=True)}
                starts = self._all(node.inputs)
                self._fragile[node.id] = starts
                yields = [starts | self._outer(waits, params) for waits in inside.yields]
                self._region(node, node.results, starts, inside, yields)
            case ir.If():
                self._if(node)
            case ir.Repeat():
                self._repeat(node)

    def _inner(self, block: ir.Block) -> _Summary:
        return _Block(block, self._found, self._contained).summary()

    def _value(self, node: ir.Node, operands: Iterable[ir.Value | None], fragile: bool) -> None:
        waits = self._all(operands)
        name = key(node)
        if fragile:
            self._fragile[name] = waits
            waits = waits | {name}
        self._waits[name] = waits

    def _requests(self, node: ir.Node, starts: Waits) -> None:
        self._starts[key(node)] = starts

    def _select(self, node: ir.Select) -> None:
        columns = () if node.result.id in self._found.early else (node.over, node.keys, node.weights)
        self._value(node, (*columns, node.count), node.op in ("vote", "best"))

    def _map(self, node: ir.Map) -> None:
        inside = _Block(node.body, self._found, contained=True).summary()
        over = self._of(node.over)
        params = {param.id: over for param in node.body.params}
        starts = over | self._outer(inside.entry or _NOTHING, params)
        self._region(node, (node.result,), starts, inside, [over])

    def _if(self, node: ir.If) -> None:
        sides = [self._inner(block) for block in (node.then, node.otherwise)]
        condition = self._of(node.condition)
        self._fragile[node.id] = condition
        entries = [self._outer(side.entry, {}) for side in sides if side.entry is not None]
        if entries:
            self._requests(node, condition | frozenset.intersection(*entries))
        for i, result in enumerate(node.results):
            both = frozenset.intersection(*(self._outer(side.yields[i], {}) for side in sides))
            ended = all(side.ended[i] for side in sides)
            self._waits[result.id] = condition | both | ({node.id} if ended else _NOTHING)

    def _repeat(self, node: ir.Repeat) -> None:
        inside = self._inner(node.body)
        limit = self._of(node.limit)
        self._fragile[node.id] = limit
        entry = inside.entry or _NOTHING
        params = [param.id for param in node.body.params]
        links = {
            param for i, param in enumerate(params) if param in entry and inside.ended[i] and param in inside.yields[i]
        }
        stops = inside.ended[-1]
        exclusive = bool(links) or stops
        if exclusive:
            self._found.exclusive.add(node.id)
        starts = limit | self._outer(entry - set(params), {})
        if exclusive:
            starts = starts.union(*(self._of(v) for v, p in zip(node.init, params, strict=True) if p in entry))
        if inside.entry is not None:
            self._requests(node, starts)
        for i, result in enumerate(node.results):
            ended = inside.entry is None or (inside.ended[i] and (stops or bool(links & inside.yields[i])))
            self._waits[result.id] = limit | ({node.id} if ended else _NOTHING)

    def _region(
        self, node: ir.Node, results: Iterable[ir.Value], starts: Waits, inside: _Summary, waits: list[Waits]
    ) -> None:
        if inside.entry is not None:
            self._requests(node, starts)
        for result, each, ended in zip(results, waits, inside.ended, strict=True):
            self._waits[result.id] = each | ({key(node)} if ended else _NOTHING)
