"""Offline: a region that is computed once for its inputs and models, and then taken from what is kept.

Its seeds derive from the key alone, so it says the same whatever the seed of the run that computes it.
"""

from __future__ import annotations

from collections.abc import Awaitable

from ttsc.compiler.ir.nodes import Generate, Offline, Score
from ttsc.compiler.ir.rewrite import walk
from ttsc.runtime.artifacts import NotData, Values, digest, encoded
from ttsc.runtime.blocks import Interpreter, Job, start_block
from ttsc.runtime.events import OfflineTaken
from ttsc.runtime.failures import NOT_DATA, failed
from ttsc.runtime.leases import resolved
from ttsc.runtime.streams import cause_of, completed


async def execute_offline(job: Job, node: Offline, interpreter: Interpreter) -> None:
    run = job.run
    inputs = [await job.complete(value) for value in node.inputs]
    key = _key(job, node, inputs)

    async def compute() -> tuple[Values, bool]:
        params = [resolved(value, run.cascade) for value in inputs]
        yields = start_block(run, node.body, params, None, (key,), interpreter)
        for param in params:
            param.settle()
        try:
            values = tuple([await completed(use) for use in yields])
        finally:
            for use in yields:
                use.release()
        for value in values:
            _data(value, f"the result of the offline value `{node.id}`")
        return values, not run.ledger.cut and all(cause_of(value) is None for value in values)

    async def wait(other: Awaitable[None]) -> None:
        async def waiting() -> None:
            await other

        await run.in_time(waiting())

    found = await run.session.artifacts.get(key, len(node.results), compute, wait)
    values = [encoded(value) for value in found.values] if found.read else None
    run.emit(OfflineTaken(node.id, key, found.source, run.session.now_s(), found.note, run.input_index, values))
    for cell, value in zip(job.cells, found.values, strict=True):
        cell.resolve(value)


def _key(job: Job, node: Offline, inputs: list[object]) -> str:
    """What the values belong to: the computation, what goes in, and the models that its roles are bound to."""
    roles = {inner.model for inner in walk(node.body) if isinstance(inner, Generate | Score)}
    models = {role: job.run.lane(role).engine.info.speaker for role in sorted(roles)}
    data = [_data(value, f"what the offline value `{node.id}` reads") for value in inputs]
    return digest([node.key, data, models])


def _data(value: object, what: str) -> object:
    try:
        return encoded(value)
    except NotData as error:
        raise failed(NOT_DATA, f"{what} holds a {error}, which lives only inside a run") from error
