"""Many inputs at once: results of a function of each, so many in flight, inputs read as they are needed."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Iterable, Mapping
from typing import Any

from ttsc.errors import Problem, UsageError
from ttsc.runtime.events import RunResult

Given = Mapping[str, Any]

_HELD_BACK = 8
"""In order, this many times `concurrency` results may wait for an earlier one before no more inputs are begun."""


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
    waiting: deque[asyncio.Task[RunResult]] = deque()
    source = _each(inputs)
    reading: asyncio.Task[Given | None] | None = None
    number, exhausted = 0, False
    try:
        while True:
            running = sum(not task.done() for task in waiting)
            if not exhausted and reading is None and running < concurrency and len(waiting) < _HELD_BACK * concurrency:
                reading = asyncio.create_task(anext(source, None))
            for result in _ready(waiting, ordered):
                yield result
            if exhausted and not waiting:
                return
            watched: list[asyncio.Task[Any]] = [task for task in waiting if not task.done()]
            await asyncio.wait([*watched, reading] if reading else watched, return_when=asyncio.FIRST_COMPLETED)
            if reading is not None and reading.done():
                given, reading = reading.result(), None
                if given is None:
                    exhausted = True
                else:
                    waiting.append(asyncio.create_task(one(number, given)))
                    number += 1
    finally:
        for task in (*waiting, *((reading,) if reading else ())):
            await _cancelled(task)


def _ready(waiting: deque[asyncio.Task[RunResult]], ordered: bool) -> list[RunResult]:
    """Takes out of `waiting` what may be given out now."""
    ready: list[RunResult] = []
    if ordered:
        while waiting and waiting[0].done():
            ready.append(waiting.popleft().result())
        return ready
    for task in [task for task in waiting if task.done()]:
        waiting.remove(task)
        ready.append(task.result())
    return ready


async def _each(inputs: Iterable[Given] | AsyncIterable[Given]) -> AsyncGenerator[Given, None]:
    if isinstance(inputs, AsyncIterable):
        async for given in inputs:
            yield given
    else:
        for given in inputs:
            yield given


async def _cancelled(task: asyncio.Task[Any]) -> None:
    """End a task and wait for its end; what it raises then is nobody's concern."""
    if not task.done():
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
