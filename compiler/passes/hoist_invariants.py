"""Takes out of a loop what is the same in each of its rounds, or for each of its elements, so that it is done once.

`each(d => { let rules = summary(q) |> sample(1, temperature=0); judge(d, rules) })` → the greedy `rules` before the
loop, asked for once. Constants, operations, prompts and forced texts move, and a `map` of these over a list from
outside; what may fail only out of a `repeat` that surely runs, since it would fail there as well. Greedy generations
and scores move out of any body that surely runs.

Preserves: value. A sampled generation stays: its seed tells the rounds apart. So do draws, selections, calls of host
functions and offline regions, and what is inside of a branch. A request leaves only a body that runs at least once, so
that no more is asked than before; where an engine fails all elements of the list, one was asked for nothing.
Why here: after constants are folded, since a limit has to be known; before `share_prefixes`, which makes equal prompts
one where they then stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ttsc.compiler.ir.failures import can_fail, single
from ttsc.compiler.ir.nodes import (
    Block,
    Const,
    Constant,
    Dag,
    Force,
    Generate,
    Map,
    Node,
    Parameter,
    Program,
    Pure,
    Repeat,
    Score,
    Turn,
    Value,
)
from ttsc.compiler.ir.rewrite import free_values, operands, results, walk, with_nodes, within
from ttsc.compiler.passes.pass_ import Context
from ttsc.compiler.values.types import Interval


def hoist_invariants(program: Program, context: Context) -> Program:
    body = _Hoisting(program).block(program.body)
    return program if body is program.body else replace(program, body=body)


class _Hoisting:
    """Walks loops from the inside out, so that a node leaves as many of them as it can."""

    def __init__(self, program: Program) -> None:
        self._constants: dict[str, Constant] = {}
        self._nodes: dict[str, Node] = {}
        self._parameters: Mapping[str, Parameter] = {each.value.id: each for each in program.parameters}
        for node in walk(program.body):
            if isinstance(node, Const):
                self._constants[node.result.id] = node.value
            if isinstance(node, Const | Generate | Pure):
                self._nodes[node.result.id] = node

    def block(self, block: Block) -> Block:
        nodes: list[Node] = []
        for node in block.nodes:
            inside = within(node, self.block)
            if isinstance(inside, Map | Dag | Repeat):
                outside, inside = self._parted(inside)
                nodes.extend(outside)
            nodes.append(inside)
        return with_nodes(block, nodes)

    def _parted(self, loop: Map | Dag | Repeat) -> tuple[list[Node], Node]:
        """What leaves the loop, and the loop without it."""
        runs = self._surely_runs(loop)
        inner = {param.id for param in loop.body.params}
        leaving: list[Node] = []
        staying: list[Node] = []
        for node in loop.body.nodes:
            if self._may_move(node, runs, runs and isinstance(loop, Repeat)) and inner.isdisjoint(free_values(node)):
                leaving.append(node)
            else:
                staying.append(node)
                inner.update(result.id for result in results(node))
        return (leaving, replace(loop, body=with_nodes(loop.body, staying))) if leaving else ([], loop)

    def _may_move(self, node: Node, runs: bool, may_fail: bool) -> bool:
        """`runs`: the body surely runs. `may_fail`: where it fails, it would have done so without moving as well."""
        match node:
            case Const():
                return True
            case Pure() | Turn() | Force():
                return may_fail or not can_fail(node, self._nodes)
            case Score():
                return runs
            case Generate():
                return runs and self._greedy(node)
            case Map(body=body):
                # a failure inside removes an element of the inner list, wherever that is computed
                return all(self._may_move(each, runs and self._surely_runs(node), True) for each in body.nodes)
        return False

    def _greedy(self, node: Generate) -> bool:
        """Nothing of it depends on a seed. What an engine's own options do is unknown."""
        options = dict(node.options)
        temperature = options.get("temperature")
        return temperature is not None and self._constants.get(temperature.id) == 0 and "engine" not in options

    def _surely_runs(self, loop: Map | Dag | Repeat) -> bool:
        """Whether the body runs at least once, unless an engine fails."""
        match loop:
            case Repeat(limit=limit):
                return self._positive(limit)
            case Map(over=over):
                return self._filled(over)
        return False  # a graph may fail before its first element: for a cycle, or another number of edges

    def _positive(self, value: Value) -> bool:
        constant = self._constants.get(value.id)
        if isinstance(constant, int):
            return constant > 0
        parameter = self._parameters.get(value.id)
        allowed = None if parameter is None else parameter.tunable
        if isinstance(allowed, Interval):
            return allowed.low > 0
        return bool(allowed) and all(isinstance(each, int) and each > 0 for each in allowed or ())

    def _filled(self, value: Value) -> bool:
        """Whether a list has an element."""
        constant = self._constants.get(value.id)
        if constant is not None:
            return constant != ()
        node = self._nodes.get(value.id)
        if isinstance(node, Generate):
            return single(node) and self._positive(node.count)
        return isinstance(node, Pure) and node.op == "list" and bool(operands(node))
