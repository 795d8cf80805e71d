"""A compiled program, and every way to run it: one input, many, as events, in a session of its own."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from ttsc.batches import Given, in_flight
from ttsc.budgets import Budget, Hardwares, budget_for, prices_for
from ttsc.compiler.ir.nodes import Generate, Parameter, Program, Score
from ttsc.compiler.ir.rewrite import walk
from ttsc.compiler.plan.nodes import Plan
from ttsc.driver import Compiled, specialize
from ttsc.engines import Engines, Progress, engines_for, run_blocking
from ttsc.errors import UsageError
from ttsc.explaining.method import explain
from ttsc.externs import Externs, bind_externs
from ttsc.grammar.diagnostics import Diagnostic
from ttsc.inputs import bind, constants, merged
from ttsc.journals import open_journal, refusals
from ttsc.run_errors import error_of
from ttsc.runs import OnEvent, Runs, artifacts_for, check_evaluation, check_patience, pooled_roles, refused
from ttsc.runtime.events import Event, RunResult
from ttsc.runtime.session import ENGINE_WAIT_S, Session
from ttsc.simulation import in_virtual_time, only_simulated
from ttsc.stores import BoundStores, Store
from ttsc.tracing import Tracing

if TYPE_CHECKING:
    from ttsc.calibration.calibrate import Calibration, Options

Stores = Mapping[str, Store]

DEFAULT_CONCURRENCY = 16
"""Inputs in flight at once. The requests of all of them share one limit per engine (`ttsc.runtime.session`)."""


class CompiledProgram:
    """A program, ready to run. Immutable; may be used from any number of threads and event loops at once.

    Every way to run takes: parameters by name (or all of them in one mapping, `input`, where a name is taken);
    `engine`: a handle, an `Engine`, a URL, or one of these per model role (None: a kept engine if one runs, else one
    is launched); `models`: role to model name, for launched engines; `seed`; `externs`: the host's functions;
    `stores`: a `ttsc.Store` by name (one that is left out is empty and forgotten); `budget`: `"tokens<=20k,
    latency<=30s, cost<=$0.05"`, in place of the program's own; `hardware`: what engines run on that don't say so, as
    `"h100"`, with its price as `"h100@2.50"`, or per role, for clauses that need it; `artifacts`: the folder of offline
    values (None: the user's data folder), and `refresh_offline` computes them again; `evaluation`: oracles may be used;
    `engine_wait`: how many seconds an engine that went away is waited for; `hedge`: a request that takes so many times
    as long as its siblings is sent once more (docs/scheduling.md); `trace`: a file that every event is written to, from
    which `ttsc.replay` gives the same results; `journal`: a file that keeps what is done; if it is there, the run goes
    on from it (docs/journal.md; E0517 if it is another run's).
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
    def compiled(self) -> Compiled:
        """It at every stage of the compiler."""
        return self._compiled

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

    def specialize(self, known: Given | None = None, **parameters: Any) -> CompiledProgram:
        """The program for these values of parameters: what follows from them is computed now, once for all runs.

        The result of a run is the same. The parameters stay in the list, with their values as defaults; a run may leave
        them out or give the same value again, and any other is an error (E0504). Raises `InputError`, also for
        records, pictures and oracles, which can't be compiled in.
        """
        values = constants(self.parameters, merged(known, parameters))
        return CompiledProgram(specialize(self._compiled, values))

    def calibrate(self, inputs: Sequence[Given], **options: Unpack[Options]) -> Calibration:
        """What models do on these inputs, measured by running this program on them (docs/calibration.md). `options`:
        `ttsc.calibration.calibrate.Asked`. Not inside a running event loop: use `acalibrate` there.
        """
        work = self.acalibrate(inputs, **options)
        if only_simulated(options.get("engine")):
            return in_virtual_time(work)
        return run_blocking(work, "`.calibrate`", "`await program.acalibrate(…)`")

    async def acalibrate(self, inputs: Sequence[Given], **options: Unpack[Options]) -> Calibration:
        """The same on the running event loop."""
        from ttsc.calibration.calibrate import Asked, calibrate

        return await calibrate(self._compiled, Asked(inputs, **options))

    explain = explain

    def check_evaluation(self, evaluation: bool) -> None:
        """Raise `UsageError` (E0512) if the program has oracles and this is no evaluation."""
        check_evaluation(self._compiled.built, evaluation)

    def run(
        self,
        input: Given | None = None,
        *,
        engine: Engines = None,
        models: Mapping[str, str] | None = None,
        seed: int = 0,
        externs: Externs | None = None,
        stores: Stores | None = None,
        budget: Budget | None = None,
        hardware: Hardwares = None,
        artifacts: str | Path | None = None,
        trace: str | Path | None = None,
        journal: str | Path | None = None,
        refresh_offline: bool = False,
        engine_wait: float = ENGINE_WAIT_S,
        hedge: float | None = None,
        evaluation: bool = False,
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
            stores=stores,
            budget=budget,
            hardware=hardware,
            artifacts=artifacts,
            trace=trace,
            journal=journal,
            refresh_offline=refresh_offline,
            engine_wait=engine_wait,
            hedge=hedge,
            evaluation=evaluation,
            on_event=on_event,
            on_progress=on_progress,
            **parameters,
        )
        if only_simulated(engine):
            return in_virtual_time(work)
        return run_blocking(work, "`.run`", "`await program.arun(…)`")

    async def arun(
        self,
        input: Given | None = None,
        *,
        engine: Engines = None,
        models: Mapping[str, str] | None = None,
        seed: int = 0,
        externs: Externs | None = None,
        stores: Stores | None = None,
        budget: Budget | None = None,
        hardware: Hardwares = None,
        artifacts: str | Path | None = None,
        trace: str | Path | None = None,
        journal: str | Path | None = None,
        refresh_offline: bool = False,
        engine_wait: float = ENGINE_WAIT_S,
        hedge: float | None = None,
        evaluation: bool = False,
        on_event: OnEvent | None = None,
        on_progress: Progress | None = None,
        **parameters: Any,
    ) -> RunResult:
        """Run one input. Raises as `run` does; cancelling it aborts on the engine what is still decoding."""
        self.check_evaluation(evaluation)
        values = self.check_input(merged(input, parameters))
        async with self.open(
            engine=engine,
            models=models,
            externs=externs,
            stores=stores,
            budget=budget,
            hardware=hardware,
            artifacts=artifacts,
            trace=trace,
            journal=journal,
            refresh_offline=refresh_offline,
            engine_wait=engine_wait,
            hedge=hedge,
            evaluation=evaluation,
            on_progress=on_progress,
        ) as runs:
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
        stores: Stores | None = None,
        budget: Budget | None = None,
        hardware: Hardwares = None,
        artifacts: str | Path | None = None,
        trace: str | Path | None = None,
        journal: str | Path | None = None,
        refresh_offline: bool = False,
        engine_wait: float = ENGINE_WAIT_S,
        hedge: float | None = None,
        evaluation: bool = False,
        on_progress: Progress | None = None,
        **parameters: Any,
    ) -> AsyncIterator[Event]:
        """The events of one run as they happen; the last one is `RunEnded`, with the result or its failure.

        Leaving the loop early (close the iterator, `contextlib.aclosing`) ends the run and aborts on the engine.
        """
        self.check_evaluation(evaluation)
        values = self.check_input(merged(input, parameters))
        async with self.open(
            engine=engine,
            models=models,
            externs=externs,
            stores=stores,
            budget=budget,
            hardware=hardware,
            artifacts=artifacts,
            trace=trace,
            journal=journal,
            refresh_offline=refresh_offline,
            engine_wait=engine_wait,
            hedge=hedge,
            evaluation=evaluation,
            on_progress=on_progress,
        ) as runs:
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
        stores: Stores | None = None,
        budget: Budget | None = None,
        hardware: Hardwares = None,
        artifacts: str | Path | None = None,
        trace: str | Path | None = None,
        journal: str | Path | None = None,
        refresh_offline: bool = False,
        engine_wait: float = ENGINE_WAIT_S,
        hedge: float | None = None,
        evaluation: bool = False,
        on_event: OnEvent | None = None,
        on_progress: Progress | None = None,
    ) -> AsyncIterator[RunResult]:
        """The results of many inputs, at most `concurrency` of them in flight, all in one session (prefixes are
        shared).

        In the order of the inputs, or as they end if not `ordered`; `result.input` is the input's number. A failed
        input is a result with an `error`, also one that doesn't fit the parameters; the others go on. Inputs are read
        as needed. Inputs of a program that adds to a store run one after the other. An input that was another when
        `journal` was begun is a failed result.
        """
        async with self.open(
            engine=engine,
            models=models,
            externs=externs,
            stores=stores,
            budget=budget,
            hardware=hardware,
            artifacts=artifacts,
            trace=trace,
            journal=journal,
            refresh_offline=refresh_offline,
            engine_wait=engine_wait,
            hedge=hedge,
            evaluation=evaluation,
            on_progress=on_progress,
        ) as runs:

            async def one(number: int, given: Given) -> RunResult:
                try:
                    values = self.check_input(given)
                    return await runs.run(values, seed=seed, on_event=on_event, number=number)
                except UsageError as error:
                    return refused(error.problems[0], seed, number)

            async with aclosing(in_flight(inputs, one, 1 if runs.one_by_one else concurrency, ordered)) as results:
                async for result in results:
                    yield result

    @asynccontextmanager
    async def open(
        self,
        *,
        engine: Engines = None,
        models: Mapping[str, str] | None = None,
        externs: Externs | None = None,
        stores: Stores | None = None,
        budget: Budget | None = None,
        hardware: Hardwares = None,
        artifacts: str | Path | None = None,
        trace: str | Path | None = None,
        journal: str | Path | None = None,
        refresh_offline: bool = False,
        engine_wait: float = ENGINE_WAIT_S,
        hedge: float | None = None,
        evaluation: bool = False,
        on_progress: Progress | None = None,
    ) -> AsyncIterator[Runs]:
        """Engines and a session for any number of runs of this program on the running event loop. `arun` and `amap`
        use it. In a `journal` runs are known by their `number`, values and seed.
        """
        self.check_evaluation(evaluation)
        check_patience(engine_wait, hedge)
        limits = budget_for(self.ir.budget, budget)
        functions = bind_externs(self.ir.externs, externs)
        bound = BoundStores(self.ir, stores)
        kept = artifacts_for(self.ir, artifacts, refresh_offline)
        roles = self._compiled.roles if self._asks else {}
        async with AsyncExitStack() as stack:
            book = None if journal is None else open_journal(journal, self.plan, self.source_hash, limits)
            if book is not None:
                stack.callback(book.close)
            opened = engines_for(roles, engine, models, on_progress, pooled_roles(self.ir))
            engines = await stack.enter_async_context(opened)
            if book is not None:
                with refusals():
                    book.bind({role: engine.info.speaker for role, engine in engines.items()})
            prices = prices_for(limits, engines, hardware, models)
            traced = None
            if trace is not None:
                traced = Tracing(trace, self._compiled, self.source_hash, engines, limits)
                stack.callback(traced.close)
                engines = traced.engines
            session = Session(engines, artifacts=kept, records=book, engine_wait_s=engine_wait, hedge=hedge)
            stack.push_async_callback(session.close)
            yield Runs(self.plan, session, engines, functions, bound, limits, book, traced, prices)

    @property
    def _asks(self) -> bool:
        """Whether there is anything to ask of an engine."""
        return any(isinstance(node, Generate | Score) for node in walk(self.ir.body))
