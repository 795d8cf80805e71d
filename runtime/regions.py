"""Map, If and Repeat: nodes that run blocks.

A region holds one use of each value its blocks capture, and lets go of it when it can start no further block. Each
block takes its own uses when it starts. Carried values of a loop pass from a round's yield to the next round's
parameter together with the hold on them, unresolved if need be: a round may begin before the last one's values are
there. Where a budget ends a loop, its result is what the last round had whose values are whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from ttsc.compiler.ir.nodes import Block, If, Map, Repeat
from ttsc.runtime.ahead import Ahead
from ttsc.runtime.blocks import Interpreter, Job, as_failure, start_block
from ttsc.runtime.failures import BUDGET_SPENT, INVALID_ARGUMENT, LIMIT_REACHED, RunFailed, failed
from ttsc.runtime.inline import inlined
from ttsc.runtime.leases import Cell, Promise, Use, resolved
from ttsc.runtime.run import MAX_ROUNDS, Path
from ttsc.runtime.streams import LEFT_OUT, Absent, Stream, cause_of, completed, gathered, slots_of

_DEEPEST = 16
"""Maps of maps that are computed within each other; what is deeper waits for the next turn of the event loop."""


class Mapping:
    """One Map node while it runs, each element as soon as it is there: its body is computed, or started as a block."""

    def __init__(self, job: Job, node: Map, over: object, interpreter: Interpreter) -> None:
        self._job = job
        self._node = node
        self._interpreter = interpreter
        self._over = job.use(node.over).cell.use()
        """A use of its own, given back element by element: the body may capture the list as a whole besides."""
        self._slots: list[Promise] = slots_of(over, lazily=True)
        length = len(self._slots)
        self._gone = bytearray(length)
        self._left = length
        self._yields: dict[int, list[Use]] = {}
        """What the blocks that are under way yield, by element."""
        demand = over.demand if isinstance(over, Stream) else None
        self.stream = Stream(length, job.run.cascade, self._abandon, cause_of(over), demand)
        self._unwatch = over.watch(self.stream.advance) if isinstance(over, Stream) and node.mode == "filter" else None
        if isinstance(over, Stream) and node.mode == "filter":
            self.stream.progress[:] = over.progress
        self._inline = inlined(job, node.body)

    def begin(self) -> bool:
        """Start on what is there; the rest follows as it comes. Whether all elements have their outcome."""
        if not self._left:
            self._close()
            return True
        self._job.run.open(self)
        for index, slot in enumerate(self._slots):
            slot.on_done(partial(self._arrived, index))
        return False

    def _close(self) -> None:
        self.stream.close()
        self._over.release()
        if self._unwatch is not None:
            self._unwatch()

    def _abandon(self, index: int) -> None:
        self._set(index, LEFT_OUT)

    def _over_with(self, index: int) -> bool:
        """Whether nothing is to be done for an element any more."""
        return bool(self._gone[index]) or self._job.run.cancelled

    def _arrived(self, index: int, slot: Promise) -> None:
        """An element is there, and if the body only computes, all that it needs."""
        run = self._job.run
        if self._inline is None:
            run.act(partial(self._start, index, slot))
            return
        if run.inlined >= _DEEPEST:
            asyncio.get_running_loop().call_soon(self._arrived, index, slot)
            return
        if self._over_with(index):
            return
        run.inlined += 1
        try:
            self._set(index, self._computed(slot.value))
        finally:
            run.inlined -= 1

    def _computed(self, element: object) -> object:
        if isinstance(element, Absent):
            return element
        assert self._inline is not None
        try:
            return self._outcome(element, self._inline.value(element))
        except Exception as error:
            return self._failed(error)

    def _failed(self, error: Exception) -> Absent:
        failure = as_failure(error)
        self._job.run.stop_if_fatal(failure)
        return Absent(failure.failure)

    def _start(self, index: int, slot: Promise) -> None:
        """Start the body for an element."""
        if self._over_with(index):
            return
        element = slot.value
        if slot.error is not None or isinstance(element, Absent):
            self._set(index, element if slot.error is None else self._failed(slot.error))
            return
        job = self._job
        param = resolved(element, job.run.cascade)
        path = (*job.scope.path, index)
        yields = start_block(job.run, self._node.body, [param], job.scope, path, self._interpreter)
        param.settle()
        if self._gone[index]:  # what the block did at once has settled that nobody needs it
            for use in yields:
                use.release()
            return
        self._yields[index] = yields
        self._yielded(index, element)

    def _yielded(self, index: int, element: object, _: Promise | None = None) -> None:
        """Take what the body yields, once it is whole."""
        if self._over_with(index):
            return
        promise = self._yields[index][0].cell.promise
        if not promise.done:
            promise.on_done(partial(self._yielded, index, element))
            return
        value = promise.value
        if isinstance(value, Stream):
            value.demand()
            if value.pending:
                value.on_ended(partial(self._yielded, index, element))
                return
        try:
            if promise.error is not None:
                raise promise.error
            outcome = self._outcome(element, value.gathered() if isinstance(value, Stream) else value)
        except Exception as error:
            outcome = self._failed(error)
        self._set(index, outcome)

    def _set(self, index: int, outcome: object) -> None:
        """The outcome of an element; the first counts."""
        if self._gone[index]:
            return
        self._gone[index] = 1
        self._left -= 1
        for use in self._yields.pop(index, ()):
            use.release()
        self.stream.set(index, outcome)
        self._over.release_element(index)
        if not self._left:
            self._close()
            self._job.release()
            self._job.run.shut(self)

    def _outcome(self, element: object, value: object) -> object:
        if self._node.mode == "filter":
            return element if value is True else LEFT_OUT
        return value


def begin_map(job: Job, interpreter: Interpreter) -> bool:
    """A map over what is there, or is coming."""
    node = job.node
    assert isinstance(node, Map)
    mapping = Mapping(job, node, job.there(node.over), interpreter)
    if node.over.id not in job.run.operands.captured(node.body):
        job.use(node.over).release()
    mapping.stream.publish(job.cell)
    return mapping.begin()


def begin_if(job: Job, interpreter: Interpreter) -> bool:
    """One whose condition is there."""
    node = job.node
    assert isinstance(node, If)
    side = node.then if job.whole(node.condition.id) is True else node.otherwise
    _hand_over(job, start_block(job.run, side, [], job.scope, job.scope.path, interpreter))
    return True


async def execute_if(job: Job, node: If, interpreter: Interpreter) -> None:
    """One with sides that may begin before its condition is there."""
    sides = {True: node.then, False: node.otherwise}
    begun: dict[bool, Begun] = {}
    try:
        if not job.use(node.condition).cell.promise.done:
            for side, name in ((True, "then"), (False, "otherwise")):
                if node.ahead in (name, "both"):
                    begun[side] = Begun(job, sides[side], [], job.scope.path, interpreter)
        wanted = await job.complete(node.condition) is True
    except BaseException:
        for each in begun.values():
            each.give_up()
        raise
    if wanted in begun:
        yields = begun.pop(wanted).confirm()
    else:
        yields = start_block(job.run, sides[wanted], [], job.scope, job.scope.path, interpreter)
    for each in begun.values():
        each.give_up()
    _hand_over(job, yields)
    job.release()
    await _settled(job.cells)


class Begun:
    """A block that was started ahead of the condition that it is needed on."""

    def __init__(self, job: Job, block: Block, params: Sequence[Cell], path: Path, interpreter: Interpreter) -> None:
        self._ahead = Ahead(job.scope.ahead)
        self._yields = start_block(job.run, block, params, job.scope, path, interpreter, self._ahead)

    def confirm(self) -> list[Use]:
        """It is needed: its yields."""
        self._ahead.confirm()
        return self._yields

    def give_up(self) -> None:
        for use in self._yields:
            use.release()


async def execute_repeat(job: Job, node: Repeat, interpreter: Interpreter) -> None:
    limit = await job.complete(node.limit)
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise failed(INVALID_ARGUMENT, f"the limit of a repeat must be a whole number; it is {limit!r}")
    carried = [job.use(value).cell.use() for value in node.init]
    stopping: Use | None = None
    rounds = [[use.cell.promise for use in carried]]
    next_round: Begun | None = None
    try:
        for number in range(max(0, limit)):
            if number >= MAX_ROUNDS:
                raise failed(
                    LIMIT_REACHED,
                    f"a repeat went on for {MAX_ROUNDS} rounds (its limit is {limit})",
                    "lower the limit or let it stop earlier",
                )
            if next_round is None:
                yields = start_block(job.run, node.body, _cells(carried), job.scope, _path(job, number), interpreter)
            else:
                yields, next_round = next_round.confirm(), None
            for use in carried:  # what the round does not use is let go
                use.release()
            *carried, stopping = yields
            if job.run.ledger.limited:
                rounds.append([use.cell.promise for use in carried])
            elif node.ahead and number + 1 < min(limit, MAX_ROUNDS):
                next_round = Begun(job, node.body, _cells(carried), _path(job, number + 1), interpreter)
            stop = await completed(stopping)
            stopping.release()
            if stop is True:
                break
        if next_round is not None:
            next_round.give_up()
        if job.run.ledger.limited and await _taken(job, carried):
            carried = _best_so_far(job, carried, rounds)
    except BaseException as error:
        if stopping is not None:
            stopping.release()
        if next_round is not None:
            next_round.give_up()
        if not (isinstance(error, RunFailed) and error.failure.code == BUDGET_SPENT):
            for use in carried:
                use.release()
            raise
        carried = _best_so_far(job, carried, rounds, error)
    _hand_over(job, carried)
    job.release()
    await _settled(job.cells)


async def _taken(job: Job, carried: Sequence[Use]) -> bool:
    """Whether the budget took one of a loop's last values that are needed. Lists are waited for until they are whole,
    since only then it is known.
    """
    for cell, use in zip(job.cells, carried, strict=True):
        if cell.needed:
            try:
                value = await completed(use)
            except RunFailed as error:
                if error.failure.code == BUDGET_SPENT:
                    return True
            else:
                if _emptied(value):
                    return True
    return False


def _best_so_far(
    job: Job, carried: Sequence[Use], rounds: Sequence[Sequence[Promise]], error: RunFailed | None = None
) -> list[Use]:
    """The values of the last round that the budget left whole. If there is none: `error`, with which the last round
    ended, or its values as they are.
    """
    for promises in reversed(rounds):
        if all(_whole(promise) for cell, promise in zip(job.cells, promises, strict=True) if cell.needed):
            for use in carried:
                use.release()
            return [resolved(promise.value, job.run.cascade).use() for promise in promises]
    if error is None:
        return list(carried)
    for use in carried:
        use.release()
    raise error


def _whole(promise: Promise) -> bool:
    """Whether the value is there, and not a list that the budget has emptied."""
    if not promise.done or promise.error is not None:
        return False
    value = promise.value
    if not isinstance(value, Stream):
        return not _emptied(value)
    slots = slots_of(value)
    return all(slot.done for slot in slots) and not _emptied(gathered([slot.value for slot in slots], value.cause))


def _emptied(value: object) -> bool:
    """Whether a list has lost all of its elements to the budget."""
    cause = cause_of(value)
    return value == () and cause is not None and cause.code == BUDGET_SPENT


def _cells(uses: Sequence[Use]) -> list[Cell]:
    return [use.cell for use in uses]


def _path(job: Job, number: int) -> Path:
    """Where a round of a loop is."""
    return (*job.scope.path, number)


def _hand_over(job: Job, yields: Sequence[Use]) -> None:
    for cell, use in zip(job.cells, yields, strict=True):
        cell.bind(use)


async def _settled(cells: Sequence[Cell]) -> None:
    """Until the results are there, so that the region's task lasts as long as what it stands for."""
    for cell in cells:
        if cell.needed:
            try:
                await cell.promise.wait()
            except RunFailed:
                continue
