"""Running a block: one task per node, each as soon as its operands are there.

Starting a block makes a cell for each value its nodes define, takes all static uses (operands of nodes, captured
values, yields), starts the tasks in node order, and only then lets go of the cells, so that what nobody uses is
abandoned before it starts. The block's yields come back as uses: to give a block up, release them, and everything
that only they needed ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ttsc.backends.protocol import EngineError
from ttsc.compiler.ir.nodes import Block, Const, Node, Pure, Turn, Value
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
from ttsc.runtime.leases import Cell, Use
from ttsc.runtime.operands import results
from ttsc.runtime.run import Path, Run
from ttsc.runtime.streams import completed

if TYPE_CHECKING:
    from ttsc.runtime.flights import Ticket
    from ttsc.runtime.records import Flying
    from ttsc.runtime.session import Lane

Execute = Callable[["Job"], Awaitable[None]]


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

    def __init__(self, run: Run, node: Node, scope: Scope, execute: Execute) -> None:
        self.run = run
        self.node = node
        self.scope = scope
        self.cells = [Cell(run.cascade, self._unneeded) for _ in results(node)]
        self.uses: dict[str, Use] = {}
        self._execute = execute
        self._task: asyncio.Task[None] | None = None
        for value, cell in zip(results(node), self.cells, strict=True):
            scope.cells[value.id] = cell

    @property
    def cell(self) -> Cell:
        return self.cells[0]

    def take_uses(self) -> None:
        self.uses = {name: self.scope.cell(name).use() for name in self.run.operands.of(self.node)}

    def start(self) -> None:
        """Run it in a task, or at once if it has nothing to wait for: most nodes of most maps are such."""
        if isinstance(self.node, Const | Pure | Turn) and all(use.cell.whole for use in self.uses.values()):
            self._at_once()
            return
        self._task = self.run.spawn(self._work(), results(self.node)[0].id if results(self.node) else "node")
        self._task.add_done_callback(lambda _: self.release())

    def _at_once(self) -> None:
        """Operands that are there are not waited for, so the work ends in its first step."""
        try:
            self._work().send(None)
        except StopIteration:
            self.release()
        else:
            raise RuntimeError(f"{type(self.node).__name__} waited although its operands are there")

    def use(self, value: Value) -> Use:
        return self.uses[value.id]

    async def value(self, value: Value) -> object:
        """An operand: a list may still be a stream."""
        return await self.uses[value.id].value()

    async def complete(self, value: Value) -> object:
        """An operand with nothing outstanding."""
        return await completed(self.uses[value.id])

    async def integer(self, value: Value, what: str) -> int:
        number = await self.complete(value)
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise failed(INVALID_ARGUMENT, f"{what} must be a whole number, 0 or more; it is {number!r}")
        return number

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
            use.release()

    def _unneeded(self) -> None:
        if self._task is not None and not any(cell.needed for cell in self.cells):
            self._task.cancel()
            self.release()

    async def _work(self) -> None:
        try:
            await guarded(self._execute(self))
        except RunFailed as error:
            self.run.stop_if_fatal(error)
            for cell in self.cells:
                cell.fail(error)


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
    execute: Execute,
    ahead: Ahead | None = None,
) -> list[Use]:
    """Start a block; uses of its yields, in order. The caller keeps `params` and captured values alive until it
    returns. `ahead`: it is not known yet whether the block is needed.
    """
    scope = Scope(outer, path, ahead)
    scope.cells.update((param.id, cell) for param, cell in zip(block.params, params, strict=True))
    jobs = [Job(run, node, scope, execute) for node in block.nodes]
    for job in jobs:
        job.take_uses()
    yields = [scope.cell(value.id).use() for value in block.yields]
    for job in jobs:
        job.start()
    for job in jobs:
        for cell in job.cells:
            cell.settle()
    return yields
