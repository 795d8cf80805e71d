"""Makes a selection of what reads only the beginning of a list, so that the rest can be stopped.

`pool |> verify(test) |> one` → `one` of a selection `leading` with count 1: the first candidate that passes is known
once it has passed and those before it have not. `take(xs, k)` → count k; `xs[2]` → count 3. Left as they are: lists
that are there anyway, and generations of a single candidate.

Preserves: value. What is selected are the first elements that are there, as all of them would have given them; what
fails behind them is no longer known.
Why here: on what is left of the program, before `decide_early` lets the selection end.
"""

from __future__ import annotations

from dataclasses import replace

from ttsc.compiler.ir.deciding import Deciding
from ttsc.compiler.ir.known import Range
from ttsc.compiler.ir.nodes import Block, Const, Generate, Leading, Map, Node, Program, Pure, Select, Value
from ttsc.compiler.ir.rewrite import blocks, rewrite, walk
from ttsc.compiler.passes.pass_ import Context
from ttsc.compiler.values.types import INT


def select_leading(program: Program, context: Context) -> Program:
    deciding = Deciding(program)
    if not any(isinstance(node, Pure) and deciding.reads_beginning(node) for node in walk(program.body)):
        return program
    homes = _homes(program.body)

    def lead(node: Node) -> tuple[Node, ...] | None:
        if not isinstance(node, Pure) or not deciding.reads_beginning(node):
            return None
        source = node.args[0]
        count = _count(node, deciding) if homes[source.id] == homes[node.result.id] else None
        if count is None:
            return None
        leading = Value(f"{node.result.id}.leading", source.type)
        wanted = count if isinstance(count, Value) else Value(f"{node.result.id}.count", INT)
        return (
            *(() if isinstance(count, Value) else (Const(wanted, count, node.span),)),
            Select(leading, "leading", source, Leading(), count=wanted, span=node.span),
            replace(node, args=(leading, *node.args[1:])),
        )

    body = rewrite(program.body, lead)
    return program if body is program.body else replace(program, body=body)


def _count(node: Pure, deciding: Deciding) -> int | Value | None:
    """How many elements from the beginning are read, if that can be told."""
    match node.op:
        case "one":
            return 1
        case "take":
            number = deciding.known(node.args[1])
            return node.args[1] if isinstance(number, Range) and number.low >= 0 else None
    index = deciding.constants.get(node.args[1].id)
    return index + 1 if isinstance(index, int) and not isinstance(index, bool) and index >= 0 else None


def _homes(body: Block) -> dict[str, int]:
    """The block in which each map, generation and operation stands."""
    homes: dict[str, int] = {}
    waiting = [body]
    while waiting:
        block = waiting.pop()
        for node in block.nodes:
            if isinstance(node, Map | Generate | Pure):
                homes[node.result.id] = id(block)
            waiting.extend(blocks(node))
    return homes
