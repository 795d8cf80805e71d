"""Bodies of maps that only compute: worked out at once where their element arrives, without a task or cells.

Most maps take a candidate apart (its text, the answer in it, a comparison): what such a body yields is there in the
moment the element is.
"""

from __future__ import annotations

from collections.abc import Mapping

from ttsc.compiler.ir.nodes import Block, Const, Pure
from ttsc.compiler.values.pure import evaluate
from ttsc.runtime.blocks import Job
from ttsc.runtime.streams import computed
from ttsc.runtime.values import frozen


class Inline:
    """A body of constants and operations. What its yield does not need is left out, as it is where nobody asks."""

    def __init__(self, body: Block, around: Mapping[str, object]) -> None:
        self._param = body.params[0].id
        self._yield = body.yields[0].id
        self._around = dict(around)
        self._operations: list[Pure] = []
        needed = {self._yield}
        for node in reversed(body.nodes):
            assert isinstance(node, Const | Pure)
            if node.result.id not in needed:
                continue
            if isinstance(node, Const):
                self._around[node.result.id] = frozen(node.value)
            else:
                needed.update(value.id for value in node.args)
                self._operations.append(node)
        self._operations.reverse()

    def value(self, element: object) -> object:
        """What the body yields for an element. Raises what operations raise."""
        known = {**self._around, self._param: element}
        for node in self._operations:
            known[node.result.id] = _applied(node, [known[value.id] for value in node.args])
        return known[self._yield]


def _applied(node: Pure, args: list[object]) -> object:
    return computed(args, lambda: evaluate(node.op, node.attr, args))


def inlined(job: Job, body: Block) -> Inline | None:
    """The body, if it only computes, and of values that are there."""
    if len(body.yields) != 1 or not all(isinstance(node, Const | Pure) for node in body.nodes):
        return None
    around: dict[str, object] = {}
    for name in job.run.operands.captured(body):
        cell = job.uses[name].cell
        if not cell.whole or cell.promise.error is not None:
            return None
        around[name] = cell.promise.value
    return Inline(body, around)
