"""The Python interface: compile a program once, run it on any number of inputs.

program = ttsc.compile("programs/self_consistency.tts")
with ttsc.connect("http://127.0.0.1:30000") as engine:
    result = program.run(question="How much is 17 + 25?", n=8, engine=engine)
print(result.value, result.usage.decoded_tokens)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from ttsc.backends.protocol import (
    ContextTooLong,
    Engine,
    EngineError,
    EngineUnavailable,
    ModelNotFound,
    RequestFailed,
    RequestRefused,
)
from ttsc.compiler.ir.nodes import Parameter, Program
from ttsc.compiler.plan.nodes import Level, Plan
from ttsc.driver import Compiled, compile_file, compile_source
from ttsc.engines import Engines, Progress, engines_for, run_blocking
from ttsc.errors import InputError, Problem, UsageError
from ttsc.externs import Externs, HostFunction, bind_externs
from ttsc.grammar.diagnostics import Diagnostic
from ttsc.grammar.source import Source
from ttsc.inputs import bind
from ttsc.library import PREFIX, is_text
from ttsc.runtime.events import Event, RunFailure, RunResult, Usage
from ttsc.runtime.executor import run_events, run_plan
from ttsc.runtime.session import Session

Given = Mapping[str, Any]
OnEvent = Callable[[Event], None]

DEFAULT_CONCURRENCY = 16
"""Inputs in flight at once. The requests of all of them share one limit per engine (`ttsc.runtime.session`)."""


_HELD_BACK = 8
"""In order, this many times `concurrency` results may wait for an earlier one before no more inputs are begun."""


class RunError(Exception):
    """A run failed by no fault of the engine. `result` has its usage and its failure: code, message, hint."""

    def __init__(self, result: RunResult) -> None:
        assert result.error is not None
        super().__init__(f"{result.error.code}: {result.error.message}")
        self.result = result
        self.failure = result.error


def compile(
    path_or_source: str | Path | Source,
    program: str | None = None,
    level: Level = 2,
    *,
    disabled: Iterable[str] = (),
) -> CompiledProgram:
    """Compile one program of a file, of `std:NAME`, or of a text (a string with a line break or a brace in it).

    `program` names it where there is a choice. `level` 0 runs it as written, 2 with all passes but the `disabled`
    ones; the value is the same. Raises `CompileError` with every diagnostic, `UsageError` for a file, program or pass
    that isn't there.
    """
    skipped = tuple(disabled)
    if isinstance(path_or_source, Source):
        return CompiledProgram(compile_source(path_or_source, program, level, skipped))
    if isinstance(path_or_source, str) and not path_or_source.startswith(PREFIX) and is_text(path_or_source):
        return CompiledProgram(compile_source(Source("<string>", path_or_source), program, level, skipped))
    return CompiledProgram(compile_file(path_or_source, program, level, skipped))


class CompiledProgram:
    """A program, ready to run. Immutable; may be used from any number of threads and event loops at once.

    Every way to run takes: parameters by name (or all of them in one mapping, `input`, where a name is taken);
    `engine`: a handle, an `Engine`, a URL, or one of these per model role (None: a kept engine if one runs, else one
    is launched); `models`: role to model name, for launched engines; `seed`; `externs`: the host's functions.
    """

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled

    def __repr__(self) -> str:
        parameters = ", ".join(f"{item.name}: {item.value.type}" for item in self.parameters)
        return f"<ttsc program {self.name}({parameters})>"

    @property
    def name(self) -> str:
        """The program's declared name."""
        return self._compiled.name

    @property
    def doc(self) -> str:
        """Its docstring."""
        return self.ir.doc

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Name, type, default and tunable range of each parameter."""
        return self.ir.parameters

    @property
    def models(self) -> dict[str, str | None]:
        """Model roles, and the model that the program names for each."""
        return dict(self._compiled.roles)

    @property
    def plan(self) -> Plan:
        """What is executed."""
        return self._compiled.plan

    @property
    def ir(self) -> Program:
        """The IR after the passes."""
        return self._compiled.plan.program

    @property
    def source_hash(self) -> str:
        """SHA-256 of the program's own text, in hexadecimal: whether it is still the one that a trace tells of."""
        return sha256(self._compiled.source.text.encode()).hexdigest()

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """What costs money though it is no error."""
        return self._compiled.warnings

    def check_input(self, given: Given) -> dict[str, Any]:
        """A value for every parameter, defaults included. Raises `InputError` with everything that is wrong."""
        return bind(self.parameters, given)

    def run(
        self,
        input: Given | None = None,
        *,
        engine: Engines = None,
        models: Mapping[str, str] | None = None,
        seed: int = 0,
        externs: Externs | None = None,
        on_event: OnEvent | None = None,
        on_progress: Progress | None = None,
        **parameters: Any,
    ) -> RunResult:
        """Run one input and wait for its result. Ctrl-C aborts on the engine what is still decoding.

        Raises `InputError`, `UsageError` before anything runs; `EngineError` and `RunError` if the run fails. A run
        that a limit cut short is no failure: its result says `cut`. Not inside a running event loop: use `arun`
        there.
        """
        work = self.arun(
            input,
            engine=engine,
            models=models,
            seed=seed,
            externs=externs,
            on_event=on_event,
            on_progress=on_progress,
            **parameters,
        )
        return run_blocking(work, "`.run`", "`await program.arun(…)`")

    async def arun(
        self,
        input: Given | None = None,
        *,
        engine: Engines = None,
        models: Mapping[str, str] | None = None,
        seed: int = 0,
        externs: Externs | None = None,
        on_event: OnEvent | None = None,
        on_progress: Progress | None = None,
        **parameters: Any,
    ) -> RunResult:
        """Run one input. Raises as `run` does; cancelling it aborts on the engine what is still decoding."""
        values = self.check_input(_merged(input, parameters))
        async with self.open(engine=engine, models=models, externs=externs, on_progress=on_progress) as runs:
            result = await runs.run(values, seed=seed, on_event=on_event)
        if result.error is not None:
            raise error_of(result)
        return result

    async def astream(
        self,
        input: Given | None = None,
        *,
        engine: Engines = None,
        models: Mapping[str, str] | None = None,
        seed: int = 0,
        externs: Externs | None = None,
        on_progress: Progress | None = None,
        **parameters: Any,
    ) -> AsyncIterator[Event]:
        """The events of one run as they happen; the last one is `RunEnded`, with the result or its failure.

        Leaving the loop early (close the iterator, `contextlib.aclosing`) ends the run and aborts on the engine.
        """
        values = self.check_input(_merged(input, parameters))
        async with self.open(engine=engine, models=models, externs=externs, on_progress=on_progress) as runs:
            async with aclosing(runs.events(values, seed=seed)) as events:
                async for event in events:
                    yield event

    async def amap(
        self,
        inputs: Iterable[Given] | AsyncIterable[Given],
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        ordered: bool = True,
        engine: Engines = None,
        models: Mapping[str, str] | None = None,
        seed: int = 0,
        externs: Externs | None = None,
        on_event: OnEvent | None = None,
        on_progress: Progress | None = None,
    ) -> AsyncIterator[RunResult]:
        """The results of many inputs, at most `concurrency` of them in flight, all in one session (prefixes are
        shared).

        In the order of the inputs, or as they end if not `ordered`; `result.input` is the input's number. A failed
        input is a result with an `error`, also one that doesn't fit the parameters; the others go on. Inputs are read
        as needed.
        """
        async with self.open(engine=engine, models=models, externs=externs, on_progress=on_progress) as runs:

            async def one(number: int, given: Given) -> RunResult:
                try:
                    values = self.check_input(given)
                except InputError as error:
                    problem = error.problems[0]
                    failure = RunFailure(problem.code, str(problem.message), problem.hint, "input")
                    return RunResult(None, Usage(), 0.0, seed, error=failure, input=number)
                return await runs.run(values, seed=seed, on_event=on_event, number=number)

            async for result in in_flight(inputs, one, concurrency, ordered):
                yield result

    @asynccontextmanager
    async def open(
        self,
        *,
        engine: Engines = None,
        models: Mapping[str, str] | None = None,
        externs: Externs | None = None,
        on_progress: Progress | None = None,
    ) -> AsyncIterator[Runs]:
        """Engines and a session for any number of runs of this program on the running event loop. `arun` and `amap`
        use it.
        """
        functions = bind_externs(self.ir.externs, externs)
        roles = self._compiled.roles if self.plan.requests else {}
        async with engines_for(roles, engine, models, on_progress) as engines:
            session = Session(engines)
            try:
                yield Runs(self.plan, session, engines, functions)
            finally:
                await session.close()


class Runs:
    """A program on its engines. `engines`: by model role."""

    def __init__(
        self, plan: Plan, session: Session, engines: Mapping[str, Engine], functions: Mapping[str, HostFunction]
    ) -> None:
        self._plan = plan
        self._session = session
        self._functions = functions
        self.engines = dict(engines)

    @property
    def seeds_honoured(self) -> bool:
        """Whether equal seeds give equal tokens on every engine used."""
        return all(engine.info.seeds_honoured for engine in self.engines.values())

    async def run(self, values: Given, *, seed: int = 0, on_event: OnEvent | None = None, number: int = 0) -> RunResult:
        """Run one checked input (see `check_input`). A failure is in the result, not raised."""
        return await run_plan(
            self._plan, values, self._session, self._functions, seed=seed, input_index=number, emit=on_event
        )

    def events(self, values: Given, *, seed: int = 0, number: int = 0) -> AsyncGenerator[Event, None]:
        """The events of one run; the last one is `RunEnded`. Closing it ends the run."""
        events = run_events(self._plan, values, self._session, self._functions, seed=seed, input_index=number)
        return cast(AsyncGenerator[Event, None], events)


def error_of(result: RunResult) -> Exception:
    """The exception for a failed result: the engine's own kind of error, or `RunError`."""
    failed = RunError(result)
    failure = failed.failure
    if failure.kind != "engine":
        return failed
    kinds = (EngineUnavailable, RequestFailed, RequestRefused, ContextTooLong, ModelNotFound)
    kind = next((kind for kind in kinds if kind.code == failure.code), EngineError)
    error = kind(failure.message, failure.hint)
    error.__cause__ = failed
    return error


def _merged(input: Given | None, parameters: Mapping[str, Any]) -> dict[str, Any]:
    both = sorted(set(input or ()) & set(parameters))
    if both:
        raise InputError(
            *(Problem("E0505", f"'{name}' is given twice, by name and in `input`", "leave one out") for name in both)
        )
    return {**(input or {}), **parameters}


async def in_flight(
    inputs: Iterable[Given] | AsyncIterable[Given],
    one: Callable[[int, Given], Coroutine[Any, Any, RunResult]],
    concurrency: int,
    ordered: bool,
) -> AsyncIterator[RunResult]:
    """Results of `one` for each input, at most `concurrency` at once; in order, finished ones wait for those before
    them.
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
