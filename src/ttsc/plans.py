"""`ttsc.plan` and `ttsc.load_plan`: planning, and running what was planned, in a Python program."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttsc.batches import Given, in_flight
from ttsc.budgets import Budget, Hardwares, budget_for
from ttsc.engines import Engines, run_blocking
from ttsc.errors import Problem, UsageError
from ttsc.externs import Externs
from ttsc.inputs import merged
from ttsc.planning.plan_file import Plan, read_plan
from ttsc.planning.planner import Asked, Planned, planned
from ttsc.planning.running import check_engines, check_files, check_program, check_unchanged, run_by_difficulty
from ttsc.program import DEFAULT_CONCURRENCY, CompiledProgram
from ttsc.run_errors import error_of
from ttsc.runs import OnEvent, Runs, refused
from ttsc.runtime.events import RunResult
from ttsc.simulation import in_virtual_time, only_simulated, workload_of
from ttsc.stores import Store

if TYPE_CHECKING:
    from ttsc.compiler.cost.search.evaluating import Goal
    from ttsc.compiler.cost.workload import Workload


def plan(
    programs: CompiledProgram | Sequence[CompiledProgram],
    *,
    objective: Goal = "accuracy",
    budget: Budget | None = None,
    at_least: float | None = None,
    settings: Mapping[str, Any] | None = None,
    inputs: Sequence[Mapping[str, Any]] = (),
    workload: str | Path | Workload | Mapping[str, str | Path | Workload] | None = None,
    model: str | Sequence[str] | Mapping[str, str | Sequence[str]] | None = None,
    hardware: str | Mapping[str, str] | None = None,
    profile: str | Path | Mapping[str, str | Path] | None = None,
    by_difficulty: bool = False,
    samples: int = 64,
    search_requests: int = 30_000,
    seed: int = 0,
    externs: Externs | None = None,
) -> Planned:
    """The setting to run a program with, as `ttsc plan` chooses it (docs/planning.md); of several programs the best
    one. Nothing is asked of an engine. Blocks, for some seconds where settings are simulated.

    `workload`: one for all models, or by model's name, as `model` has several to choose among. `settings`: values of
    parameters that are not to be chosen. Raises `UsageError`: E0530 to E0532 for machines, E0550 and E0551 for
    workloads, E0575 to E0578 for what can't be planned.
    """
    several = [programs] if isinstance(programs, CompiledProgram) else list(programs)
    if objective not in ("accuracy", "latency", "cost"):
        raise UsageError(Problem("E0577", f"'{objective}' is no objective", "accuracy, latency or cost"))
    if samples < 4 or search_requests < 1 or not several:
        raise UsageError(Problem("E0577", "nothing to plan with", "a program, 4 or more samples, and search requests"))
    by_model = dict(workload) if isinstance(workload, Mapping) else {"": workload}
    models = {role: (name,) if isinstance(name, str) else tuple(name) for role, name in _by_role(model).items()}
    return planned(
        Asked(
            programs=several,
            goal=objective,
            limits=budget_for(several[0].ir.budget, budget),
            accuracy=at_least,
            settings=settings or {},
            inputs=inputs,
            hardware=_by_role(hardware),
            models=models,
            profiles={role: Path(each) for role, each in _by_role(profile).items()},
            workloads={name: workload_of(each) for name, each in by_model.items()},
            workload_files={name: Path(each) for name, each in by_model.items() if isinstance(each, str | Path)},
            samples=samples,
            seed=seed,
            externs=() if externs is None else externs,
            by_difficulty=by_difficulty,
            requests=search_requests,
        )
    )


def load_plan(path: str | Path, *, force: bool = False) -> LoadedPlan:
    """A plan's file, ready to run. Raises `UsageError`: E0580 for a file that is no plan, E0583, unless it is `force`d,
    where the program, the workload or the profile is no longer what the plan was made for; and as `ttsc.compile`.
    """
    from ttsc.api import compile as compile_program
    from ttsc.library import PREFIX

    path = Path(path)
    found = read_plan(path)
    if not force:
        check_files(found, path.absolute().parent)
    file = found.file if found.file.startswith(PREFIX) else path.parent / found.file
    task = found.task if found.task is None or found.task.startswith(PREFIX) else path.parent / found.task
    passes = {"disabled": found.disabled, "enabled": found.enabled}
    program = compile_program(file, found.program, found.level, task=task, **passes)  # type: ignore[arg-type]  # 0, 1 or 2
    check_program(found, program)
    if not force:
        check_unchanged(found, program)
    return LoadedPlan(found, program, force)


class LoadedPlan:
    """A plan and its program. It runs as a `CompiledProgram` does, with the plan's setting for what is not given, and a
    plan by difficulty each input up to twice. Engines with another model, or on other hardware, than it was made for
    are refused (E0583) unless it was loaded with `force`. What else a run can be given is `program.run`'s, with
    `setting`.
    """

    def __init__(self, plan: Plan, program: CompiledProgram, forced: bool) -> None:
        self._plan = plan
        self._program = program
        self._forced = forced

    def __repr__(self) -> str:
        return f"<ttsc plan of {self._program.name}: {', '.join(f'{k}={v}' for k, v in self.setting.items())}>"

    @property
    def program(self) -> CompiledProgram:
        """What it runs."""
        return self._program

    @property
    def setting(self) -> Mapping[str, Any]:
        """The chosen values of parameters."""
        return dict(self._plan.setting)

    @property
    def models(self) -> Mapping[str, str]:
        """By role, what it was made for."""
        return dict(self._plan.models)

    def run(
        self,
        input: Given | None = None,
        *,
        engine: Engines = None,
        models: Mapping[str, str] | None = None,
        seed: int = 0,
        externs: Externs | None = None,
        stores: Mapping[str, Store] | None = None,
        budget: Budget | None = None,
        hardware: Hardwares = None,
        on_event: OnEvent | None = None,
        **parameters: Any,
    ) -> RunResult:
        """Run one input and wait for its result; as `CompiledProgram.run`."""
        work = self.arun(
            input,
            engine=engine,
            models=models,
            seed=seed,
            externs=externs,
            stores=stores,
            budget=budget,
            hardware=hardware,
            on_event=on_event,
            **parameters,
        )
        if only_simulated(engine):
            return in_virtual_time(work)
        return run_blocking(work, "`.run`", "`await plan.arun(…)`")

    async def arun(
        self,
        input: Given | None = None,
        *,
        engine: Engines = None,
        models: Mapping[str, str] | None = None,
        seed: int = 0,
        externs: Externs | None = None,
        stores: Mapping[str, Store] | None = None,
        budget: Budget | None = None,
        hardware: Hardwares = None,
        on_event: OnEvent | None = None,
        **parameters: Any,
    ) -> RunResult:
        """The same on the running event loop."""
        values = self._values(merged(input, parameters))
        async with self._open(engine, models, externs, stores, budget, hardware) as runs:
            result = await self._one(runs, values, seed, on_event, 0)
        if result.error is not None:
            raise error_of(result)
        return result

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
        stores: Mapping[str, Store] | None = None,
        budget: Budget | None = None,
        hardware: Hardwares = None,
        on_event: OnEvent | None = None,
    ) -> AsyncIterator[RunResult]:
        """The results of many inputs in one session, as `CompiledProgram.amap`."""
        async with self._open(engine, models, externs, stores, budget, hardware) as runs:

            async def one(number: int, given: Given) -> RunResult:
                try:
                    return await self._one(runs, self._values(given), seed, on_event, number)
                except UsageError as error:
                    return refused(error.problems[0], seed, number)

            async with aclosing(in_flight(inputs, one, 1 if runs.one_by_one else concurrency, ordered)) as results:
                async for result in results:
                    yield result

    def _values(self, given: Given) -> dict[str, Any]:
        return self._program.check_input({**self._plan.setting, **given})

    @asynccontextmanager
    async def _open(
        self,
        engine: Engines,
        models: Mapping[str, str] | None,
        externs: Externs | None,
        stores: Mapping[str, Store] | None,
        budget: Budget | None,
        hardware: Hardwares,
    ) -> AsyncIterator[Runs]:
        if budget is not None and self._plan.by_difficulty is not None:
            message = "a plan by difficulty runs an input up to twice, and a budget is of one run"
            raise UsageError(Problem("E0584", message, "take by_difficulty out of the plan, or leave out the budget"))
        named = models if models is not None or engine is not None else self._plan.models
        opened = self._program.open(
            engine=engine, models=named, externs=externs, stores=stores, budget=budget, hardware=hardware
        )
        async with opened as runs:
            if not self._forced:
                check_engines(self._plan, runs.engines)
            yield runs

    async def _one(
        self, runs: Runs, values: Mapping[str, Any], seed: int, on_event: OnEvent | None, number: int
    ) -> RunResult:
        table = self._plan.by_difficulty
        if table is None:
            return await runs.run(values, seed=seed, on_event=on_event, number=number)

        async def once(given: Mapping[str, Any], listen: OnEvent) -> RunResult:
            def heard(event: Any) -> None:
                listen(event)
                if on_event is not None:
                    on_event(event)

            return await runs.run(given, seed=seed, on_event=heard, number=number)

        return await run_by_difficulty(table, values, once)


def _by_role(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    return dict(given) if isinstance(given, Mapping) else {"": given}
