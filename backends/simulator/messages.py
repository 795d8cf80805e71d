"""Requests on their way to simulated servers and back, as the client of a real one sends and gets them.

What is asked for in one turn of the event loop goes as one message, whose requests reach the scheduler together: they
are in one prefill batch, and none finds another's prompt in the cache. What ends in one step comes back together, too,
so that what the program then asks for is one message again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ttsc.backends.simulator.channel import Channel
from ttsc.backends.simulator.job import Job

MOST = 64
"""Requests of one message."""


class Messages:
    """`deliver` is given each job with the time at which its server's scheduler has it, `later` what is to be called
    when.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        deliver: Callable[[Job, float], None],
        later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self._channels = channels
        self._deliver = deliver
        self._later = later
        self._asked: dict[object, list[tuple[Job, float]]] = {}
        self._ended: dict[int, list[Callable[[], None]]] = {}

    def reset(self) -> None:
        """What was asked for on an event loop that has ended is not sent any more."""
        self._asked = {}
        self._ended = {}

    def ask(self, job: Job, kind: object, slow_s: float) -> None:
        """Send a job, `slow_s` later than it should arrive, with all of its `kind`; None if it goes alone."""
        if kind is None:
            self._send([(job, slow_s)])
            return
        asked = self._asked.setdefault(kind, [])
        if not asked:
            asyncio.get_running_loop().call_soon(self._send_all, asked)
        asked.append((job, slow_s))

    def _send_all(self, asked: list[tuple[Job, float]]) -> None:
        together, asked[:] = tuple(asked), []
        for begin in range(0, len(together), MOST):
            self._send(together[begin : begin + MOST])

    def _send(self, message: Sequence[tuple[Job, float]]) -> None:
        channel = self._channels[message[0][0].server]
        when = channel.sent(asyncio.get_running_loop().time(), len(message))
        for job, slow_s in message:
            self._deliver(job, when + slow_s)

    def answer(self, place: int, heard: Callable[[], None]) -> None:
        """Have `heard` called when the program has the answer of a request that has ended on this server now."""
        ended = self._ended.setdefault(place, [])
        if not ended:
            asyncio.get_running_loop().call_soon(self._answer_all, place, ended)
        ended.append(heard)

    def _answer_all(self, place: int, ended: list[Callable[[], None]]) -> None:
        together, ended[:] = tuple(ended), []
        when = self._channels[place].answered(asyncio.get_running_loop().time(), len(together))
        for heard in together:
            self._later(when, heard)
