"""Calls of host functions: run aside, within a time limit, and believed only after their value is checked.

An async function is awaited; any other has a thread to itself, since it may block (`threads.py`). A thread cannot be
stopped: past its time limit it is left behind and its value is ignored.

A call of an environment changes the world: it begins when the one before it has ended, is never made twice, and once
begun it is waited for, whatever becomes of the run.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from ttsc.backends.protocol import Image
from ttsc.compiler.ir.nodes import Extern, ExternSignature
from ttsc.compiler.values.types import Allowed, Interval, ListOf, OptionalOf, PairOf, RecordType, Scalar, Type
from ttsc.runtime.blocks import Job
from ttsc.runtime.events import ExternCalled, RunFailure
from ttsc.runtime.failures import EXTERN_MISSING, EXTERN_RAISED, EXTERN_TIMED_OUT, EXTERN_WRONG_VALUE, RunFailed
from ttsc.runtime.outside import outside
from ttsc.runtime.records import NotRecordable, Site, to_json
from ttsc.runtime.threads import in_thread
from ttsc.runtime.values import CandidateValue, frozen, plain

MAX_MESSAGE = 500


def extern_failure(code: str, message: str, hint: str = "") -> RunFailed:
    return RunFailed(RunFailure(code, message, hint, "extern"))


async def execute_extern(job: Job, node: Extern) -> None:
    arguments = [plain(await job.complete(value)) for value in node.args]
    if node.after is not None:
        await job.complete(node.after)
    run = job.run
    refusal = run.ledger.refusal()
    if refusal is not None:
        raise refusal
    site, records = Site(node.result.id, job.scope.path), run.session.records
    known = None if records is None else records.call(run, site, node, arguments)
    if known is not None:
        job.cell.resolve(frozen(await known))
        return
    function = run.externs.get(node.name)
    if function is None:
        raise extern_failure(
            EXTERN_MISSING, f"no function was given for the extern `{node.name}`", "pass it with the run's externs"
        )
    signature = run.signatures.get(node.name)
    work = _Call(job, node, function, signature, arguments, site)
    if signature is not None and signature.kind == "environment":
        async with run.world:
            if records is not None:
                await records.calling(run, site, node, arguments)
            await run.session.extern_limit.acquire(run.session.draw())
            await to_the_end(work.perform())
    else:
        await run.in_time(work.queued())


async def to_the_end(call: Coroutine[Any, Any, None]) -> None:
    """Wait for the call although the task is being cancelled, then be cancelled."""
    task = asyncio.ensure_future(call)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled and not task.cancelled():
        task.exception()
        raise asyncio.CancelledError
    task.result()


@dataclass(frozen=True, slots=True)
class _Call:
    """One call, ready to be made."""

    job: Job
    node: Extern
    function: Callable[..., object]
    signature: ExternSignature | None
    arguments: Sequence[object]
    site: Site

    async def queued(self) -> None:
        """Wait for a free place, then call."""
        session = self.job.run.session
        await session.extern_limit.acquire(session.draw())
        await self.perform()

    async def perform(self) -> None:
        """Call, in a place that was acquired, and give the place back."""
        run, name = self.job.run, self.node.name
        started = run.session.now_s()
        value: object = None
        error: RunFailed | None = None
        ended = False
        try:
            value = checked(
                await _call(self.function, self.arguments, run.session.extern_timeout_s), name, self.signature
            )
            ended = True
        except TimeoutError:
            message = f"the extern `{name}` did not return within {run.session.extern_timeout_s:g} s"
            error = extern_failure(EXTERN_TIMED_OUT, message)
            raise error from None
        except RunFailed as failure:
            error = failure
            raise
        except Exception as raised:
            message = f"the extern `{name}` raised {type(raised).__name__}: {str(raised)[:MAX_MESSAGE]}"
            error = extern_failure(EXTERN_RAISED, message)
            raise error from raised
        finally:
            run.session.extern_limit.release()
            if ended or error is not None:
                self._record(value, None if error is None else error.failure)
            run.emit(self._event(started, ended, value, None if error is None else error.failure))
        self.job.cell.resolve(value)

    def _record(self, value: object, error: RunFailure | None) -> None:
        run = self.job.run
        if run.session.records is not None:
            run.session.records.called(run, self.site, self.node, self.arguments, value, error)

    def _event(self, started: float, ended: bool, value: object, error: RunFailure | None) -> ExternCalled:
        data, now = None, self.job.run.session.now_s()
        if ended:
            try:
                data = to_json(value)
            except NotRecordable:
                ended = False
        return ExternCalled(
            self.node.result.id,
            self.node.name,
            now - started,
            now,
            "" if error is None else error.message,
            self.job.run.input_index,
            str(self.site),
            data,
            ended,
            "" if error is None else error.code,
            "" if error is None else error.hint,
        )


async def _call(function: Callable[..., object], arguments: Sequence[object], timeout_s: float) -> object:
    asynchronous = inspect.iscoroutinefunction(inspect.unwrap(function))
    async with _own_timeout(timeout_s):
        value = function(*arguments) if asynchronous else await _in_thread(function, arguments)
        if not inspect.isawaitable(value):
            return value
        with outside(calls=True):
            return await value


class _own_timeout:  # noqa: N801
    """`asyncio.timeout`, except that a `TimeoutError` of the function itself is not taken for ours."""

    def __init__(self, seconds: float) -> None:
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        await self._timeout.__aexit__(kind, error, trace)
        if isinstance(error, TimeoutError):
            raise RuntimeError(f"TimeoutError: {error}") from error


async def _in_thread(function: Callable[..., object], arguments: Sequence[object]) -> object:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[object] = loop.create_future()

    def deliver(value: object, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(value)
        else:
            answer.set_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))

    def work() -> None:
        value: object = None
        failure: BaseException | None = None
        try:
            value = function(*arguments)
        except BaseException as error:
            failure = error
        try:
            loop.call_soon_threadsafe(deliver, value, failure)
        except RuntimeError:
            return

    in_thread(work)
    with outside():
        return await answer


def checked(value: object, name: str, signature: ExternSignature | None) -> object:
    """The value as the program will see it, or a failure that names the extern, what was expected and what came."""
    if signature is None:
        return frozen(plain(value))
    return validated(plain(value) if not isinstance(value, CandidateValue) else value, signature.returns, name)


def validated(value: object, declared: Type, name: str) -> object:
    """`value` if it has the declared type (an int will do for a float), lists frozen, undeclared fields left out."""
    problem = _mismatch(value, declared, "")
    if problem:
        raise extern_failure(
            EXTERN_WRONG_VALUE,
            f"the extern `{name}` should return {declared}{problem}",
            "fix the function or its declaration",
        )
    return _shaped(value, declared)


def _mismatch(value: object, declared: Type, where: str) -> str:
    match declared:
        case OptionalOf(item):
            return "" if value is None else _mismatch(value, item, where)
        case ListOf(item, limit):
            if not isinstance(value, list | tuple):
                return _got(value, declared, where)
            if limit is not None and len(value) > limit:
                return f", but its value{where} has {len(value)} items, more than the {limit} of list[{item}, {limit}]"
            problems = (_mismatch(each, item, f"{where}[{i}]") for i, each in enumerate(value))
            return next((p for p in problems if p), "")
        case RecordType(fields=fields):
            if not isinstance(value, dict):
                return _got(value, declared, where)
            for field, kind in fields:
                if field not in value and not isinstance(kind, OptionalOf):
                    return f", but its value{where} has no field `{field}`"
                problem = _mismatch(value.get(field), kind, f"{where}.{field}")
                if problem:
                    return problem
            return next((p for field, allowed in declared.allowed if (p := _outside(value, field, allowed, where))), "")
        case PairOf(first, second):
            if not isinstance(value, list | tuple) or len(value) != 2:
                return _got(value, declared, where)
            return _mismatch(value[0], first, f"{where}[0]") or _mismatch(value[1], second, f"{where}[1]")
        case Scalar(scalar):
            return "" if _is_scalar(value, scalar) else _got(value, declared, where)


def _outside(record: dict[str, object], field: str, allowed: Allowed, where: str) -> str:
    """What is wrong with a field that may not have every value; of a list, each of its items counts."""
    value = record.get(field)
    for each in value if isinstance(value, list | tuple) else (value,):
        if each is not None and not may_be(each, allowed):
            return f", but its value{where}.{field} is {_short(each)}, outside of {range_text(allowed)}"
    return ""


def may_be(value: object, allowed: Interval | Sequence[object]) -> bool:
    """Whether a value lies in an interval or is one of those listed."""
    if isinstance(allowed, Interval):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and allowed.low <= value <= allowed.high  # type: ignore[operator]
    return any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in allowed)


def range_text(allowed: Interval | Sequence[object]) -> str:
    """As the program writes it: `0..10`, `["a", "b"]`."""
    if isinstance(allowed, Interval):
        return f"{allowed.low}..{allowed.high}"
    return "[" + ", ".join(json.dumps(each, ensure_ascii=False) for each in allowed) + "]"


def _is_scalar(value: object, name: str) -> bool:
    match name:
        case "str":
            return isinstance(value, str)
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "none":
            return value is None
        case "Context" | "Candidate":
            return isinstance(value, CandidateValue)
        case "Image":
            return isinstance(value, Image)
    return False


def _got(value: object, declared: Type, where: str) -> str:
    shown = _short(value)
    place = f" {declared} at{where}" if where else ""
    return f", but{' where' + place + ' was expected' if where else ' it'} returned {type(value).__name__} {shown}"


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:80] + "…"


def _shaped(value: object, declared: Type) -> object:
    match declared:
        case OptionalOf(item):
            return None if value is None else _shaped(value, item)
        case ListOf(item) if isinstance(value, list | tuple):
            return tuple(_shaped(each, item) for each in value)
        case PairOf(first, second) if isinstance(value, list | tuple):
            return {"first": _shaped(value[0], first), "second": _shaped(value[1], second)}
        case RecordType(fields=fields) if isinstance(value, dict):
            return {field: _shaped(value.get(field), kind) for field, kind in fields}
        case Scalar("float") if isinstance(value, int):
            return float(value)
    return value
