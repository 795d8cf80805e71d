"""Lists whose elements are separate events.

A `Stream` has a known length; each slot gets a value or is `Absent` (failed, filtered out, or needed by nobody), and
tells meanwhile how many tokens it has. Consumers hold leases on slots; a slot that loses its last lease before its
value is there is abandoned by its producer: a request is aborted, a map body cancelled. The producer holds a lease of
its own until the stream is published, so that consumers that are known by then can take theirs.

Whoever waits for elements demands them first: `demand(k)` says that the first k are needed for sure. A producer may
leave elements that nobody demanded for later. Reading a stream in any way but one demands all of it; only consumers
that go through `slots_of(..., lazily=True)` have to demand what they want, so that none waits for what never begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ttsc.compiler.values.evaluation import EvaluationFailed
from ttsc.runtime.events import RunFailure
from ttsc.runtime.failures import RunFailed
from ttsc.runtime.leases import Cascade, Cell, Leasable, Promise, Use
from ttsc.runtime.values import Elements


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no element here. `cause` is set when it failed."""

    cause: RunFailure | None = None


LEFT_OUT = Absent()


class Stream(Leasable):
    """A list in the making. `abandon(i)` is called when nobody needs element i any more, `demanded(k)` when the first k
    are needed for sure.
    """

    def __init__(
        self,
        length: int,
        cascade: Cascade,
        abandon: Callable[[int], None],
        cause: RunFailure | None = None,
        demanded: Callable[[int], None] | None = None,
    ) -> None:
        self.length = length
        self.cause = cause
        self.demanded = 0
        """How many elements, from the first on, somebody needs for sure."""
        self.progress = [0] * length
        self._slots = [Promise() for _ in range(length)]
        self._leases = [1] * length
        self._watchers: list[Callable[[int, int], None]] = []
        self._cascade = cascade
        self._abandon = abandon
        self._on_demand = demanded

    def demand(self, upto: int | None = None) -> None:
        """The first `upto` elements are needed for sure, or all. A demand is never taken back."""
        upto = self.length if upto is None else min(upto, self.length)
        if upto > self.demanded:
            self.demanded = upto
            on_demand = self._on_demand
            if on_demand is not None:
                self._cascade.run(lambda: on_demand(upto))

    def publish(self, cell: Cell) -> None:
        """Resolve `cell` to this stream and give up the producer's own lease."""
        cell.resolve(self)
        for index in range(self.length):
            self._give_back(index)

    def set(self, index: int, value: object) -> None:
        """The element, or `Absent`. The first outcome counts."""
        self._slots[index].resolve(value)

    def advance(self, index: int, tokens: int) -> None:
        """So many tokens so far. A retried request may fall back."""
        if self._slots[index].done:
            return
        self.progress[index] = tokens
        for watcher in tuple(self._watchers):
            watcher(index, tokens)

    def watch(self, watcher: Callable[[int, int], None]) -> Callable[[], None]:
        """Be told of progress. Returns what ends it."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher) if watcher in self._watchers else None

    def slot(self, index: int) -> Promise:
        return self._slots[index]

    def acquire(self) -> Lease:
        for index in range(self.length):
            self._leases[index] += 1
        return Lease(self)

    def hold(self, index: int) -> None:
        """One more need of one element. Give it back with `let_go`."""
        self._leases[index] += 1

    def let_go(self, index: int) -> None:
        self._give_back(index)

    def _give_back(self, index: int) -> None:
        self._leases[index] -= 1
        if self._leases[index] == 0 and not self._slots[index].done:
            self._cascade.push(lambda: self._abandon_now(index))

    def _abandon_now(self, index: int) -> None:
        if self._leases[index] == 0 and not self._slots[index].done:
            self._abandon(index)

    async def complete(self) -> Elements:
        """All elements that are present, once every slot has its outcome."""
        self.demand()
        await self.ended()
        return self.gathered()

    def gathered(self) -> Elements:
        """All elements that are present, of a stream of which nothing is pending."""
        for slot in self._slots:
            if slot.error is not None:
                raise slot.error
        return gathered([slot.value for slot in self._slots], self.cause)

    @property
    def pending(self) -> bool:
        """Whether a slot still has no outcome."""
        return not all(slot.done for slot in self._slots)

    async def ended(self) -> None:
        """Until every slot has its outcome: one wait, however many there are."""
        if self.pending:
            last = Promise()
            self.on_ended(partial(last.resolve, None))
            await last.wait()

    def on_ended(self, act: Callable[[], object]) -> None:
        """Once every slot has its outcome; at once, if nothing is pending."""
        pending = [slot for slot in self._slots if not slot.done]
        left = len(pending)

        def arrived(_: Promise) -> None:
            nonlocal left
            left -= 1
            if not left:
                act()

        for slot in pending:
            slot.on_done(arrived)
        if not pending:
            act()

    def close(self) -> None:
        """Every slot has its outcome: the producer is told nothing any more, and may be forgotten."""
        self._abandon = _forgotten
        self._on_demand = None
        self._watchers.clear()


def _forgotten(index: int) -> None:
    """Stands for a producer that has ended."""


class Lease:
    """One consumer's hold on the elements of a stream."""

    __slots__ = ("_held", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._held = bytearray(b"\x01") * stream.length

    def release(self, index: int | None = None) -> None:
        for each in range(len(self._held)) if index is None else (index,):
            if self._held[each]:
                self._held[each] = 0
                self._stream._give_back(each)


def gathered(outcomes: Sequence[object], cause: RunFailure | None = None) -> Elements:
    """A complete list from slots' outcomes, with the first failure as its cause."""
    for outcome in outcomes:
        if cause is None and isinstance(outcome, Absent):
            cause = outcome.cause
    return Elements((o for o in outcomes if not isinstance(o, Absent)), cause)


async def complete(value: object) -> object:
    """A value with nothing outstanding: a stream as a complete list."""
    return await value.complete() if isinstance(value, Stream) else value


async def completed(use: Use) -> object:
    return await complete(await use.value())


def slots_of(value: object, *, lazily: bool = False) -> list[Promise]:
    """The elements of a list as promises, whether it is a stream or complete. `lazily`: the caller demands them."""
    if isinstance(value, Stream):
        if not lazily:
            value.demand()
        return [value.slot(i) for i in range(value.length)]
    if not isinstance(value, list | tuple):
        raise TypeError(f"expected a list, got {type(value).__name__}")
    promises = []
    for item in value:
        promise = Promise()
        promise.resolve(item)
        promises.append(promise)
    return promises


def cause_of(value: object) -> RunFailure | None:
    """Why elements of a complete list are missing; for a stream, only what is known from its source."""
    return value.cause if isinstance(value, Elements | Stream) else None


def computed(args: Sequence[object], evaluate: Callable[[], object]) -> object:
    """What an operation makes of complete arguments: a list remembers why elements are missing. Where it has no result
    because failures have left a list empty, that is what happened.
    """
    try:
        value = evaluate()
        if not isinstance(value, tuple):
            return value
    except EvaluationFailed:
        empty = next((arg.cause for arg in args if isinstance(arg, Elements) and not arg and arg.cause), None)
        if empty is not None:
            raise RunFailed(empty) from None
        raise
    return Elements(value, next((found for arg in args if (found := cause_of(arg)) is not None), None))
