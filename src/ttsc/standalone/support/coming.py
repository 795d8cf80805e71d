"""Values that are still coming: tasks, and lists whose elements come one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ttsc.runtime.events import RunFailure
from ttsc.runtime.failures import RunFailed, RunStopped
from ttsc.runtime.streams import LEFT_OUT, Absent, gathered
from ttsc.runtime.values import Elements

Task = asyncio.Task[Any]
_SCOPE: ContextVar[set[Task]] = ContextVar("scope")


class Tasks:
    """Everything a run has started. What was started within a scope ends with it."""

    def __init__(self) -> None:
        self.stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._all: set[Task] = set()

    def later(self, work: Coroutine[Any, Any, Any]) -> Task:
        """Start work whose value somebody will want; if it fails, so does what wants it, and nothing else."""
        task = asyncio.get_running_loop().create_task(work)
        for tasks in (self._all, _SCOPE.get(None)):
            if tasks is not None:
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: Task) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and (isinstance(error, RunStopped) or not isinstance(error, RunFailed)):
            self.stop(error)

    def stop(self, error: BaseException) -> None:
        """End the whole run: the engine is gone, or there is a defect."""
        if not self.stopped.done():
            self.stopped.set_exception(error)
            self.stopped.exception()

    async def unless_stopped(self, work: Task) -> Any:
        """What `work` gives, unless the run is stopped before."""
        await asyncio.wait({work, self.stopped}, return_when=asyncio.FIRST_COMPLETED)
        return self.stopped.result() if self.stopped.done() else work.result()

    async def end(self) -> None:
        """Cancel what is still going on, and wait until it has ended."""
        while running := {task for task in self._all if task is not asyncio.current_task()}:
            for task in running:
                task.cancel()
            await asyncio.wait(running)


@contextmanager
def scope() -> Iterator[None]:
    """What is started inside is cancelled at the end: nobody needs it any more."""
    tasks: set[Task] = set()
    token = _SCOPE.set(tasks)
    try:
        yield
    finally:
        for task in tuple(tasks):
            task.cancel()
        _SCOPE.reset(token)


class Coming:
    """A list in the making: a task for each element. An element that fails is left out; the others are not held up.

    `uses`: how many consumers there are. An element that all of them have released before it is there is cancelled.
    0: it is never cancelled. `ended(i)` is told when element i needs nothing any more. `gated`: an element is begun
    only when somebody demands it. `source`: the list of which elements are demanded along with these.
    """

    def __init__(
        self,
        tasks: Tasks,
        length: int,
        produce: Callable[[int], Awaitable[object]],
        *,
        uses: int = 0,
        cause: RunFailure | None = None,
        ended: Callable[[int], object] | None = None,
        gated: bool = False,
        source: object = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.cause = cause
        self.slots: list[asyncio.Future[object]] = [loop.create_future() for _ in range(length)]
        self.tokens = [0] * length
        self.watchers: list[Callable[[int, int], None]] = []
        self._source = source
        self._gates = [asyncio.Event() for _ in range(length)] if gated else []
        self._uses = [uses] * length
        self._tasks: list[Task] = []
        for index in range(length):
            task = tasks.later(self._element(index, produce))
            task.add_done_callback(lambda _, i=index: self._over(i, ended))  # type: ignore[misc]
            self._tasks.append(task)

    async def _element(self, index: int, produce: Callable[[int], Awaitable[object]]) -> None:
        try:
            if self._gates:
                await self._gates[index].wait()
            with scope():
                self.set(index, await produce(index))
        except RunFailed as error:
            self.set(index, Absent(error.failure))
            if isinstance(error, RunStopped):
                raise

    def _over(self, index: int, ended: Callable[[int], object] | None) -> None:
        self.set(index, LEFT_OUT)
        if ended is not None:
            ended(index)

    def set(self, index: int, value: object) -> None:
        """The element, or that there is none. The first outcome counts."""
        if not self.slots[index].done():
            self.slots[index].set_result(value)

    def advance(self, index: int, tokens: int) -> None:
        """An element that is being decoded has so many tokens."""
        self.tokens[index] = tokens
        for watcher in self.watchers:
            watcher(index, tokens)

    def demand(self, upto: int) -> None:
        """The first `upto` elements are wanted for sure."""
        for gate in self._gates[:upto]:
            gate.set()
        if isinstance(self._source, Coming):
            self._source.demand(upto)

    def release(self, index: int) -> None:
        """One consumer needs this element no more."""
        self._uses[index] -= 1
        if self._uses[index] == 0 and not self.slots[index].done():
            self.set(index, LEFT_OUT)
            self._tasks[index].cancel()

    async def whole(self) -> Elements:
        """All elements that are present, once each is there or missing."""
        self.demand(len(self.slots))
        return gathered([await there(slot) for slot in self.slots], self.cause)


async def there(future: asyncio.Future[Any]) -> Any:
    """The outcome of a future, which is not cancelled with the one that waits."""
    await asyncio.wait({future})
    return future.result()


async def arrived(value: Any) -> Any:
    """A value that may be a task's. A list may still be coming."""
    while isinstance(value, asyncio.Future):
        value = await there(value)
    return value


async def whole(value: Any) -> Any:
    """A value with nothing outstanding."""
    value = await arrived(value)
    return await value.whole() if isinstance(value, Coming) else value


def slots_of(values: object, demand: bool = True) -> list[asyncio.Future[object]]:
    """The elements of a list, whether it is there or still coming. Without `demand` the caller says which it wants."""
    if isinstance(values, Coming):
        if demand:
            values.demand(len(values.slots))
        return values.slots
    assert isinstance(values, list | tuple), values
    return [_known(value) for value in values]


def _known(value: object) -> asyncio.Future[object]:
    future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future


def release(values: object, index: int) -> None:
    """Element `index` of a list is needed no more by one of its consumers."""
    if isinstance(values, Coming):
        values.release(index)


def cause_of(value: object) -> RunFailure | None:
    """Why elements of a list are missing, as far as it is known."""
    return value.cause if isinstance(value, Elements | Coming) else None


def first_cause(values: Sequence[object]) -> RunFailure | None:
    """The first of the causes of several lists."""
    return next((cause for value in values if (cause := cause_of(value)) is not None), None)
