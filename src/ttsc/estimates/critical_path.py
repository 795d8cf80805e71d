"""The critical path of a run: the chain of requests and calls that its end waited for, found backwards in time.

In virtual time whatever a completion sets off starts at the same instant, so the span that ended last before a start
is the one that was waited for. Where none ended there, nothing but the client (or the abort of what was no longer
needed) took the time between.
"""

from __future__ import annotations

from collections.abc import Sequence

from ttsc.estimates.collector import Done, InputRecord
from ttsc.estimates.figures import Leg

_SAME_S = 1e-9
"""Times that are no further apart are one."""


def critical_path(record: InputRecord) -> tuple[Leg, ...]:
    """From the input's start to its end, without holes: the legs' seconds add up to the input's."""
    legs: list[Leg] = []
    cursor = record.end_s
    by_id = {each.request_id: each for each in record.done if each.request_id}
    left = [each for each in record.done if each.end_s - each.start_s > _SAME_S]
    waiter: Done | None = None
    while cursor - record.start_s > _SAME_S:
        left = [each for each in left if each.start_s < cursor - _SAME_S]
        found = _waited_for(left, cursor, by_id.get(waiter.parent or "") if waiter is not None else None)
        if found is None:
            warming = _warming(left, waiter, record.start_s, cursor)
            if warming is not None and warming.start_s - record.start_s <= _SAME_S:
                legs.append(Leg(warming.node, record.start_s, cursor - record.start_s))
                break
            legs.append(Leg("", record.start_s, cursor - record.start_s))
            break
        end = min(found.end_s, cursor)
        if cursor - end > _SAME_S:
            warming = _warming(left, waiter, end, cursor)
            if warming is not None:
                legs.append(Leg(warming.node, warming.start_s, cursor - warming.start_s))
                cursor, waiter = warming.start_s, warming
                continue
            legs.append(Leg("", end, cursor - end))
        start = max(found.start_s, record.start_s)
        legs.append(Leg(found.node, start, end - start))
        cursor, waiter = start, found
    return tuple(reversed(legs))


def _warming(spans: Sequence[Done], waiter: Done | None, since_s: float, cursor: float) -> Done | None:
    """The sibling whose first token `waiter` waited for, so as to find their prefix in the cache."""
    if waiter is None:
        return None
    before = [
        each
        for each in spans
        if each.node == waiter.node and since_s - _SAME_S <= each.start_s and each.end_s > cursor + _SAME_S
    ]
    return min(before, key=lambda each: each.start_s, default=None)


def _waited_for(spans: Sequence[Done], cursor: float, parent: Done | None) -> Done | None:
    """The span whose end let go on what went on at `cursor`; all of them began before. One that was cut off ends
    because of another's end, unless none ended since it began: then its own tokens decided.
    """
    whole = [each for each in spans if each.finish != "abort" and each.end_s <= cursor + _SAME_S]
    best = max(whole, key=lambda each: (each.end_s, each is parent), default=None)
    cut = [each for each in spans if each.finish == "abort" and each.end_s <= cursor + _SAME_S]
    if cut:
        last = max(cut, key=lambda each: (each.end_s, -each.start_s))
        if best is None or best.end_s <= last.start_s + _SAME_S:
            return last
    return best
