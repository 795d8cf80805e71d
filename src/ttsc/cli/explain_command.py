"""`ttsc explain`: what a program costs before it runs, and with `--analyze` beside what it really took."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ttsc.cli.engine_options import ENGINE_HELP, engines_given, models_given
from ttsc.cli.options import (
    as_level,
    disable_option,
    enable_option,
    externs_option,
    input_option,
    level_option,
    program_option,
    settings_option,
    task_option,
    task_path,
    tokenizer_option,
    with_options,
)

if TYPE_CHECKING:
    from ttsc.explaining.document import Explanation
    from ttsc.explaining.request import Request


@dataclass(frozen=True)
class Asked:
    """The command line of `ttsc explain`, by the names of its options below."""

    file: str
    program: str | None
    task: str | None
    settings: tuple[str, ...]
    input_json: str | None
    inputs_file: str | None
    hardware: tuple[str, ...]
    models: tuple[str, ...]
    profiles: tuple[str, ...]
    workload: Path | None
    samples: int | None
    concurrency: int
    replicas: int
    seed: int
    externs_file: Path | None
    stores: tuple[str, ...]
    level: int
    disabled: tuple[str, ...]
    enabled: tuple[str, ...]
    savings: bool
    analyze: bool
    engines: tuple[str, ...]
    tokenizer_path: str | None
    form: str
    out: Path | None


_with_options = with_options(
    click.argument("file", metavar="FILE"),
    program_option,
    task_option,
    settings_option("A parameter. May be given several times."),
    input_option,
    click.option("--inputs", "inputs_file", metavar="FILE.jsonl", help="Many inputs, one JSON object per line."),
    click.option(
        "--hardware",
        multiple=True,
        metavar="[ROLE=]NAME",
        help="h100, 4xh100, cpu, … or a .toml file (docs/cost-model.md).  [default: h100]",
    ),
    click.option(
        "--model",
        "models",
        multiple=True,
        metavar="[ROLE=]NAME",
        help="A model's name or its folder.  [default: what the program names, else Qwen3-8B]",
    ),
    click.option(
        "--profile",
        "profiles",
        multiple=True,
        metavar="[ROLE=]FILE.toml",
        help="An engine as `ttsc engine profile` measured it, in place of --hardware.",
    ),
    click.option(
        "--workload",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE.toml",
        help="What models say (docs/workloads.md).  [default: a built-in one]",
    ),
    click.option(
        "--samples",
        type=click.IntRange(1),
        metavar="N",
        help="Inputs to simulate.  [default: 64, fewer if they ask a lot]",
    ),
    click.option(
        "--concurrency", type=click.IntRange(1), default=1, show_default=True, help="Inputs in flight at once."
    ),
    click.option("--replicas", type=click.IntRange(1), default=1, show_default=True, help="Engines behind a router."),
    click.option("--seed", type=int, default=0, show_default=True, help="Every simulated draw derives from it."),
    externs_option("Functions to call.  [default: stand-ins that answer as the workload says]"),
    click.option("--store", "stores", multiple=True, metavar="NAME=FILE.jsonl", help="What a store holds."),
    level_option,
    disable_option,
    enable_option,
    click.option("--savings/--no-savings", default=True, help="Whether to say what each pass saves (simulates more)."),
    click.option("--analyze", is_flag=True, help="Run it, too, and put what it took beside the estimate."),
    click.option("--engine", "engines", multiple=True, metavar="URL", help=f"With --analyze: {ENGINE_HELP}"),
    tokenizer_option,
    click.option("--format", "form", type=click.Choice(("text", "json", "html")), default="text", show_default=True),
    click.option(
        "-o",
        "--out",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Write to this file.  [default: standard output]",
    ),
)


@click.command(short_help="Say what a program will cost, without an engine.")
@_with_options
def explain(**given: Any) -> None:
    """Explain what FILE (or std:NAME) will ask of engines and what that takes: requests, tokens, memory access,
    compute, seconds, the critical path, what binds, and the worst case.

    Nothing is asked of an engine: the plan runs on a simulated one. With --analyze it runs on a real one, too.

    \b
      ttsc explain programs/self_consistency.tts --set n=32 --hardware h200 --model Qwen3-32B
      ttsc explain programs/best_of_n.tts --workload workload.toml --format html -o page.html
    """
    from ttsc.explaining.document import json_of
    from ttsc.explaining.request import explained
    from ttsc.explaining.text import text_of

    asked = Asked(**given)
    _check(asked)
    explanation = explained(_request(asked))
    match asked.form:
        case "json":
            text = json_of(explanation)
        case "html":
            text = _page(explanation)
        case _:
            text = text_of(explanation)
    _write(text, asked.out)


def _check(asked: Asked) -> None:
    if asked.input_json is not None and asked.inputs_file is not None:
        raise click.UsageError("--input and --inputs can't go together")
    if (asked.engines or asked.tokenizer_path) and not asked.analyze:
        raise click.UsageError("--engine goes with --analyze: without it nothing runs")
    if asked.out is not None and not asked.out.absolute().parent.is_dir():
        raise click.UsageError(f"-o {asked.out}: there is no folder '{asked.out.absolute().parent}'")


def _request(asked: Asked) -> Request:
    from ttsc.api import compile as compile_program
    from ttsc.cli.run_inputs import inputs_given, settings_given, specialized, stores_given
    from ttsc.estimates.role_machines import by_role
    from ttsc.explaining.request import Request
    from ttsc.externs import load_externs
    from ttsc.library import PREFIX

    path = asked.file if asked.file.startswith(PREFIX) else Path(asked.file)
    passes = {"disabled": asked.disabled, "enabled": asked.enabled}
    program = compile_program(path, asked.program, as_level(asked.level), task=task_path(asked.task), **passes)
    settings: Mapping[str, Any] = settings_given(program.parameters, asked.settings)
    values: list[dict[str, Any]] = []
    if asked.inputs_file is not None:
        values = inputs_given(program, asked.settings, None, asked.inputs_file)
        program = specialized(program, asked.settings, values)
    elif asked.input_json is not None:
        from ttsc.inputs import parse_object

        settings = {**settings, **parse_object(asked.input_json, "--input")}
    return Request(
        program=program,
        settings=settings,
        inputs=values,
        hardware=by_role(asked.hardware),
        models=by_role(asked.models),
        profiles={role: Path(name) for role, name in by_role(asked.profiles).items()},
        workload=asked.workload,
        samples=asked.samples,
        concurrency=asked.concurrency,
        replicas=asked.replicas,
        seed=asked.seed,
        externs=load_externs(asked.externs_file) if asked.externs_file is not None else [],
        stores=stores_given(asked.stores),
        savings=asked.savings,
        analyze=asked.analyze,
        engine=engines_given(
            asked.engines, asked.tokenizer_path, program.models, models_given(program.models, asked.models)
        ),
    )


def _page(explanation: Explanation) -> str:
    from ttsc.explaining.page import html_of

    return html_of(explanation)


def _write(text: str, out: Path | None) -> None:
    from ttsc.errors import Problem, UsageError

    if out is None:
        sys.stdout.write(text)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        problem = Problem("E0510", f"'{out}' can't be written: {error.strerror}", "name another file with -o")
        raise UsageError(problem) from None
