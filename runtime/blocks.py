"""Running a block: each node as soon as its operands are there.

A node that can begin once they are is begun by the last of them, in the same turn of the event loop, and costs no task:
it computes, or goes on by itself (see `Interpreter`). Any other has a task.

Starting a block makes a cell for each value its nodes define, takes all static uses (operands of nodes, captured
values, yields), starts the tasks in node order, and only then lets go of the cells, so that what nobody uses is
abandoned before it starts. The block's yields come back as uses: to give a block up, release them, and everything
that only they needed ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ttsc.backends.protocol import EngineError
from ttsc.compiler.ir.nodes import Block, Node, Value
from ttsc.compiler.values.pure import EvaluationFailed
from ttsc.compiler.values.templates import TemplateFailed, TemplateInvalid
from ttsc.runtime.ahead import Ahead, when_certain
from ttsc.runtime.failures import (
    INVALID_ARGUMENT,
    OPERATION_FAILED,
    TEMPLATE_FAILED,
    Broken,
    RunFailed,
    engine_failure,
    failed,
)
from ttsc.runtime.leases import Cell, Promise, Use
from ttsc.runtime.operands import Prepared
from ttsc.runtime.run import Path, Run
from ttsc.runtime.streams import Stream, completed

if TYPE_CHECKING:
    from ttsc.runtime.flights import Ticket
    from ttsc.runtime.records import Flying
    from ttsc.runtime.session import Lane


@dataclass(frozen=True, slots=True)
class Interpreter:
    """How nodes are run. `execute`: any node, in a task. `begin`: by its class, a node whose operands are there.

    It says whether that has ended (if not, the job is released when it has), or None if it needs a task after all.
    """

    execute: Callable[[Job], Awaitable[None]]
    begin: Mapping[type[Node], Callable[[Job], bool | None]]


class Scope:
    """The cells that names mean inside a block, and where the block is: rounds and indices of the regions around it.
    `ahead`: whether it, or one around it, was started before it was known to be needed.
    """

    __slots__ = ("ahead", "cells", "outer", "path")

    def __init__(self, outer: Scope | None, path: Path, ahead: Ahead | None = None) -> None:
        self.cells: dict[str, Cell] = {}
        self.outer = outer
        self.path = path
        self.ahead: Ahead | None = outer.ahead if ahead is None and outer is not None else ahead

    def cell(self, name: str) -> Cell:
        scope: Scope | None = self
        while scope is not None:
            found = scope.cells.get(name)
            if found is not None:
                return found
            scope = scope.outer
        raise KeyError(f"value {name} is not defined here")


class Job:
    """One node while it runs: its operands' uses and its results' cells."""

    __slots__ = ("_gone", "_interpreter", "_prepared", "_task", "cells", "node", "run", "scope", "uses")

    def __init__(self, run: Run, prepared: Prepared, scope: Scope, interpreter: Interpreter) -> None:
        self.run = run
        self.node = prepared.node
        self.scope = scope
        self.uses: dict[str, Use] = {}
        self._prepared = prepared
        self._interpreter = interpreter
        self._task: asyncio.Task[None] | None = None
        self._gone = False
        """Whether nobody needed it any more before it had begun."""
        self.cells: list[Cell] = []
        for name in prepared.defines:
            cell = scope.cells[name] = Cell(run.cascade, self._unneeded)
            self.cells.append(cell)

    @property
    def cell(self) -> Cell:
        return self.cells[0]

    def take_uses(self) -> None:
        find = self.scope.cell
        self.uses = {name: find(name).use() for name in self._prepared.reads}

    def start(self) -> None:
        """Have it run once its operands are there: at once, if they are."""
        if self._prepared.waits is None or (self._prepared.ahead and not self.run.ledger.limited):
            self._spawn()
        else:
            self._go_on()

    def _spawn(self) -> None:
        self._task = self.run.spawn(self._work(), next(iter(self._prepared.defines), "node"))
        self._task.add_done_callback(lambda _: self.release())

    def _arrived(self, _: Promise | None = None) -> None:
        self.run.act(self._go_on)

    def _go_on(self) -> None:
        """Begin, or wait for the next operand that is not there: one after the other, as they stand."""
        if self._gone or self.run.cancelled:
            self.release()
            return
        prepared, uses = self._prepared, self.uses
        streams: list[Stream] = []
        for name in prepared.waits or ():
            promise = uses[name].cell.promise
            if not promise.done:
                promise.on_done(self._arrived)
                return
            if promise.error is not None:
                self._fail(promise.error)
                return
            if isinstance(promise.value, Stream) and name not in prepared.streamed:
                streams.append(promise.value)
        for stream in streams:
            stream.demand()
            if stream.pending:
                stream.on_ended(self._arrived)
                return
        self._begin()

    def _begin(self) -> None:
        try:
            ended = self._interpreter.begin[type(self.node)](self)
        except Exception as error:
            self._fail(as_failure(error))
            return
        if ended:
            self.release()
        elif ended is None:
            self._spawn()

    def _fail(self, error: RunFailed) -> None:
        self.run.stop_if_fatal(error)
        for cell in self.cells:
            cell.fail(error)
        self.release()

    def use(self, value: Value) -> Use:
        return self.uses[value.id]

    async def value(self, value: Value) -> object:
        """An operand: a list may still be a stream."""
        return await self.uses[value.id].value()

    async def complete(self, value: Value) -> object:
        """An operand with nothing outstanding."""
        return await completed(self.uses[value.id])

    def there(self, value: Value) -> object:
        """An operand that is there: a list may still be a stream."""
        return self.uses[value.id].cell.promise.value

    def whole(self, name: str) -> object:
        """An operand of which nothing is outstanding."""
        value = self.uses[name].cell.promise.value
        return value.gathered() if isinstance(value, Stream) else value

    def fly(self, lane: Lane, ticket: Ticket) -> Flying:
        """Ask an engine: speculatively as long as the block is not needed for certain."""
        ahead = self.scope.ahead
        if ahead is None or ahead.certain.done or ticket.speculative:
            return self.run.fly(lane, ticket)
        flight = self.run.fly(lane, replace(ticket, speculative=True))
        self.promote(flight)
        return flight

    def promote(self, flight: Flying) -> None:
        """The block needs the answer: so it is certainly needed once the block is."""
        when_certain(self.scope.ahead, flight.promote)

    async def certain(self) -> None:
        """Until the block is needed for certain."""
        if self.scope.ahead is not None:
            await self.scope.ahead.certain.wait()

    def release(self) -> None:
        for use in self.uses.values():
            if not use.released:
                use.release()

    def _unneeded(self) -> None:
        if not any(cell.needed for cell in self.cells):
            self._gone = True
            if self._task is not None:
                self._task.cancel()
            self.release()

    async def _work(self) -> None:
        try:
            await guarded(self._interpreter.execute(self))
        except RunFailed as error:
            self._fail(error)


def whole_number(number: object, what: str) -> int:
    """0 or more. Raises `RunFailed`."""
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise failed(INVALID_ARGUMENT, f"{what} must be a whole number, 0 or more; it is {number!r}")
    return number


async def guarded(work: Awaitable[None]) -> None:
    """Do the work; whatever goes wrong comes out as `RunFailed`, a bug as `Broken`."""
    try:
        await work
    except RunFailed:
        raise
    except Exception as error:
        raise as_failure(error) from error


def as_failure(error: Exception) -> RunFailed:
    """What went wrong in a program, or was a bug."""
    match error:
        case RunFailed():
            return error
        case EngineError():
            return engine_failure(error)
        case EvaluationFailed():
            return failed(OPERATION_FAILED, error.message)
        case TemplateFailed() | TemplateInvalid():
            return failed(TEMPLATE_FAILED, f"a prompt could not be rendered: {error.message}")
    return Broken(error)


def start_block(
    run: Run,
    block: Block,
    params: Sequence[Cell],
    outer: Scope | None,
    path: Path,
    interpreter: Interpreter,
    ahead: Ahead | None = None,
) -> list[Use]:
    """Start a block; uses of its yields, in order. The caller keeps `params` and captured values alive until it
    returns. `ahead`: it is not known yet whether the block is needed.
    """
    scope = Scope(outer, path, ahead)
    scope.cells.update((param.id, cell) for param, cell in zip(block.params, params, strict=True))
    jobs = [Job(run, prepared, scope, interpreter) for prepared in run.operands.prepared(block)]
    for job in jobs:
        job.take_uses()
    yields = [scope.cell(value.id).use() for value in block.yields]
    for job in jobs:
        job.start()
    for job in jobs:
        for cell in job.cells:
            cell.settle()
    return yields
