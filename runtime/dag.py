"""Dag: elements that need each other's values. Each starts as soon as it is there and those it needs are done.

Which edges there are is settled first, since one that closes a cycle can only be seen among all of them; the elements
themselves may still be coming. An element is needed by the consumers of the list and by the elements that need it, and
is abandoned when none of them is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from ttsc.compiler.ir.nodes import Dag
from ttsc.compiler.values.dependencies import Needs, problem, valid_needs
from ttsc.runtime.blocks import Interpreter, Job, guarded, start_block
from ttsc.runtime.failures import DAG_INVALID, INVALID_ARGUMENT, RunFailed, failed
from ttsc.runtime.leases import Promise, resolved
from ttsc.runtime.streams import LEFT_OUT, Absent, Stream, cause_of, complete, completed, slots_of


class Graph:
    """One Dag node while it runs: a task per element."""

    def __init__(
        self, job: Job, node: Dag, over: object, slots: list[Promise], edges: Needs, interpreter: Interpreter
    ) -> None:
        self._job = job
        self._node = node
        self._slots = slots
        self._edges = edges
        self._interpreter = interpreter
        self._over = job.use(node.over).cell.use()
        self._ended = bytearray(len(slots))
        self.stream = Stream(len(slots), job.run.cascade, self._abandon, cause_of(over))
        for needed in edges:
            for other in needed:
                self.stream.hold(other)
        self._tasks = [job.run.spawn(self._element(i), f"{node.result.id}[{i}]") for i in range(len(slots))]

    async def finish(self) -> None:
        try:
            if self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            self._over.release()

    def _abandon(self, index: int) -> None:
        self.stream.set(index, LEFT_OUT)
        self._tasks[index].cancel()
        self._end(index)

    def _end(self, index: int) -> None:
        """The element needs nothing any more."""
        if not self._ended[index]:
            self._ended[index] = 1
            self._over.release_element(index)
            for other in self._edges[index]:
                self.stream.let_go(other)

    async def _element(self, index: int) -> None:
        try:
            await guarded(self._produce(index))
        except RunFailed as error:
            self._job.run.stop_if_fatal(error)
            self.stream.set(index, Absent(error.failure))
        self._end(index)

    async def _produce(self, index: int) -> None:
        element = await self._slots[index].wait()
        found = [await self.stream.slot(other).wait() for other in self._edges[index]]
        absent = next((each for each in (element, *found) if isinstance(each, Absent)), None)
        if absent is not None:
            self.stream.set(index, absent)
            return
        job = self._job
        params = [resolved(element, job.run.cascade), resolved(tuple(found), job.run.cascade)]
        yields = start_block(job.run, self._node.body, params, job.scope, (*job.scope.path, index), self._interpreter)
        for param in params:
            param.settle()
        try:
            self.stream.set(index, await completed(yields[0]))
        finally:
            for use in yields:
                use.release()


async def execute_dag(job: Job, node: Dag, interpreter: Interpreter) -> None:
    over = await job.value(node.over)
    slots = slots_of(over)
    needs = [await slot.wait() for slot in slots_of(await job.value(node.needs))]
    if len(needs) != len(slots):
        over = await complete(over)
        slots = slots_of(over)
        needs = [each for each in needs if not isinstance(each, Absent)]
        if len(needs) != len(slots):
            raise failed(
                INVALID_ARGUMENT, f"`dag` got {len(slots)} elements, but what is needed of {len(needs)} of them"
            )
    for index, needed in enumerate(needs):
        if isinstance(needed, Absent):
            slots[index] = Promise()
            slots[index].resolve(needed)
    edges = checked_edges([() if isinstance(each, Absent) else each for each in needs], node.invalid == "drop")
    graph = Graph(job, node, over, slots, edges, interpreter)
    if node.over.id not in job.run.operands.captured(node.body):
        job.use(node.over).release()
    graph.stream.publish(job.cell)
    await graph.finish()


def checked_edges(needs: Sequence[object], drop: bool) -> Needs:
    """For each element the indices of those it needs, without cycles.

    What is invalid is settled in `compiler.values.dependencies`, as for `depth`. With `drop` such edges are left out,
    else the node fails and tells of the first.
    """
    for index, needed in enumerate(needs):
        if not isinstance(needed, list | tuple) or any(not isinstance(i, int) or isinstance(i, bool) for i in needed):
            raise failed(INVALID_ARGUMENT, f"what element {index} needs is no list of whole numbers: {needed!r}")
    given = cast(Sequence[Sequence[int]], needs)
    wrong = None if drop else problem(given)
    if wrong is not None:
        raise failed(DAG_INVALID, wrong, "or leave such edges out with invalid=drop")
    return valid_needs(given)
