"""Calibration: runs a program on inputs, wide and undecided, and learns a workload from what it sees."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

from ttsc.backends.protocol import Engine
from ttsc.calibration.alone import Alone
from ttsc.calibration.estimation import workload
from ttsc.calibration.figures import Figure, figures
from ttsc.calibration.notes import notes
from ttsc.calibration.observations import Observations, observe
from ttsc.calibration.recorded import heard
from ttsc.calibration.samples import Samples, sampled_engines, sampled_function
from ttsc.calibration.widening import Widened, widened
from ttsc.compiler.cost.workload import Workload
from ttsc.compiler.cost.workload_file import content_hash
from ttsc.compiler.ir.nodes import Program
from ttsc.driver import Compiled
from ttsc.engines import Engines, Progress, engines_for
from ttsc.errors import InputError, Problem, UsageError
from ttsc.externs import Externs, HostFunction, bind_externs
from ttsc.program import CompiledProgram
from ttsc.run_errors import error_of
from ttsc.runs import pooled_roles
from ttsc.runtime.events import AnswerTaken, Event, ExternCalled, RequestEnded, RequestStarted, RunResult
from ttsc.runtime.session import ENGINE_WAIT_S
from ttsc.runtime.values import CandidateValue, ContextValue, frozen
from ttsc.stores import Store
from ttsc.workloads import write_workload

SAMPLES = 32
PRECISION = 0.05
GOLD_FIELDS = ("gold", "answer", "expected")
_PROBLEMS_SHOWN = 10
_LEARNED = RequestStarted | RequestEnded | AnswerTaken | ExternCalled


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured. `figures`: with their intervals; `notes`: what a reader should know of them. `asked`: answers
    of engines and host functions that were asked for, `taken`: those that were known already. `failed`: runs that
    failed.
    """

    workload: Workload
    figures: tuple[Figure, ...]
    notes: tuple[str, ...]
    precision: float
    inputs: int
    asked: int
    taken: int
    failed: int

    def write(self, path: str | Path) -> None:
        """The workload as a file (docs/workloads.md). Raises `UsageError` (E0550) if it can't be written."""
        write_workload(self.workload, path)


class Options(TypedDict, total=False):
    """The options of `CompiledProgram.calibrate`, as `Asked` has them."""

    gold: str | None
    samples: int
    temperatures: tuple[float, ...]
    precision: float
    engine: Engines
    models: Mapping[str, str] | None
    externs: Externs | None
    stores: Mapping[str, Store] | None
    artifacts: str | Path | None
    journal: str | Path | None
    seed: int
    concurrency: int
    engine_wait: float
    on_progress: Progress | None
    on_result: Callable[[RunResult], None] | None


@dataclass(frozen=True, slots=True)
class Asked:
    """How a program is to be measured, and on what.

    `inputs`: rows with the program's parameters and, in the field `gold`, the right answer (None: see `split_inputs`).
    `samples`: candidates of each pool. `temperatures`: to measure at; none: the program's own. `precision`: half the
    width of an interval that is narrow enough. `journal`: a file that keeps samples; what it has is not asked again.
    `stores` are read, and nothing is added to them. `on_result` is told of each run that ends. The rest as in a run.
    """

    inputs: Sequence[Mapping[str, Any]]
    gold: str | None = None
    samples: int = SAMPLES
    temperatures: tuple[float, ...] = ()
    precision: float = PRECISION
    engine: Engines = None
    models: Mapping[str, str] | None = None
    externs: Externs | None = None
    stores: Mapping[str, Store] | None = None
    artifacts: str | Path | None = None
    journal: str | Path | None = None
    seed: int = 0
    concurrency: int = 16
    engine_wait: float = ENGINE_WAIT_S
    on_progress: Progress | None = None
    on_result: Callable[[RunResult], None] | None = None


async def calibrate(compiled: Compiled, asked: Asked) -> Calibration:
    """Raises as a run does: `UsageError`, `InputError`, `EngineError`; and the error of the first run if all failed."""
    _check(asked)
    program = CompiledProgram(compiled)
    inputs, golds = split_inputs(program, asked.inputs, asked.gold)
    functions = bind_externs(program.ir.externs, asked.externs)
    at: dict[float | None, Observations] = {}
    failed: list[RunResult] = []
    with Samples(asked.journal) as samples:
        async with _engines(program, asked, samples) as engines:
            kept = _kept_functions(program.ir, functions, samples)
            for temperature in asked.temperatures or (None,):
                wide = widened(compiled, asked.samples, temperature)
                at[temperature], lost = await _observed(wide, inputs, golds, engines, kept, asked)
                failed += lost
        first = next(iter(at.values()))
        if len(failed) == len(inputs) * len(at):
            raise error_of(failed[0])
        if not first.samples:
            raise UsageError(
                Problem("E0562", f"'{program.name}' generates nothing", "there is nothing to measure of its models")
            )
        learned = workload(program.name, at, _reader(widened(compiled, asked.samples).compiled, inputs[0]))
        found = figures(at, asked.precision)
        return Calibration(
            workload=replace(learned, hash=content_hash(learned)),
            figures=found,
            notes=notes(at, found, asked.precision, failed),
            precision=asked.precision,
            inputs=len(inputs),
            asked=samples.asked,
            taken=samples.taken,
            failed=len(failed),
        )


def split_inputs(
    program: CompiledProgram, rows: Sequence[Mapping[str, Any]], gold: str | None
) -> tuple[list[dict[str, Any]], list[str | None]]:
    """The checked inputs, and the right answer of each, if it is known. A field that is no parameter is only that.

    `gold` None: an oracle of the program, or else the first of `GOLD_FIELDS` that an input has and the program does not
    take. Raises `InputError` with what is wrong with any of them, by their numbers from 1, and (E0561) for a `gold`
    that no input has.
    """
    names = {each.name for each in program.parameters}
    oracles = [each.name for each in program.parameters if each.oracle]
    known = [*oracles, *(name for name in GOLD_FIELDS if name not in names)]
    field = gold or next((name for name in known if any(name in row for row in rows)), None)
    if gold is not None and not any(gold in row for row in rows):
        there = ", ".join(sorted({name for row in rows for name in row}))
        raise InputError(Problem("E0561", f"no input has the field '{gold}'", f"they have: {there}"))
    golds = [None if field is None or row.get(field) is None else _as_text(row[field]) for row in rows]
    left = [{name: value for name, value in row.items() if name in names or name != field} for row in rows]
    checked: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for number, row in enumerate(left, 1):
        try:
            checked.append(program.check_input(row))
        except InputError as error:
            problems += [Problem(each.code, f"input {number}: {each.message}", each.hint) for each in error.problems]
    if problems:
        more = len(problems) - _PROBLEMS_SHOWN
        rest = [Problem("E0505", f"and {more} more of the kind")] if more > 0 else []
        raise InputError(*problems[:_PROBLEMS_SHOWN], *rest)
    return checked, golds


def _as_text(value: Any) -> str:
    from ttsc.compiler.values.texts import text_of

    return text_of(frozen(value))


def _check(asked: Asked) -> None:
    problems = []
    if not asked.inputs:
        problems.append(Problem("E0561", "there is no input to calibrate on", "give one or more"))
    if asked.samples < 2:
        problems.append(Problem("E0510", f"samples is {asked.samples}", "it must be at least 2: one tells no spread"))
    if any(not each > 0 for each in asked.temperatures):
        problems.append(Problem("E0510", "a temperature is not greater than 0", "at 0 all samples are the same"))
    if len(set(asked.temperatures)) < len(asked.temperatures):
        problems.append(Problem("E0510", "a temperature is given twice", "leave one out"))
    if not 0 < asked.precision < 1:
        problems.append(Problem("E0510", f"precision is {asked.precision}", "give a share, as in 0.05"))
    if problems:
        raise UsageError(*problems)


@asynccontextmanager
async def _engines(program: CompiledProgram, asked: Asked, samples: Samples) -> AsyncIterator[dict[str, Engine]]:
    roles = program.models
    opened = engines_for(roles, asked.engine, asked.models, asked.on_progress, pooled_roles(program.ir))
    async with opened as engines:
        yield sampled_engines(engines, samples)


def _kept_functions(
    program: Program, functions: Mapping[str, HostFunction], samples: Samples
) -> dict[str, HostFunction]:
    """Host functions whose values are kept; those of environments change the world and are called each time."""
    outside = {each.name for each in program.externs if each.kind == "environment"}
    return {
        name: function if name in outside else sampled_function(name, function, samples)
        for name, function in functions.items()
    }


async def _observed(
    wide: Widened,
    inputs: Sequence[Mapping[str, Any]],
    golds: Sequence[str | None],
    engines: Mapping[str, Engine],
    functions: Mapping[str, HostFunction],
    asked: Asked,
) -> tuple[Observations, list[RunResult]]:
    """What the runs of all inputs show, and the results of those that failed."""
    program = CompiledProgram(wide.compiled)
    events: dict[int, list[Event]] = defaultdict(list)
    observations, failed = Observations(), []

    def on_event(event: Event) -> None:
        if isinstance(event, _LEARNED):
            events[event.input].append(event)

    results = program.amap(
        inputs,
        concurrency=asked.concurrency,
        ordered=False,
        engine=engines,
        externs=functions,
        stores={name: Store.memory(store.items) for name, store in (asked.stores or {}).items()},
        artifacts=asked.artifacts,
        seed=asked.seed,
        engine_wait=asked.engine_wait,
        evaluation=True,
        on_event=on_event,
    )
    async for result in results:
        number = result.input
        known = heard(events.pop(number, ()))
        if result.error is not None:
            failed.append(result)
        if number in known:
            observe(program.ir, wide.stands_for, inputs[number], known[number], number, golds[number], observations)
        if asked.on_result is not None:
            asked.on_result(result)
    observations.settle()
    return observations, failed


def _reader(compiled: Compiled, values: Mapping[str, Any]) -> Callable[[str, str], str | None]:
    """The answer that a program reads in a text that one of its nodes would have written."""
    program = compiled.plan.program
    parameters = {each.value.id: frozen(values.get(each.name, each.default)) for each in program.parameters}

    def read(node: str, text: str) -> str | None:
        candidate = CandidateValue(ContextValue(()), text=text, finish="eos", requests=("read",), step=text)
        answer = Alone(program, node).answer(candidate, parameters)
        return answer if isinstance(answer, str) else None

    return read
