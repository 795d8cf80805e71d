"""`ttsc run`: answers."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ttsc.cli.engine_options import engines_given, models_given
from ttsc.cli.exit_codes import TERMINATED, say
from ttsc.cli.options import as_level, disable_option, level_option, program_option

if TYPE_CHECKING:
    from ttsc.api import CompiledProgram
    from ttsc.compiler.ir.nodes import Limit
    from ttsc.engines import Engines
    from ttsc.runs import Runs
    from ttsc.runtime.events import Event, RunResult
    from ttsc.stores import Store

_LABEL_CHARACTERS = 60
_PROBLEMS_SHOWN = 10


@dataclass(frozen=True)
class Job:
    """Everything that `ttsc run` was asked for, checked."""

    program: CompiledProgram
    inputs: list[dict[str, Any]]
    engine: Engines
    models: dict[str, str]
    externs: list[Any]
    stores: dict[str, Store]
    budget: tuple[Limit, ...] | None
    artifacts: Path | None
    refresh_offline: bool
    evaluation: bool
    seed: int
    concurrency: int
    as_json: bool
    out: Path | None
    trace: Path | None


@click.command(short_help="Run a program and print its answer.")
@click.argument("file", metavar="FILE")
@program_option
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter. May be given several times.")
@click.option("--input", "input_json", metavar="JSON", help='One input, as in \'{"question": "…"}\'.')
@click.option(
    "--inputs", "inputs_file", metavar="FILE.jsonl", help="Many inputs, one JSON object per line; - is stdin."
)
@click.option(
    "--engine", "engines", multiple=True, metavar="URL", help="A running SGLang; ROLE=URL for one model role."
)
@click.option("--tokenizer", "tokenizer_path", type=click.Path(exists=True, file_okay=False), metavar="FOLDER",
              help="The model's tokenizer, where --engine names a model that isn't on this machine.")  # fmt: skip
@click.option("--model", "models", multiple=True, metavar="[ROLE=]NAME", help="The model of every role, or of one.")
@click.option("--externs", "externs_file", type=click.Path(path_type=Path), metavar="FILE.py",
              help="Run this Python file and take the functions it marks with @ttsc.extern.")  # fmt: skip
@click.option("--store", "stores", multiple=True, metavar="NAME=FILE.jsonl",
              help="Where a store of the program is kept. May be given several times.")  # fmt: skip
@click.option("--budget", metavar="CLAUSES", help='"tokens<=20k, latency<=30s, calls<=100", in place of its own.')
@click.option("--artifacts", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
              help="Where offline values are kept.  [default: the user's data folder]")  # fmt: skip
@click.option("--refresh-offline", is_flag=True, help="Compute offline values again.")
@click.option("--evaluation", is_flag=True, help="Let the program's oracles know the answers.")
@click.option("--seed", type=int, default=0, show_default=True, help="Every candidate's seed derives from it.")
@level_option
@disable_option
@click.option("--concurrency", type=click.IntRange(1), default=16, show_default=True, help="Inputs in flight at once.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per input on standard output.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write the same objects to this file as results come.")  # fmt: skip
@click.option("--trace", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write every request with its parent, timing, tokens and end, as JSON lines.")  # fmt: skip
def run(
    file: str,
    program: str | None,
    settings: tuple[str, ...],
    input_json: str | None,
    inputs_file: str | None,
    engines: tuple[str, ...],
    tokenizer_path: str | None,
    models: tuple[str, ...],
    externs_file: Path | None,
    stores: tuple[str, ...],
    budget: str | None,
    artifacts: Path | None,
    refresh_offline: bool,
    evaluation: bool,
    seed: int,
    level: int,
    disabled: tuple[str, ...],
    concurrency: int,
    as_json: bool,
    out: Path | None,
    trace: Path | None,
) -> int:
    """Run a program of FILE (or std:NAME) and print its answer.

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
    from ttsc.stores import BoundStores

    if input_json is not None and inputs_file is not None:
        raise click.UsageError("--input and --inputs can't go together")
    path = file if file.startswith(PREFIX) else Path(file)  # never the text of a program
    compiled = compile_program(path, program, as_level(level), disabled=disabled)
    _warn(compiled)
    externs = load_externs(externs_file) if externs_file is not None else []
    bind_externs(compiled.ir.externs, externs)
    compiled.check_evaluation(evaluation)
    limits = read_budget(budget) if budget is not None else None
    budget_for(compiled.ir.budget, limits)
    kept = _stores(stores)
    BoundStores(compiled.ir, kept).read()
    job = Job(
        program=compiled,
        inputs=_inputs(compiled, settings, input_json, inputs_file),
        engine=engines_given(engines, tokenizer_path),
        models=models_given(compiled.models, models),
        externs=externs,
        stores=kept,
        budget=limits,
        artifacts=artifacts,
        refresh_offline=refresh_offline,
        evaluation=evaluation,
        seed=seed,
        concurrency=concurrency,
        as_json=as_json,
        out=out,
        trace=trace,
    )
    _writable(out, "--out")
    _writable(trace, "--trace")
    try:
        return asyncio.run(_run(job))
    except asyncio.CancelledError:
        say("terminated")
        return TERMINATED


async def _run(job: Job) -> int:
    """Run every input; the exit code. Ctrl-C and SIGTERM cancel it, which aborts on the engine what is decoding."""
    from ttsc.batches import in_flight
    from ttsc.cli.live import choose_display
    from ttsc.cli.output import Results, engine_lines, exit_code, offline_lines, summary
    from ttsc.cli.progress import EngineProgress
    from ttsc.errors import UsageError
    from ttsc.runs import refused
    from ttsc.runtime.events import OfflineTaken

    _stop_on_sigterm()
    start = time.monotonic()
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
            artifacts=job.artifacts,
            refresh_offline=job.refresh_offline,
            evaluation=job.evaluation,
            on_progress=progress.update,
        )
        async with opened as runs:
            progress.done()
            for name in runs.empty_stores:
                lost = ", and what is added to it is lost at the end" if name in runs.lost_stores else ""
                say(f"store     {name} is empty{lost}; --store {name}=FILE.jsonl says where it is kept")
            for line in engine_lines(runs.engines):
                say(line)
            held = on_terminal and sys.stdout.isatty()
            results = stack.enter_context(Results(inputs, runs.seeds_honoured, job.as_json, job.out, held))
            traced = stack.enter_context(_trace(job, runs))
            display = stack.enter_context(choose_display(inputs, quiet=job.as_json and not on_terminal))

            offline: list[OfflineTaken] = []

            def on_event(event: Event) -> None:
                display.feed(event)
                traced(event)
                if isinstance(event, OfflineTaken):
                    offline.append(event)

            async def one(number: int, values: Mapping[str, Any]) -> RunResult:
                try:
                    return await runs.run(values, seed=job.seed, on_event=on_event, number=number)
                except UsageError as error:
                    return refused(error.problems[0], job.seed, number)

            at_once = 1 if runs.one_by_one else job.concurrency
            async for result in in_flight(job.inputs, one, at_once, ordered=False):
                results.add(result)
                display.result(result, _label(job.inputs[result.input]))
            stack.close()
            offline_lines(offline)
            summary(results.in_order(), runs.seeds_honoured, time.monotonic() - start)
    return exit_code(results.in_order())


def _inputs(
    program: CompiledProgram, settings: tuple[str, ...], input_json: str | None, inputs_file: str | None
) -> list[dict[str, Any]]:
    """The checked inputs of the command line. Raises `InputError` with everything that is wrong with any of them."""
    from ttsc.errors import InputError, Problem
    from ttsc.inputs import from_text, parse_object, read_file, read_lines

    base: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise click.UsageError(f"--set {setting}: write it as NAME=VALUE")
        base[name.strip()] = from_text(program.parameters, name.strip(), text)
    if inputs_file is None:
        given = parse_object(input_json, "--input") if input_json is not None else {}
        return [program.check_input({**base, **given})]
    rows = list(read_lines(sys.stdin, "stdin")) if inputs_file == "-" else read_file(Path(inputs_file))
    if not rows:
        raise InputError(Problem("E0505", f"'{inputs_file}' holds no input", "write one JSON object per line"))
    checked: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for place, row in rows:
        try:
            checked.append(program.check_input({**base, **row}))
        except InputError as error:
            problems += [Problem(item.code, f"{place}: {item.message}", item.hint) for item in error.problems]
    if problems:
        more = len(problems) - _PROBLEMS_SHOWN
        rest = [Problem("E0505", f"and {more} more of the kind in '{inputs_file}'")] if more > 0 else []
        raise InputError(*problems[:_PROBLEMS_SHOWN], *rest)
    return checked


def _stores(given: tuple[str, ...]) -> dict[str, Store]:
    """`--store NAME=FILE`, for each."""
    from ttsc.stores import Store

    found: dict[str, Store] = {}
    for item in given:
        name, equals, path = item.partition("=")
        if not equals or not path:
            raise click.UsageError(f"--store {item}: write it as NAME=FILE.jsonl")
        if name in found:
            raise click.UsageError(f"--store {name} is given twice")
        found[name] = Store.open(path)
    return found


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


@contextmanager
def _trace(job: Job, runs: Runs) -> Iterator[Callable[[Event], None]]:
    """Takes events and writes them to the file of `--trace`, if there is one."""
    if job.trace is None:
        yield lambda _event: None
        return
    from ttsc.runtime.trace import TraceHeader, TraceWriter, engine_facts

    plan = job.program.plan
    header = TraceHeader(
        program=job.program.name,
        program_hash=job.program.source_hash,
        level=plan.level,
        passes=plan.passes,
        seed=job.seed,
        engines=engine_facts({role: engine.info for role, engine in runs.engines.items()}),
    )
    with TraceWriter(job.trace, header) as writer:
        yield writer.write
