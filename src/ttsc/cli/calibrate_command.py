"""`ttsc calibrate`: a workload, measured."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ttsc.cli.engine_options import ENGINE_HELP, engines_given, models_given
from ttsc.cli.exit_codes import say
from ttsc.cli.options import externs_option, program_option, settings_option, task_option, task_path, tokenizer_option

if TYPE_CHECKING:
    from ttsc.runtime.events import RunResult


@click.command(short_help="Measure what models do on your inputs.")
@click.argument("file", metavar="FILE")
@program_option
@task_option
@click.option(
    "--inputs",
    "inputs_file",
    required=True,
    metavar="FILE.jsonl",
    help="Inputs to measure on, one JSON object per line; - is stdin.",
)
@click.option(
    "--gold", metavar="FIELD", help="The field with an input's right answer.  [default: gold, answer, expected]"
)
@click.option(
    "--samples", type=click.IntRange(2), default=32, show_default=True, help="Candidates of each pool, for each input."
)
@click.option("--temperatures", metavar="T,T,…", help="Measure at these temperatures.  [default: the program's own]")
@click.option(
    "--precision",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="How narrow an interval is wanted: plus and minus so much.",
)
@settings_option("A parameter, for all inputs. May be given several times.")
@click.option("--engine", "engines", multiple=True, metavar="URL", help=ENGINE_HELP)
@tokenizer_option
@click.option("--model", "models", multiple=True, metavar="[ROLE=]NAME", help="The model of every role, or of one.")
@externs_option("Run this Python file and take the functions it marks with @ttsc.extern.")
@click.option(
    "--store",
    "stores",
    multiple=True,
    metavar="NAME=FILE.jsonl",
    help="Where a store of the program is kept; nothing is added to it.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Every candidate's seed derives from it.")
@click.option("--concurrency", type=click.IntRange(1), default=16, show_default=True, help="Inputs in flight at once.")
@click.option(
    "--journal",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Keep samples in this file; what is in it is not asked again.",
)
@click.option("--json", "as_data", is_flag=True, help="The figures as JSON on standard output.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.toml",
    help="Write the workload to this file.",
)
def calibrate(
    file: str,
    program: str | None,
    task: str | None,
    inputs_file: str,
    gold: str | None,
    samples: int,
    temperatures: str | None,
    precision: float,
    settings: tuple[str, ...],
    engines: tuple[str, ...],
    tokenizer_path: str | None,
    models: tuple[str, ...],
    externs_file: Path | None,
    stores: tuple[str, ...],
    seed: int,
    concurrency: int,
    journal: Path | None,
    as_data: bool,
    out: Path | None,
) -> int:
    """Measure what models do on your inputs, by running a program of FILE (or std:NAME) on them.

    Pools are as large as --samples says, and nothing is decided early. It learns how long texts are, how accurate
    samples are on each input, which answers they give, and how verifiers, reward models and revisions err; and says how
    sure that is. The workload it writes is what `ttsc explain`, `ttsc plan` and the simulator take as --workload.

    \b
      ttsc calibrate program.tts --inputs dev.jsonl --gold answer --journal samples.jsonl -o workload.toml

    Exit codes: 0 done, 1 run failed, 2 usage, 3 program has errors, 5 engine unavailable.
    """
    from ttsc.api import compile as compile_program
    from ttsc.calibration.calibrate import Asked
    from ttsc.calibration.calibrate import calibrate as measure
    from ttsc.calibration.report import as_json, as_text
    from ttsc.cli.progress import EngineProgress
    from ttsc.cli.run_inputs import settings_given, stores_given
    from ttsc.externs import load_externs
    from ttsc.library import PREFIX

    compiled = compile_program(file if file.startswith(PREFIX) else Path(file), program, task=task_path(task))
    base = settings_given(compiled.parameters, settings)
    rows = [{**base, **row} for row in _rows(inputs_file)]
    for path, option in ((out, "--out"), (journal, "--journal")):
        if path is not None and not path.absolute().parent.is_dir():
            raise click.UsageError(f"{option} {path}: there is no folder '{path.absolute().parent}'")
    if any(each.rpartition("=")[2] == "simulator" for each in engines):
        hint = "it says what a workload says already; to try that out, `program.calibrate` takes `ttsc.simulate(…)`"
        raise click.UsageError(f"--engine simulator: a simulated engine can't be measured: {hint}")
    chosen = models_given(compiled.models, models)
    warmths = _numbers(temperatures)
    count = len(rows) * max(1, len(warmths))
    with EngineProgress() as progress:
        ended = 0

        def on_result(result: RunResult) -> None:
            nonlocal ended
            ended += 1
            progress.done()
            if sys.stderr.isatty():
                click.echo(f"\r\x1b[2K{ended} of {count} runs have ended", nl=ended == count, err=True)

        found = asyncio.run(
            measure(
                compiled.compiled,
                Asked(
                    inputs=rows,
                    gold=gold,
                    samples=samples,
                    temperatures=warmths,
                    precision=precision,
                    engine=engines_given(engines, tokenizer_path, compiled.models, chosen),
                    models=chosen,
                    externs=load_externs(externs_file) if externs_file is not None else None,
                    stores=stores_given(stores),
                    journal=journal,
                    seed=seed,
                    concurrency=concurrency,
                    on_progress=progress.update,
                    on_result=on_result,
                ),
            )
        )
    click.echo(json.dumps(as_json(found), ensure_ascii=False, indent=2) if as_data else as_text(found))
    say(f"{found.asked:,} answers were asked for, {found.taken:,} were known already")
    if out is not None:
        found.write(out)
        say(f"workload  {out}")
    return 0


def _rows(inputs_file: str) -> list[dict[str, Any]]:
    from ttsc.errors import InputError, Problem
    from ttsc.inputs import read_file, read_lines

    rows = [row for _, row in (read_lines(sys.stdin, "stdin") if inputs_file == "-" else read_file(Path(inputs_file)))]
    if not rows:
        raise InputError(Problem("E0505", f"'{inputs_file}' holds no input", "write one JSON object per line"))
    return rows


def _numbers(given: str | None) -> tuple[float, ...]:
    """`--temperatures 0.5,0.8`"""
    try:
        return tuple(float(each) for each in given.split(",")) if given else ()
    except ValueError:
        raise click.UsageError(f"--temperatures {given}: write numbers, as in 0.5,0.8,1.0") from None
