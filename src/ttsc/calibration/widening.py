"""The program as it is run to be measured: pools as large as samples are wanted, nothing decided early, no budget.

Candidates keep their places, so the first n of a larger pool are the n of a smaller one, and are not asked again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ttsc.calibration.walks import free_walk, waiting_for
from ttsc.compiler.ir.nodes import Block, Const, Generate, If, Node, Program, Repeat, Value
from ttsc.compiler.ir.rewrite import blocks, ids, rewrite, walk
from ttsc.compiler.values.types import FLOAT, INT, ListOf
from ttsc.driver import Compiled, pass_names

KEPT_PASSES = ("share_prefixes",)
"""Passes that change nothing of what is asked, and save the engine work."""


def pools(program: Program) -> tuple[Generate, ...]:
    """Generations of candidates from one prompt, outside of loops and of what is done for each element."""
    return tuple(
        node
        for node in _outside(program.body, loops=False)
        if isinstance(node, Generate) and node.op == "sample" and not isinstance(node.source.type, ListOf)
    )


def writers(program: Program) -> tuple[Generate, ...]:
    """Generations of candidates, those in loops and those that are continued included."""
    return tuple(
        node
        for node in _outside(program.body, loops=True)
        if isinstance(node, Generate) and node.op in ("sample", "branch")
    )


def _outside(block: Block, loops: bool) -> list[Node]:
    """The nodes of a block and of its branches; `loops`: of its loops, too."""
    found: list[Node] = []
    for node in block.nodes:
        found.append(node)
        if isinstance(node, If) or (loops and isinstance(node, Repeat)):
            for inner in blocks(node):
                found += _outside(inner, loops)
    return found


@dataclass(frozen=True, slots=True)
class Widened:
    """`stands_for`: of nodes that were added, the program's own whose requests they are like (`walks.py`)."""

    compiled: Compiled
    stands_for: Mapping[str, str]


def widened(compiled: Compiled, samples: int, temperature: float | None = None) -> Widened:
    """The program with `samples` candidates in each of its pools, at a `temperature` (None: its own). One without pools
    that searches step by step gets free walks.
    """
    from ttsc.compiler.passes.pass_ import Context
    from ttsc.compiler.passes.runner import run_passes
    from ttsc.compiler.plan.lower import lower

    program = compiled.built
    known = {each.name: each.default for each in program.parameters if each.known}
    large = {node.result.id for node in pools(program)}
    warm = (
        {node.result.id for node in writers(program) if not _greedy(node, program)}
        if temperature is not None
        else set()
    )
    taken = ids(program)
    loops = set() if large else {node.id for node in program.body.nodes if isinstance(node, Repeat)}
    stands_for: dict[str, str] = {}
    waited: list[Value] = []

    def fresh(base: str) -> str:
        name = next(each for each in (base, *(f"{base}_{i}" for i in range(1, 1000))) if each not in taken)
        taken.add(name)
        return name

    def rule(node: Node) -> Sequence[Node] | None:
        if isinstance(node, Repeat) and node.id in loops:
            walk = free_walk(node, samples, fresh)
            if walk is None:
                return None
            stands_for.update(walk.stands_for)
            waited.extend(walk.results)
            return (node, *walk.nodes)
        if not isinstance(node, Generate) or node.result.id not in large | warm:
            return None
        before: list[Node] = []
        if node.result.id in large:
            count = Value(fresh("samples"), INT)
            before.append(Const(count, samples, span=node.span))
            node = replace(node, count=count)
        if node.result.id in warm:
            warmth = Value(fresh("temperature"), FLOAT)
            before.append(Const(warmth, temperature, span=node.span))
            options = tuple((name, value) for name, value in node.options if name != "temperature")
            node = replace(node, options=(*options, ("temperature", warmth)))
        return [*before, node]

    body = waiting_for(rewrite(program.body, rule), waited, fresh)
    wide = replace(program, body=body, budget=())
    others = tuple(name for name in pass_names() if name not in KEPT_PASSES)
    ran = run_passes(wide, 1, others, None, Context(known), {})
    return Widened(replace(compiled, built=wide, plan=lower(ran.program, 1, ran.names)), stands_for)


def _greedy(node: Generate, program: Program) -> bool:
    """Whether its temperature is written as 0."""
    wanted = dict(node.options).get("temperature")
    return wanted is not None and any(
        isinstance(each, Const) and each.result.id == wanted.id and each.value == 0 for each in walk(program.body)
    )
