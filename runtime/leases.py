"""Promises, cells and leases: who still needs which value.

Every static use of a value in its block is a `Use`: it is acquired when the block starts and released when its
consumer needs the value no more. A `Cell` is one SSA name: a promise and the uses on it. When a cell's last use is
released before the value is there, nobody will ever read it, and its producer is told to abandon the work; that
releases the uses the producer held in turn. So cancellation runs backwards through any chain of nodes, and reaches
exactly what is needed by nobody. Lists work the same way element by element (`streams.py`): a use of a cell that
resolves to a stream becomes a lease on each of its elements.

A `Cascade` runs the releases one after the other rather than nested, so that a chain may be of any length. With
`enabled=False` (a plan that runs as written) nothing is abandoned.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ttsc.runtime.events import RunFailure
from ttsc.runtime.failures import UNNEEDED, RunFailed


class Cascade:
    """Runs abandonments, and what else goes on from stream to stream, iteratively and in the order they arise."""

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled
        self._waiting: deque[Callable[[], None]] = deque()
        self._running = False

    def push(self, abandon: Callable[[], None]) -> None:
        if self.enabled:
            self.run(abandon)

    def run(self, act: Callable[[], None]) -> None:
        """Do it now, or after what is being done, whether anything may be abandoned or not."""
        self._waiting.append(act)
        if self._running:
            return
        self._running = True
        try:
            while self._waiting:
                self._waiting.popleft()()
        finally:
            self._running = False


class Promise:
    """A value that will be there, or a failure. Any number may wait; a waiter that is cancelled disturbs no other.

    Unlike an `asyncio.Future`, callbacks run at once and in order, and a failure that nobody looks at is silent.
    """

    __slots__ = ("_callbacks", "_waiters", "done", "error", "value")

    def __init__(self) -> None:
        self.done = False
        self.value: object = None
        self.error: RunFailed | None = None
        self._waiters: list[asyncio.Future[None]] | None = None
        self._callbacks: list[Callable[[Promise], None]] | None = None
        # No lists as long as nobody waits: there are several promises for every request.

    def resolve(self, value: object, error: RunFailed | None = None) -> bool:
        """Set the outcome; the first one counts."""
        if self.done:
            return False
        self.done, self.value, self.error = True, value, error
        waiters, self._waiters = self._waiters, None
        callbacks, self._callbacks = self._callbacks, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)
        for callback in callbacks or ():
            callback(self)
        return True

    def on_done(self, callback: Callable[[Promise], None]) -> None:
        if self.done:
            callback(self)
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)

    async def wait(self) -> object:
        """The value; raises the failure."""
        if not self.done:
            waiter = asyncio.get_running_loop().create_future()
            if self._waiters is None:
                self._waiters = []
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                if self._waiters is not None and not self.done:
                    self._waiters.remove(waiter)
        if self.error is not None:
            raise self.error
        return self.value


class ElementLease(Protocol):
    """A hold on every element of a stream that has not been given back."""

    def release(self, index: int | None = None) -> None: ...


class Leasable:
    """A value whose elements are leased one by one: a stream. No abstract class: whether a value is one is asked often,
    and of those it takes ten times as long to find out.
    """

    def acquire(self) -> ElementLease:
        raise NotImplementedError


class Use:
    """One consumer's need of a cell's value. Releasing twice does nothing."""

    __slots__ = ("_lease", "cell", "released")

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self._lease: ElementLease | None = None
        self.released = False

    async def value(self) -> object:
        return await self.cell.promise.wait()

    def hold(self, value: Leasable) -> None:
        """Called by the cell once it has its value: a stream is leased element by element."""
        self._lease = value.acquire()

    def release_element(self, index: int) -> None:
        """Give back one element of a list; no effect on values that are not streams."""
        if self._lease is not None and not self.released:
            self._lease.release(index)

    def release(self) -> None:
        if self.released:
            return
        self.released = True
        if self._lease is not None:
            self._lease.release()
            self._lease = None
        self.cell.drop(self)


class Cell:
    """One SSA name while it runs. Made with a hold of its own, so that uses can be taken before anything is decided."""

    __slots__ = ("_abandon", "_abandoned", "_bound", "_cascade", "_held", "_uses", "promise")

    def __init__(self, cascade: Cascade, abandon: Callable[[], None] | None = None) -> None:
        self.promise = Promise()
        self._cascade = cascade
        self._abandon = abandon
        self._uses: dict[Use, None] = {}
        self._held = True
        self._bound: Use | None = None
        self._abandoned = False

    @property
    def needed(self) -> bool:
        return self._held or bool(self._uses)

    @property
    def whole(self) -> bool:
        """Whether the outcome is there, with nothing outstanding: reading it does not wait."""
        return self.promise.done and not isinstance(self.promise.value, Leasable)

    def use(self) -> Use:
        """One more need. Only while someone else has one, or the cell's own hold lasts."""
        use = Use(self)
        self._uses[use] = None
        value = self.promise.value
        if isinstance(value, Leasable):
            use.hold(value)
        return use

    def settle(self) -> None:
        """All static uses are taken: from here on only they keep the cell alive."""
        self._held = False
        if not self._uses and not self.promise.done:
            self._check()

    def drop(self, use: Use) -> None:
        self._uses.pop(use, None)
        if not self._uses and not self._held and not self.promise.done:
            self._check()

    def resolve(self, value: object) -> None:
        if self.promise.done:
            return
        if isinstance(value, Leasable):
            for use in list(self._uses):
                use.hold(value)
        self.promise.resolve(value)
        self._ended()

    def fail(self, error: RunFailed) -> None:
        self.promise.resolve(None, error)
        self._ended()

    def _ended(self) -> None:
        """The producer has nothing to abandon any more; holding it would keep the whole run in a circle."""
        self._abandon = None
        if self._bound is not None:
            self._unbind()

    def bind(self, inner: Use) -> None:
        """Take over the outcome of another cell (a block's yield). The hold on it lasts as long as this cell is
        needed.
        """
        self._bound = inner
        inner.cell.promise.on_done(self._follow)
        self._check()

    def _follow(self, promise: Promise) -> None:
        if promise.error is not None:
            self.fail(promise.error)
        else:
            self.resolve(promise.value)

    def _unbind(self) -> None:
        if self._bound is not None:
            bound, self._bound = self._bound, None
            bound.release()

    def _check(self) -> None:
        if self.needed or self._abandoned or self.promise.done:
            return
        if self._bound is None and self._abandon is None:
            return
        self._cascade.push(self._abandon_now)

    def _abandon_now(self) -> None:
        if self.needed or self.promise.done:
            return
        if self._bound is not None:
            self._abandoned = True
            self._unbind()
            self.promise.resolve(None, _unneeded())
        elif self._abandon is not None:
            self._abandoned = True
            self._abandon()


def _unneeded() -> RunFailed:
    """The outcome of a bound cell that was given up: nobody reads it, but its region may be waiting for an end."""
    return RunFailed(RunFailure(UNNEEDED, "nobody needs this value"))


def resolved(value: object, cascade: Cascade) -> Cell:
    """A cell whose value is known: an argument, a constant, an element."""
    cell = Cell(cascade)
    cell.resolve(value)
    return cell
