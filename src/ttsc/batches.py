"""Many inputs at once: results of a function of each, so many in flight, inputs read as they are needed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Iterable, Mapping
from itertools import takewhile
from typing import Any

from ttsc.errors import Problem, UsageError
from ttsc.runtime.events import RunResult

Given = Mapping[str, Any]

_HELD_BACK = 8
"""In order, this many times `concurrency` results may wait for an earlier one before no more inputs are begun."""

_TOGETHER = 8
"""Inputs that begin in one turn of the event loop: their requests go together, and the engine need not wait until all
of many are prepared.
"""


async def in_flight(
    inputs: Iterable[Given] | AsyncIterable[Given],
    one: Callable[[int, Given], Coroutine[Any, Any, RunResult]],
    concurrency: int,
    ordered: bool,
) -> AsyncGenerator[RunResult, None]:
    """Results of `one` for each input, at most `concurrency` at once; in order, finished ones wait for those before
    them. Closing it ends those under way, and waits for their end.
    """
    if concurrency < 1:
        raise UsageError(Problem("E0510", f"concurrency is {concurrency}", "it must be at least 1"))
    flying = _Flying(one)
    source = _Source(inputs, flying.changed)
    try:
        while True:
            begun = 0
            while flying.running < concurrency and len(flying.waiting) < _HELD_BACK * concurrency:
                given = source.next()
                if given is None:
                    break
                flying.begin(given)
                begun += 1
                if begun % _TOGETHER == 0:
                    await asyncio.sleep(0)
            for result in flying.ready(ordered):
                yield result
            if source.exhausted and not flying.waiting:
                return
            await flying.changed.wait()
            flying.changed.clear()
    finally:
        for task in (*flying.waiting, *source.reading):
            await _cancelled(task)


class _Flying:
    """Inputs that have begun, and whose results have not been given out."""

    def __init__(self, one: Callable[[int, Given], Coroutine[Any, Any, RunResult]]) -> None:
        self._one = one
        self._number = 0
        self._ended: list[asyncio.Task[RunResult]] = []
        """In the order in which they ended."""
        self.running = 0
        self.waiting: dict[asyncio.Task[RunResult], None] = {}
        """In the order of the inputs."""
        self.changed = asyncio.Event()

    def begin(self, given: Given) -> None:
        task = asyncio.create_task(self._one(self._number, given))
        self._number += 1
        self.running += 1
        self.waiting[task] = None
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[RunResult]) -> None:
        self.running -= 1
        self._ended.append(task)
        self.changed.set()

    def ready(self, ordered: bool) -> list[RunResult]:
        """Takes out what may be given out now."""
        ended, self._ended = self._ended, []
        found = [task for task in ended if task in self.waiting]
        if ordered:
            found = list(takewhile(lambda task: task.done(), self.waiting))
        for task in found:
            del self.waiting[task]
        return [task.result() for task in found]


class _Source:
    """The inputs, read one by one as they are needed. `changed` is set when one that was waited for is there."""

    def __init__(self, inputs: Iterable[Given] | AsyncIterable[Given], changed: asyncio.Event) -> None:
        self._at_once = None if isinstance(inputs, AsyncIterable) else iter(inputs)
        self._later = aiter(inputs) if isinstance(inputs, AsyncIterable) else None
        self._changed = changed
        self.reading: list[asyncio.Task[Given | None]] = []
        """The one that is being waited for, if there is one."""
        self.exhausted = False

    def next(self) -> Given | None:
        """The next input; None if there is none, or not yet."""
        if self.exhausted:
            return None
        given: Given | None = None
        if self._at_once is not None:
            given = next(self._at_once, None)
        elif not self.reading:
            task = asyncio.create_task(self._read())
            task.add_done_callback(lambda _: self._changed.set())
            self.reading = [task]
            return None
        elif not self.reading[0].done():
            return None
        else:
            given = self.reading.pop().result()
        self.exhausted = given is None
        return given

    async def _read(self) -> Given | None:
        assert self._later is not None
        return await anext(self._later, None)


async def _cancelled(task: asyncio.Task[Any]) -> None:
    """End a task and wait for its end; what it raises then is nobody's concern."""
    if not task.done():
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
