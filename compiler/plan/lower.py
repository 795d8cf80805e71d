"""From the optimized graph to the plan: what each generation asks of an engine, as far as it is known before running.

The graph itself is unchanged. Beside it come the prefix tree (what a radix cache will hold) and one `Request` for each
`Generate` and each `Score`. Whether a node's requests may be aborted is decided here, by looking at everything that
depends on what they give: only if all of it ends in selections that are decided early is an unfinished one useless.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal

from ttsc.compiler.ir.candidates import hands_on
from ttsc.compiler.ir.nodes import (
    Block,
    Const,
    Constant,
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
)
from ttsc.compiler.ir.rewrite import blocks, operands, results, walk
from ttsc.compiler.plan.critical import critical_paths
from ttsc.compiler.plan.nodes import Level, Plan, Prefix, Request

_LABEL = 48


def lower(program: Program, level: Level, passes: Iterable[str]) -> Plan:
    """The plan of a program. `passes` are the names of those that ran."""
    tree = _PrefixTree()
    tree.block(program.body)
    constants = {node.result.id: node.value for node in walk(program.body) if isinstance(node, Const)}
    needed = _needed_to_the_end(program.body)
    ahead = set(_started_ahead(program.body))
    critical = critical_paths(program)
    requests = tuple(
        replace(
            _request(
                node,
                constants,
                tree.begins.get(node.result.id),
                node.result.id not in needed or node.result.id in ahead,
            ),
            critical=critical[node.result.id],
        )
        for node in walk(program.body)
        if isinstance(node, Generate | Score)
    )
    return Plan(program, level, tuple(passes), requests, tuple(tree.prefixes))


def _request(node: Generate | Score, constants: dict[str, Constant], prefix: int | None, abortable: bool) -> Request:
    if isinstance(node, Score):
        return Request(
            node=node.result.id,
            op=node.kind,
            role=node.model,
            fixed=(),
            dynamic=(),
            prefix=prefix,
            stream=False,
            share_prefix=False,
            abortable=abortable,
            kind=node.kind if node.kind in ("reward", "embed") else "score",
        )
    return Request(
        node=node.result.id,
        op=node.op,
        role=node.model,
        fixed=tuple((name, constants[value.id]) for name, value in node.options if value.id in constants),
        dynamic=tuple((name, value.id) for name, value in node.options if value.id not in constants),
        prefix=prefix,
        stream=node.stream or any(name == "stop_below" for name, _ in node.options),
        share_prefix=node.share_prefix,
        abortable=abortable,
    )


# --- the prefix tree ------------------------------------------------------------------------------------------------


class _PrefixTree:
    """Follows candidates and contexts through the graph. A value without a place has one only at run time."""

    def __init__(self) -> None:
        self.prefixes: list[Prefix] = []
        self.begins: dict[str, int] = {}
        self._place: dict[str, int] = {}
        self._carried: set[str] = set()

    def block(self, block: Block) -> None:
        for node in block.nodes:
            self._node(node)

    def _node(self, node: Node) -> None:
        match node:
            case Turn():
                self._turn(node)
            case Generate():
                self._generation(node)
            case Force():
                self._add(node.result, self._at(node.source), "forced", f"force %{node.text.id}", [node.source])
            case Cut():
                self._add(node.result, self._at(node.source), "cut", f"cut at %{node.at.id}", [node.source])
            case Score():
                self._begin(node.result, node.source)
            case Dag():
                self._follow(node.body.params[0], [node.over])
                self._carried.add(node.body.params[1].id)
                self.block(node.body)
                self._follow(node.result, list(node.body.yields))
            case Offline():
                for param, value in zip(node.body.params, node.inputs, strict=True):
                    self._follow(param, [value])
                self.block(node.body)
            case Map():
                self._follow(node.body.params[0], [node.over])
                self.block(node.body)
                self._follow(node.result, [node.over] if node.mode == "filter" else list(node.body.yields))
            case If():
                self.block(node.then)
                self.block(node.otherwise)
                for result, a, b in zip(node.results, node.then.yields, node.otherwise.yields, strict=True):
                    self._follow(result, [a, b])
            case Repeat():
                self._repeat(node)
            case Select() if node.op in ("best", "keep", "stop_first", "leading"):
                self._follow(node.result, [node.over])
            case Draw(op="resample" | "shuffle"):
                self._follow(node.result, [node.args[0], *node.args[4:]])
            case Pure() if hands_on(node):
                self._follow(node.result, list(node.args))

    def _repeat(self, node: Repeat) -> None:
        for param, init in zip(node.body.params, node.init, strict=True):
            self._follow(param, [init])
            self._carried.add(param.id)
        self.block(node.body)
        for result, given, init in zip(node.results, node.body.yields, node.init, strict=False):
            self._follow(result, [given, init])

    def _turn(self, node: Turn) -> None:
        text = node.template.replace("\n", "\\n")
        shown = text if len(text) <= _LABEL else text[: _LABEL - 1] + "…"
        parent = None if node.parent is None else self._at(node.parent)
        self._add(node.result, parent, "turn", f"{node.role}: {shown}", [] if node.parent is None else [node.parent])

    def _generation(self, node: Generate) -> None:
        self._begin(node.result, node.source)
        at = self._at(node.source)
        self._add(node.result, at, "generation", f"{node.op} x %{node.count.id} by {node.model}", [node.source])

    def _begin(self, result: Value, source: Value) -> None:
        at = self._at(source)
        if at is not None and source.id not in self._carried:
            self.begins[result.id] = at

    def _add(
        self,
        result: Value,
        parent: int | None,
        kind: Literal["turn", "generation", "forced", "cut"],
        label: str,
        sources: list[Value],
    ) -> None:
        place = len(self.prefixes)
        self.prefixes.append(Prefix(place, parent, kind, result.id, label))
        self._place[result.id] = place
        if any(source.id in self._carried for source in sources):
            self._carried.add(result.id)

    def _at(self, value: Value) -> int | None:
        return self._place.get(value.id)

    def _follow(self, value: Value, sources: list[Value]) -> None:
        """`value` is, or holds, one of the sources: it has their place if they agree."""
        places = {self._place[source.id] for source in sources if source.id in self._place}
        if places:
            self._place[value.id] = max(places)
        if len(places) > 1 or any(source.id in self._carried for source in sources):
            self._carried.add(value.id)


# --- what an abort would cost ---------------------------------------------------------------------------------------


def _needed_to_the_end(body: Block) -> set[str]:
    """Values that the result depends on other than through an early selection, so that none of them may be given up."""
    feeds = _dependencies(body)
    needed = {value.id for value in body.yields}
    needed.update(_called_anyway(body))
    waiting = list(needed)
    while waiting:
        for source in feeds.get(waiting.pop(), ()):
            if source not in needed:
                needed.add(source)
                waiting.append(source)
    return needed


def _dependencies(body: Block) -> dict[str, set[str]]:
    """For each value, the values it needs whole. The lists that an early selection reads are not among them."""
    feeds: dict[str, set[str]] = {}

    def link(values: Iterable[Value], sources: Iterable[Value]) -> None:
        names = {source.id for source in sources}
        for value in values:
            feeds.setdefault(value.id, set()).update(names)

    for node in walk(body):
        match node:
            case Select(early=True):
                link(results(node), [v for v in (node.count, node.otherwise) if v is not None])
            case Map():
                link((node.result,), (node.over, *node.body.yields))
                link(node.body.params, (node.over,))
            case Dag():
                link((node.result, *node.body.params), (node.over, node.needs, *node.body.yields))
            case Offline():
                link(node.results, (*node.inputs, *node.body.yields))
                link(node.body.params, node.inputs)
            case If():
                for result, a, b in zip(node.results, node.then.yields, node.otherwise.yields, strict=True):
                    link((result,), (node.condition, a, b))
            case Repeat():
                end = (node.limit, node.body.yields[-1])
                for result, param, init, given in zip(
                    node.results, node.body.params, node.init, node.body.yields, strict=False
                ):
                    link((result, param), (*end, init, given))
            case _:
                link(results(node), operands(node))
    return feeds


def _started_ahead(body: Block) -> Iterator[str]:
    """Requests of blocks that start ahead of their condition, which may turn out to be needless."""
    for node in walk(body):
        inside: tuple[Block, ...] = ()
        match node:
            case Repeat(ahead=True):
                inside = (node.body,)
            case If(ahead="both"):
                inside = (node.then, node.otherwise)
            case If(ahead="then"):
                inside = (node.then,)
            case If(ahead="otherwise"):
                inside = (node.otherwise,)
        for block in inside:
            yield from (each.result.id for each in walk(block) if isinstance(each, Generate | Score))


def _called_anyway(block: Block) -> Iterator[str]:
    """Calls of host functions but those in the body of a map or a dependency graph, which come and go with its
    elements.
    """
    for node in block.nodes:
        if isinstance(node, Extern):
            yield node.result.id
        elif not isinstance(node, Map | Dag):
            for inner in blocks(node):
                yield from _called_anyway(inner)
