"""Starts a branch, or a loop's next round, before its condition is known, where its requests don't depend on that.

`if judge(draft) >= 8 { return draft }; return refine(draft) |> …` → the same, `ahead=otherwise`: the refinement is
decoded while the judge is, and aborted if the verdict makes it needless. `repeat` likewise: a round begins while the
last one's stop condition is out. It takes time off the critical path and adds tokens that may be for nothing; so it is
never on by itself, only with `--enable speculate`.

Preserves: value. Seeds tell neither when a block starts nor why. What runs ahead is asked for speculatively, calls of
host functions and offline regions in it wait, and under a budget nothing is ahead.
Why here: last of the marks, since conditions and requests should be those that are left.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from ttsc.compiler.ir.nodes import (
    Block,
    Dag,
    Extern,
    Generate,
    If,
    Map,
    Node,
    Offline,
    Program,
    Repeat,
    Score,
    Value,
)
from ttsc.compiler.ir.rewrite import operands, results, rewrite
from ttsc.compiler.passes.pass_ import Context

Slow = int
"""The requests and calls that a value waits for: a bit for each, since these sets are many and large."""


def speculate(program: Program, context: Context) -> Program:
    waits = _Waits()
    waits.block(program.body, 0)

    def mark(node: Node) -> tuple[Node, ...] | None:
        if isinstance(node, If) and node.ahead != waits.sides.get(node.id, node.ahead):
            return (replace(node, ahead=waits.sides[node.id]),)
        if isinstance(node, Repeat) and node.id in waits.loops and not node.ahead:
            return (replace(node, ahead=True),)
        return None

    body = rewrite(program.body, mark)
    return program if body is program.body else replace(program, body=body)


class _Waits:
    """What every value waits for. `sides` and `loops`: which branches and loops have something to gain.

    `conditions`, wherever it is passed: what is waited for by what may not start ahead, which is externs and offline
    regions in a block that does.
    """

    def __init__(self) -> None:
        self.sides: dict[str, Literal["then", "otherwise", "both"]] = {}
        self.loops: set[str] = set()
        self._of: dict[str, Slow] = {}
        self._bits: dict[str, int] = {}
        self._rounds: dict[str, tuple[int, int]] = {}
        """For each loop the first bit of what is in it, and how many there are. As many follow: the round before."""
        self._next = 0

    def block(self, block: Block, conditions: Slow) -> list[Slow]:
        """Follow a block; what each request in it waits for before it can be made."""
        asked: list[Slow] = []
        for node in block.nodes:
            asked.extend(self._node(node, conditions))
        return asked

    def _node(self, node: Node, conditions: Slow) -> list[Slow]:
        before = self._all(operands(node))
        match node:
            case Generate() | Score():
                self._set(results(node), before | self._bit(node.result.id))
                return [before]
            case Extern():
                self._set(results(node), before | self._bit(node.result.id) | conditions)
            case Offline():
                self._set(results(node), before | self._bit(node.id) | conditions)
            case Map(body=body) | Dag(body=body):
                self._set(body.params, before)
                asked = self.block(body, conditions)
                self._set(results(node), before | self._all(body.yields))
                return asked
            case If():
                return self._branch(node, before, conditions)
            case Repeat():
                return self._loop(node, before, conditions)
            case _:
                self._set(results(node), before)
        return []

    def _branch(self, node: If, condition: Slow, conditions: Slow) -> list[Slow]:
        asked: list[Slow] = []
        gains: list[bool] = []
        for block in (node.then, node.otherwise):
            inside = self.block(block, conditions | condition)
            gains.append(any(condition & ~each for each in inside))
            asked.extend(each | condition for each in inside)
        if any(gains):
            self.sides[node.id] = "both" if all(gains) else "then" if gains[0] else "otherwise"
        for result, a, b in zip(node.results, node.then.yields, node.otherwise.yields, strict=True):
            self._set((result,), condition | self._all((a, b)))
        return asked

    def _loop(self, node: Repeat, before: Slow, conditions: Slow) -> list[Slow]:
        """A round is followed twice: as one, then as the next one, after what the first has carried on."""
        params, yields = node.body.params, node.body.yields
        self._set(params, 0)
        begin = self._next
        first = self.block(node.body, conditions)
        carried = [self._of.get(value.id, 0) for value in yields[:-1]]
        stop = self._all(yields[-1:])
        if node.id not in self._rounds:  # once: loops in loops are met again and again
            self._rounds[node.id] = begin, self._next - begin
            self._next += self._next - begin
            for param, slow in zip(params, carried, strict=True):
                self._set((param,), self._before(node, slow))
            following = self.block(node.body, conditions | self._before(node, stop))
            if any(self._before(node, stop) & ~each for each in following):
                self.loops.add(node.id)
        around = before | stop
        for slow in carried:
            around |= slow
        self._set((*params, *node.results), around)
        return [each | before for each in first]

    def _before(self, loop: Repeat, slow: Slow) -> Slow:
        """The same one round earlier: what is in the loop is told apart from what the next round asks."""
        first, count = self._rounds[loop.id]
        inside = slow & (((1 << count) - 1) << first)
        return slow ^ inside | inside << count

    def _bit(self, name: str) -> Slow:
        if name not in self._bits:
            self._bits[name] = self._next
            self._next += 1
        return 1 << self._bits[name]

    def _all(self, values: Iterable[Value]) -> Slow:
        slow = 0
        for value in values:
            slow |= self._of.get(value.id, 0)
        return slow

    def _set(self, values: Iterable[Value], slow: Slow) -> None:
        for value in values:
            self._of[value.id] = slow
