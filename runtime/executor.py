"""Runs a plan on one input.

The plan's graph is interpreted as it stands: one task per node (`blocks.py`), regions as blocks started in turn
(`regions.py`), lists as streams of elements (`streams.py`), selections as decision rules (`selection.py`). Nothing
here knows a strategy. All cancellation follows from who still holds a use of a value (`leases.py`).

A run ends when the program's value is complete. By then everything that is not needed has been abandoned; the run waits
until the engine has acknowledged the aborts, so that its usage is complete and it leaves no task behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, assert_never

from ttsc.backends.protocol import Turn as ChatTurn
from ttsc.compiler.ir.nodes import Const, Extern, Force, Generate, If, Map, Pure, Repeat, Select, Turn
from ttsc.compiler.plan.nodes import Plan
from ttsc.compiler.values.pure import evaluate
from ttsc.compiler.values.templates import render
from ttsc.runtime.blocks import Job, start_block
from ttsc.runtime.events import Event, RunEnded, RunFailure, RunResult
from ttsc.runtime.externs import execute_extern
from ttsc.runtime.failures import INVALID_ARGUMENT, Broken, RunFailed, failed
from ttsc.runtime.generation import execute_force, execute_generate
from ttsc.runtime.leases import Cell, Use, resolved
from ttsc.runtime.regions import execute_if, execute_map, execute_repeat
from ttsc.runtime.run import MAX_REQUESTS, Run
from ttsc.runtime.selection import execute_select
from ttsc.runtime.session import Session
from ttsc.runtime.streams import cause_of, completed
from ttsc.runtime.usage import UsageMeter
from ttsc.runtime.values import Elements, add_turn, frozen, plain


async def run_plan(
    plan: Plan,
    arguments: Mapping[str, object],
    session: Session,
    externs: Mapping[str, Callable[..., object]] | None = None,
    *,
    seed: int = 0,
    input_index: int = 0,
    emit: Callable[[Event], None] | None = None,
    max_requests: int = MAX_REQUESTS,
) -> RunResult:
    """Run a plan on one input. A program's failure is in the result's `error`; only bugs and cancellation raise.

    `arguments`: parameter names to values; parameters that are left out take their defaults. Cancelling the task aborts
    everything in flight and waits until the engine has acknowledged it.
    """
    meter = UsageMeter()
    started = session.now_s()

    def observed(event: Event) -> None:
        meter.add(event)
        if emit is not None:
            emit(event)

    run = Run(
        plan, session, externs or {}, seed=seed, input_index=input_index, emit=observed, max_requests=max_requests
    )
    value: object = None
    error: RunFailure | None = None
    try:
        value = await _value(run, arguments)
    except Broken as broken:
        raise broken.defect from broken
    except RunFailed as failure:
        error = failure.failure
    result = RunResult(
        value=plain(value),
        usage=meter.usage(run.distinct_tokens),
        duration_s=session.now_s() - started,
        seed=seed,
        error=error,
        input=input_index,
    )
    observed(RunEnded(result, session.now_s(), input_index))
    return result


async def run_events(
    plan: Plan,
    arguments: Mapping[str, object],
    session: Session,
    externs: Mapping[str, Callable[..., object]] | None = None,
    *,
    seed: int = 0,
    input_index: int = 0,
    max_requests: int = MAX_REQUESTS,
) -> AsyncIterator[Event]:
    """The same as a stream of events, the last of which is `RunEnded`. Closing it cancels the run."""
    events: asyncio.Queue[Event] = asyncio.Queue()
    task = asyncio.get_running_loop().create_task(
        run_plan(
            plan,
            arguments,
            session,
            externs,
            seed=seed,
            input_index=input_index,
            emit=events.put_nowait,
            max_requests=max_requests,
        )
    )
    ended = False
    try:
        while not ended:
            waiter = asyncio.ensure_future(events.get())
            await asyncio.wait({waiter, task}, return_when=asyncio.FIRST_COMPLETED)
            if not waiter.done() and events.empty():
                waiter.cancel()
                await task
            event = await waiter
            ended = isinstance(event, RunEnded)
            yield event
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _value(run: Run, arguments: Mapping[str, object]) -> object:
    """The program's value, with everything that was started ended again."""
    params = _arguments(run, arguments)
    yields = start_block(run, run.plan.program.body, params, None, (), _execute)
    for param in params:
        param.settle()
    try:
        value = await _first(run, yields[0])
        for use in yields:
            use.release()
        await _first(run, None)
        return value
    finally:
        for use in yields:
            use.release()
        run.cancel()
        await _in_any_case(run.settle())


async def _first(run: Run, use: Use | None) -> object:
    """The value of a use, or with None the end of all work, unless the run is stopped before."""
    waiting: asyncio.Future[object] = asyncio.ensure_future(completed(use) if use is not None else run.settle())
    stopped = asyncio.ensure_future(run.stopped.wait())
    try:
        await asyncio.wait({waiting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        return await (stopped if run.stopped.done else waiting)
    finally:
        waiting.cancel()
        stopped.cancel()
        await asyncio.gather(waiting, stopped, return_exceptions=True)


async def _in_any_case(work: Coroutine[Any, Any, None]) -> None:
    """Finish cleaning up although the task is being cancelled; what is cleaned up has deadlines of its own."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


def _arguments(run: Run, arguments: Mapping[str, object]) -> list[Cell]:
    cells = []
    known = {parameter.name for parameter in run.plan.program.parameters}
    unknown = sorted(set(arguments) - known)
    if unknown:
        raise _input_failure(f"the program has no parameter `{unknown[0]}`")
    for parameter in run.plan.program.parameters:
        if parameter.name not in arguments and parameter.required:
            raise _input_failure(f"the parameter `{parameter.name}: {parameter.value.type}` is missing")
        cells.append(resolved(frozen(arguments.get(parameter.name, parameter.default)), run.cascade))
    return cells


def _input_failure(message: str) -> RunFailed:
    return RunFailed(replace(failed(INVALID_ARGUMENT, message).failure, kind="input"))


async def _execute(job: Job) -> None:
    match job.node:
        case Const(value=value):
            job.cell.resolve(frozen(value))
        case Turn() as node:
            await _execute_turn(job, node)
        case Pure() as node:
            await _execute_pure(job, node)
        case Generate() as node:
            await execute_generate(job, node)
        case Force() as node:
            await execute_force(job, node)
        case Extern() as node:
            await execute_extern(job, node)
        case Select() as node:
            await execute_select(job, node)
        case Map() as node:
            await execute_map(job, node, _execute)
        case If() as node:
            await execute_if(job, node, _execute)
        case Repeat() as node:
            await execute_repeat(job, node, _execute)
        case _:
            assert_never(job.node)


async def _execute_turn(job: Job, node: Turn) -> None:
    parent = await job.complete(node.parent) if node.parent is not None else None
    text = node.template
    if not node.literal:
        args = {name: plain(await job.complete(value)) for name, value in node.args}
        text = render(node.template, args)
    job.cell.resolve(add_turn(parent, ChatTurn(node.role, text)))


async def _execute_pure(job: Job, node: Pure) -> None:
    args = [await job.complete(value) for value in node.args]
    cause = next((found for arg in args if (found := cause_of(arg)) is not None), None)
    if node.op == "one" and args[:1] == [()] and len(args) == 1 and cause is not None:
        raise RunFailed(cause)
    value = evaluate(node.op, node.attr, args)
    job.cell.resolve(Elements(value, cause) if isinstance(value, tuple) else value)
