"""Hedging, where a user asks for it: a request that takes much longer than its siblings is sent once more.

A straggler on a server that is otherwise idle gains nothing by that; it helps where some requests are slow for no
reason of their own (a sick replica behind a router, a connection that hangs). The second request is paid for, so
nobody hedges by default. Siblings are the requests of one node for one input; what is too long is `factor` times the
median time of those that have an answer, once there are three.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from typing import Protocol

FEWEST = 3
"""Answers of siblings before anything is too long."""


class Sibling(Protocol):
    """A flight."""

    @property
    def group(self) -> tuple[int, str]: ...

    def hedge(self) -> None: ...


class _Group:
    """`sent`: when, of those under way that were not hedged, the earliest first. Seconds of the session's clock."""

    __slots__ = ("durations", "members", "sent", "timer")

    def __init__(self) -> None:
        self.members = 0
        self.durations: list[float] = []
        self.sent: dict[Sibling, float] = {}
        self.timer: asyncio.TimerHandle | None = None


class Hedging:
    """`factor`: how many times the median is too long; more than 1."""

    def __init__(self, factor: float) -> None:
        if not factor > 1:
            raise ValueError("hedging needs a factor greater than 1")
        self._factor = factor
        self._groups: dict[tuple[int, str], _Group] = {}

    @property
    def groups(self) -> int:
        return len(self._groups)

    def joined(self, flight: Sibling) -> None:
        self._groups.setdefault(flight.group, _Group()).members += 1

    def sent(self, flight: Sibling, now: float) -> None:
        group = self._groups[flight.group]
        group.sent.pop(flight, None)
        group.sent[flight] = now
        self._watch(group, now)

    def answered(self, flight: Sibling, seconds: float) -> None:
        group = self._groups[flight.group]
        sent = group.sent.pop(flight, None)
        insort(group.durations, seconds)
        if sent is not None:
            self._watch(group, sent + seconds)

    def left(self, flight: Sibling) -> None:
        group = self._groups[flight.group]
        group.sent.pop(flight, None)
        group.members -= 1
        if not group.members:
            del self._groups[flight.group]
            if group.timer is not None:
                group.timer.cancel()

    def _watch(self, group: _Group, now: float) -> None:
        """One timer for a group: when its earliest will have taken too long."""
        if group.timer is not None:
            group.timer.cancel()
            group.timer = None
        if group.sent and len(group.durations) >= FEWEST:
            longest = self._factor * group.durations[len(group.durations) // 2]
            flight, sent = next(iter(group.sent.items()))
            left = max(0.0, sent + longest - now)
            group.timer = asyncio.get_running_loop().call_later(left, self._late, group, flight, sent + longest)

    def _late(self, group: _Group, flight: Sibling, now: float) -> None:
        group.timer = None
        if group.sent.pop(flight, None) is not None:
            flight.hedge()
        self._watch(group, now)
