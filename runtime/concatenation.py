"""Lists put together: `a + b` where elements of either are still to come.

The sum is a stream whose slots are those of its parts, in order, so a candidate of one pool is judged, scored or voted
for while others of either are still decoded. An element that is missing is missing from the sum as well.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

from ttsc.compiler.ir.nodes import Pure
from ttsc.compiler.values.evaluation import items_fit
from ttsc.runtime.blocks import Job
from ttsc.runtime.leases import Promise
from ttsc.runtime.operands import puts_together
from ttsc.runtime.streams import LEFT_OUT, Stream, cause_of, slots_of


def concatenates(node: Pure, args: list[object]) -> bool:
    """Whether the operation puts lists together of which one is still to come."""
    return puts_together(node) and any(isinstance(each, Stream) for each in args)


async def execute_concatenation(job: Job, node: Pure, parts: list[object]) -> None:
    """`parts`: the values of the node's arguments."""
    uses = [job.use(value).cell.use() for value in node.args]
    job.release()
    unwatch: list[Callable[[], None]] = []
    try:
        slots = [slots_of(part, lazily=True) for part in parts]
        ends = list(accumulate(map(len, slots)))
        starts = [0, *ends[:-1]]
        items_fit(ends[-1])
        places = [(part, index) for part, each in enumerate(slots) for index in range(len(each))]

        def abandon(index: int) -> None:
            part, place = places[index]
            stream.set(index, LEFT_OUT)
            uses[part].release_element(place)

        def demanded(upto: int) -> None:
            for part, start in zip(parts, starts, strict=True):
                if isinstance(part, Stream) and upto > start:
                    part.demand(upto - start)

        def arrival(index: int) -> Callable[[Promise], None]:
            part, place = places[index]

            def arrived(slot: Promise) -> None:
                stream.set(index, slot.value)
                uses[part].release_element(place)

            return arrived

        def progress(start: int) -> Callable[[int, int], None]:
            return lambda index, tokens: stream.advance(start + index, tokens)

        cause = next((found for part in parts if (found := cause_of(part)) is not None), None)
        stream = Stream(ends[-1], job.run.cascade, abandon, cause, demanded)
        for part, start, each in zip(parts, starts, slots, strict=True):
            if isinstance(part, Stream):
                stream.progress[start : start + len(each)] = part.progress
                unwatch.append(part.watch(progress(start)))
        for index, (part, place) in enumerate(places):
            slots[part][place].on_done(arrival(index))
        stream.publish(job.cell)
        for index in range(stream.length):
            await stream.slot(index).wait()
    finally:
        for end in unwatch:
            end()
        for use in uses:
            use.release()
