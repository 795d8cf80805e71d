"""`ttsc run`: answers."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ttsc.cli.engine_options import engines_given, models_given
from ttsc.cli.event_loop import run_on_fastest
from ttsc.cli.exit_codes import TERMINATED, complain, say
from ttsc.cli.options import as_level, task_path
from ttsc.cli.planned_run import applied, plan_asked
from ttsc.cli.run_inputs import inputs_given, specialized, stores_given
from ttsc.cli.run_options import Asked, run_options
from ttsc.cli.simulated_run import simulated, simulator_asked

if TYPE_CHECKING:
    from ttsc.compiler.ir.nodes import Limit
    from ttsc.engines import Engines
    from ttsc.externs import Externs
    from ttsc.planning.plan_file import Plan
    from ttsc.program import CompiledProgram
    from ttsc.runs import OnEvent
    from ttsc.runtime.events import Event, RunResult
    from ttsc.stores import Store

_LABEL_CHARACTERS = 60


@dataclass(frozen=True)
class Job:
    """Everything that `ttsc run` was asked for, checked. `simulated`: what is said of engines that only simulate.
    `plan`: FILE, if it is one.
    """

    asked: Asked
    program: CompiledProgram
    inputs: list[dict[str, Any]]
    engine: Engines
    models: dict[str, str]
    externs: Externs
    stores: dict[str, Store]
    budget: tuple[Limit, ...] | None
    simulated: tuple[str, ...] = ()
    plan: Plan | None = None


@click.command(short_help="Run a program and print its answer.")
@run_options
def run(**given: Any) -> int:
    """Run a program of FILE (or std:NAME, or a plan that `ttsc plan` made) and print its answer.

    Without --engine a kept engine is used if one serves the model (see `ttsc engine start`); otherwise one is
    launched for this run. The model is that of --model, else the one the program names, else the built-in
    smollm2-135m.

    \b
      ttsc run programs/self_consistency.tts --set question="How much is 17 + 25?" --set n=8
      ttsc run programs/first_finish.tts --inputs questions.jsonl --out answers.jsonl

    Exit codes: 0 done, 1 run failed, 2 usage, 3 program has errors, 4 budget cut, 5 engine unavailable.
    """
    from ttsc.api import compile as compile_program
    from ttsc.budgets import budget_for, read_budget
    from ttsc.externs import bind_externs, load_externs
    from ttsc.library import PREFIX
    from ttsc.planning.running import check_program, check_unchanged
    from ttsc.runtime.virtual_time import run_in_virtual_time
    from ttsc.stores import BoundStores

    asked = Asked(**given)
    plan = plan_asked(asked)
    if plan is not None:
        asked = applied(asked, plan)
    simulates = simulator_asked(asked)
    if asked.input_json is not None and asked.inputs_file is not None:
        raise click.UsageError("--input and --inputs can't go together")
    path = asked.file if asked.file.startswith(PREFIX) else Path(asked.file)  # never the text of a program
    passes = {"disabled": asked.disabled, "enabled": asked.enabled}
    task = task_path(asked.task)
    compiled = compile_program(path, asked.program, as_level(asked.level), task=task, **passes)
    if plan is not None:
        check_program(plan, compiled)
        if not asked.force:
            check_unchanged(plan, compiled)
    _warn(compiled)
    externs = load_externs(asked.externs_file) if asked.externs_file is not None else []
    if not simulates:
        bind_externs(compiled.ir.externs, externs)
    compiled.check_evaluation(asked.evaluation)
    limits = read_budget(asked.budget) if asked.budget is not None else None
    budget_for(compiled.ir.budget, limits)
    stores = stores_given(asked.stores)
    BoundStores(compiled.ir, stores).read()
    inputs = inputs_given(compiled, asked.settings, asked.input_json, asked.inputs_file)
    roles = (compiled.models, models_given(compiled.models, asked.models))
    simulation = simulated(asked, compiled, externs, inputs) if simulates else None
    job = Job(
        asked=asked,
        program=specialized(compiled, asked.settings, inputs),
        inputs=inputs,
        engine=simulation.engines if simulation else engines_given(asked.engines, asked.tokenizer_path, *roles),
        models=roles[1],
        externs=simulation.externs if simulation else externs,
        stores=stores,
        budget=limits,
        simulated=simulation.said if simulation else (),
        plan=plan,
    )
    _writable(asked.out, "--out")
    _writable(asked.trace, "--trace")
    _writable(asked.journal, "--journal")
    try:
        return run_in_virtual_time(_run(job)) if simulates else run_on_fastest(_run(job))
    except asyncio.CancelledError:
        say("terminated")
        return TERMINATED


async def _run(job: Job) -> int:
    """Run every input; the exit code. Ctrl-C and SIGTERM cancel it, which aborts on the engine what is decoding."""
    from ttsc.batches import in_flight
    from ttsc.cli.live import choose_display
    from ttsc.cli.output import Results, engine_lines, exit_code, journal_line, offline_lines, price_lines, summary
    from ttsc.cli.progress import EngineProgress
    from ttsc.errors import UsageError
    from ttsc.estimates.role_machines import by_role
    from ttsc.journals import check_inputs
    from ttsc.planning.running import check_engines, run_by_difficulty
    from ttsc.runs import refused
    from ttsc.runtime.events import OfflineTaken

    _stop_on_sigterm()
    loop = asyncio.get_running_loop()
    start, begun_s = time.monotonic(), loop.time()
    inputs = len(job.inputs)
    on_terminal = sys.stderr.isatty()
    with ExitStack() as stack:
        progress = stack.enter_context(EngineProgress())
        opened = job.program.open(
            engine=job.engine,
            models=job.models,
            externs=job.externs,
            stores=job.stores,
            budget=job.budget,
            hardware=None if job.simulated else by_role(job.asked.hardware),
            artifacts=job.asked.artifacts,
            journal=job.asked.journal,
            trace=job.asked.trace,
            refresh_offline=job.asked.refresh_offline,
            engine_wait=job.asked.engine_wait,
            hedge=job.asked.hedge,
            evaluation=job.asked.evaluation,
            on_progress=progress.update,
        )
        async with opened as runs:
            progress.done()
            if job.plan is not None and not job.asked.force:
                check_engines(job.plan, runs.engines)
            if runs.journal is not None:
                check_inputs(runs.journal, job.inputs, job.asked.seed)
                say(journal_line(runs.journal, inputs))
            for name in runs.empty_stores:
                lost = ", and what is added to it is lost at the end" if name in runs.lost_stores else ""
                say(f"store     {name} is empty{lost}; --store {name}=FILE.jsonl says where it is kept")
            for line in (*engine_lines(runs.engines), *job.simulated, *price_lines(runs.prices)):
                say(line)
            held = on_terminal and sys.stdout.isatty()
            results = stack.enter_context(
                Results(inputs, runs.seeds_honoured, job.asked.as_json, job.asked.out, held, bool(job.simulated))
            )
            display = stack.enter_context(choose_display(inputs, quiet=job.asked.as_json and not on_terminal))

            offline: list[OfflineTaken] = []

            def on_event(event: Event) -> None:
                display.feed(event)
                if isinstance(event, OfflineTaken):
                    offline.append(event)

            async def once(number: int, values: Mapping[str, Any], listen: OnEvent | None = None) -> RunResult:
                def heard(event: Event) -> None:
                    on_event(event)
                    if listen is not None:
                        listen(event)

                return await runs.run(values, seed=job.asked.seed, on_event=heard, number=number)

            async def one(number: int, values: Mapping[str, Any]) -> RunResult:
                table = None if job.plan is None else job.plan.by_difficulty
                try:
                    if table is None:
                        return await once(number, values)
                    return await run_by_difficulty(table, values, partial(once, number))
                except UsageError as error:
                    return refused(error.problems[0], job.asked.seed, number)

            at_once = 1 if runs.one_by_one else job.asked.concurrency
            async with aclosing(in_flight(job.inputs, one, at_once, ordered=False)) as ended:
                async for result in ended:
                    results.add(result)
                    display.result(result, _label(job.inputs[result.input]))
            stack.close()
            offline_lines(offline)
            if runs.journal is not None and runs.journal.problem is not None:
                complain(
                    "E0517", f"{runs.journal.problem.message}: it ends before this run did", runs.journal.problem.hint
                )
            wall_s = time.monotonic() - start
            passed_s = loop.time() - begun_s if job.simulated else None
            summary(results.in_order(), runs.seeds_honoured, wall_s, passed_s)
    return exit_code(results.in_order())


def _warn(program: CompiledProgram) -> None:
    """The program's warnings, on standard error."""
    if program.warnings:
        from ttsc.grammar.render import render_all

        click.echo(render_all(program.warnings, color=sys.stderr.isatty()).rstrip("\n"), err=True)


def _writable(path: Path | None, option: str) -> None:
    """Refuse a file that can't be written before an engine is asked for anything."""
    if path is not None and not path.absolute().parent.is_dir():
        raise click.UsageError(f"{option} {path}: there is no folder '{path.absolute().parent}'")


def _label(values: Mapping[str, Any]) -> str:
    """What an input is called in a line about it: its first text, else all of it."""
    text = next((value for value in values.values() if isinstance(value, str)), str(dict(values)))
    line = " ".join(text.split())
    return line if len(line) <= _LABEL_CHARACTERS else line[: _LABEL_CHARACTERS - 1] + "…"


def _stop_on_sigterm() -> None:
    """Let SIGTERM cancel the run as Ctrl-C does, so that nothing is left decoding on an engine that others use."""
    task = asyncio.current_task()
    if task is not None:
        with contextlib.suppress(NotImplementedError, RuntimeError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
