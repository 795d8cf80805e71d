"""Runs a plan on one input.

The plan's graph is interpreted as it stands: each node once its operands are there (`blocks.py`), regions as blocks
started in turn (`regions.py`), lists as streams of elements (`streams.py`), selections as decision rules
(`selection.py`). Nothing here knows a strategy. All cancellation follows from who still holds a use of
a value (`leases.py`).

A run ends when the program's value is complete, and what it appends to stores, and when the last call of an
environment has ended. By then everything that is not needed has been abandoned; the run waits
until the engine has acknowledged the aborts, so that its usage is complete and it leaves no task behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, assert_never

from ttsc.backends.protocol import AbilityMissing, Image
from ttsc.compiler.ir.nodes import (
    Const,
    Cut,
    Dag,
    Draw,
    Extern,
    Force,
    Generate,
    If,
    Limit,
    Map,
    Offline,
    Pure,
    Repeat,
    Score,
    Select,
    Turn,
)
from ttsc.compiler.plan.nodes import Plan
from ttsc.compiler.values.abstain import Abstain
from ttsc.compiler.values.pure import evaluate
from ttsc.runtime.blocks import Interpreter, Job, start_block
from ttsc.runtime.concatenation import concatenates, execute_concatenation
from ttsc.runtime.dag import execute_dag
from ttsc.runtime.draws import execute_draw
from ttsc.runtime.editing import begin_cut, begin_force, execute_cut, execute_force
from ttsc.runtime.events import Event, InputStarted, RunEnded, RunFailure, RunResult
from ttsc.runtime.externs import execute_extern
from ttsc.runtime.failures import BUDGET_SPENT, INVALID_ARGUMENT, Broken, RunFailed, engine_failure, failed
from ttsc.runtime.generation import begin_generate
from ttsc.runtime.leases import Cell, Promise, Use, resolved
from ttsc.runtime.offline import execute_offline
from ttsc.runtime.operands import puts_together
from ttsc.runtime.prompts import begin_turn
from ttsc.runtime.records import recordable
from ttsc.runtime.regions import begin_if, begin_map, execute_if, execute_repeat
from ttsc.runtime.results import result_of
from ttsc.runtime.run import MAX_REQUESTS, Run
from ttsc.runtime.scoring import execute_score
from ttsc.runtime.selection import execute_select
from ttsc.runtime.session import Session
from ttsc.runtime.streams import Stream, completed, computed
from ttsc.runtime.usage import UsageMeter
from ttsc.runtime.values import frozen

if TYPE_CHECKING:
    from ttsc.compiler.cost.prices import Price


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
    stores: Mapping[str, Sequence[object]] | None = None,
    budget: Sequence[Limit] | None = None,
    prices: Mapping[str, Price] | None = None,
) -> RunResult:
    """Run a plan on one input. A program's failure is in the result's `error`; only bugs and cancellation raise.

    `arguments`: parameter names to values; parameters that are left out take their defaults. `stores`: what each store
    holds at the start; one that is left out is empty. `budget` takes the place of the program's own; `prices` of
    each role's engine are needed if it limits what has a price. Cancelling the task aborts everything in flight and
    waits until the engine has acknowledged it.
    """
    meter = UsageMeter()
    started = session.now_s()

    def observed(event: Event) -> None:
        meter.add(event)
        if emit is not None:
            emit(event)

    program = plan.program
    run = Run(
        plan,
        session,
        externs or {},
        seed=seed,
        input_index=input_index,
        emit=observed,
        max_requests=max_requests,
        budget=program.budget if budget is None else budget,
        prices=prices,
    )
    if session.records is not None:
        session.records.begin(run)
    observed(InputStarted(recordable(arguments), started, input_index))
    held = {slot.name: tuple((stores or {}).get(slot.name, ())) for slot in program.stores}
    values: list[object] = []
    error: RunFailure | None = None
    try:
        values = await _values(run, arguments, held)
    except Broken as broken:
        raise broken.defect from broken
    except RunFailed as failure:
        error = _explained(failure.failure, run.ledger.cut)
    kinds = [value.type for value in program.body.yields]
    appended = {
        slot.name: tuple(result_of(value, kind)[len(held[slot.name]) :])
        for slot, value, kind in zip(program.stores, values[1:], kinds[1:], strict=False)
    }
    result = RunResult(
        value=result_of(values[0], kinds[0]) if values else None,
        usage=meter.usage(run.distinct_tokens, run.ledger.amounts),
        duration_s=session.now_s() - started,
        seed=seed,
        cut=bool(run.ledger.cut),
        reason=run.ledger.cut,
        error=error,
        input=input_index,
        abstained=bool(values) and isinstance(values[0], Abstain),
        appended={name: items for name, items in appended.items() if items},
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
    stores: Mapping[str, Sequence[object]] | None = None,
    budget: Sequence[Limit] | None = None,
    prices: Mapping[str, Price] | None = None,
    emit: Callable[[Event], None] | None = None,
) -> AsyncIterator[Event]:
    """The same as a stream of events, the last of which is `RunEnded`. Closing it cancels the run. `emit` is told of
    each as it happens.
    """
    events: asyncio.Queue[Event] = asyncio.Queue()

    def happened(event: Event) -> None:
        if emit is not None:
            emit(event)
        events.put_nowait(event)

    task = asyncio.get_running_loop().create_task(
        run_plan(
            plan,
            arguments,
            session,
            externs,
            seed=seed,
            input_index=input_index,
            emit=happened,
            max_requests=max_requests,
            stores=stores,
            budget=budget,
            prices=prices,
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


def _explained(failure: RunFailure, cut: str) -> RunFailure:
    """A failure of a run that its budget ended early says so."""
    if not cut or failure.code == BUDGET_SPENT:
        return failure
    return replace(failure, message=f"{failure.message} (the budget `{cut}` had ended the run early)")


async def _values(run: Run, arguments: Mapping[str, object], held: Mapping[str, tuple[object, ...]]) -> list[object]:
    """What the program yields, with everything that was started ended again."""
    params = [*_arguments(run, arguments), *(resolved(frozen(items), run.cascade) for items in held.values())]
    run.watch_deadline()
    yields = start_block(run, run.plan.program.body, params, None, (), _INTERPRETER)
    for param in params:
        param.settle()
    try:
        values = [await _first(run, use) for use in yields]
        run.end_deadline()
        for use in yields:
            use.release()
        await _first(run, None)
        return values
    finally:
        run.end_deadline()
        for use in yields:
            use.release()
        run.cancel()
        if run.busy:
            await _in_any_case(run.settle())


async def _first(run: Run, use: Use | None) -> object:
    """The value of a use, or with None the end of all work, unless the run is stopped before."""
    while not run.stopped.done:
        gate = Promise()
        if not _outstanding(run, use, partial(_open, gate)):
            return None if use is None else await completed(use)
        run.stopped.on_done(partial(_open, gate))
        await gate.wait()
    return await run.stopped.wait()


def _open(gate: Promise, _: Promise | None = None) -> None:
    gate.resolve(None)


def _outstanding(run: Run, use: Use | None, act: Callable[[Promise | None], None]) -> bool:
    """Whether there is something to wait for; then `act` is called when to look again."""
    if use is None:
        if run.busy:
            run.on_idle(act)
            return True
        return False
    promise = use.cell.promise
    if not promise.done:
        promise.on_done(act)
        return True
    value = promise.value
    if isinstance(value, Stream):
        value.demand()
        if value.pending:
            value.on_ended(partial(act, None))
            return True
    return False


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
        value = frozen(arguments.get(parameter.name, parameter.default))
        if _has_image(value):
            _takes_images(run)
        cells.append(resolved(value, run.cascade))
    return cells


def _has_image(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_image, value.values()))
    return any(map(_has_image, value)) if isinstance(value, tuple) else isinstance(value, Image)


def _takes_images(run: Run) -> None:
    """Refuse a picture that no engine of the program can take, before anything is asked of one."""
    engines = [run.lane(role.name).engine.info for role in run.plan.program.models if role.name in run.session.lanes]
    if engines and not any("images" in info.abilities for info in engines):
        names = ", ".join(dict.fromkeys(info.model for info in engines))
        hint = "bind a model role to a model that reads pictures"
        raise engine_failure(AbilityMissing(f"a picture was given, but {names} can't take pictures", hint))


def _input_failure(message: str) -> RunFailed:
    return RunFailed(replace(failed(INVALID_ARGUMENT, message).failure, kind="input"))


async def _execute(job: Job) -> None:
    """A node that needs a task."""
    if isinstance(job.node, Extern | Offline):
        await job.certain()
    match job.node:
        case Const() | Turn() | Generate() | Map():
            raise AssertionError(f"{type(job.node).__name__} needs no task")
        case Pure() as node:
            await execute_concatenation(job, node, [job.there(value) for value in node.args])
        case Force() as node:
            await execute_force(job, node)
        case Cut() as node:
            await execute_cut(job, node)
        case Score() as node:
            await execute_score(job, node)
        case Draw() as node:
            await execute_draw(job, node)
        case Extern() as node:
            await execute_extern(job, node)
        case Select() as node:
            await execute_select(job, node)
        case Dag() as node:
            await execute_dag(job, node, _INTERPRETER)
        case Offline() as node:
            await execute_offline(job, node, _INTERPRETER)
        case If() as node:
            await execute_if(job, node, _INTERPRETER)
        case Repeat() as node:
            await execute_repeat(job, node, _INTERPRETER)
        case _:
            assert_never(job.node)


def _begin_const(job: Job) -> bool:
    assert isinstance(job.node, Const)
    job.cell.resolve(frozen(job.node.value))
    return True


def _begin_pure(job: Job) -> bool | None:
    node = job.node
    assert isinstance(node, Pure)
    if puts_together(node) and concatenates(node, [job.there(value) for value in node.args]):
        return None
    args = [job.whole(value.id) for value in node.args]
    job.cell.resolve(computed(args, lambda: evaluate(node.op, node.attr, args)))
    return True


def _begin_map(job: Job) -> bool:
    return begin_map(job, _INTERPRETER)


def _begin_if(job: Job) -> bool:
    return begin_if(job, _INTERPRETER)


_INTERPRETER = Interpreter(
    _execute,
    {
        Const: _begin_const,
        Pure: _begin_pure,
        Turn: begin_turn,
        Generate: begin_generate,
        Force: begin_force,
        Cut: begin_cut,
        If: _begin_if,
        Map: _begin_map,
    },
)
