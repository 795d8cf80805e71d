"""`ttsc plan`: the setting to run a program with, for a goal and a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ttsc.cli.options import (
    as_level,
    disable_option,
    enable_option,
    externs_option,
    level_option,
    settings_option,
    task_option,
    task_path,
    with_options,
)

if TYPE_CHECKING:
    from ttsc.compiler.cost.workload import Workload
    from ttsc.planning.planner import Asked, Planned
    from ttsc.program import CompiledProgram


@dataclass(frozen=True)
class Line:
    """The command line of `ttsc plan`, by the names of its options below."""

    file: str
    programs: tuple[str, ...]
    task: str | None
    objective: str
    budget: str | None
    at_least: float | None
    settings: tuple[str, ...]
    inputs_file: str | None
    workloads: tuple[str, ...]
    hardware: tuple[str, ...]
    models: tuple[str, ...]
    profiles: tuple[str, ...]
    by_difficulty: bool
    wrong_costs: float
    observations: Path | None
    context: float | None
    lengths: tuple[float, float] | None
    samples: int
    search_requests: int
    seed: int
    externs_file: Path | None
    level: int
    disabled: tuple[str, ...]
    enabled: tuple[str, ...]
    plot: Path | None
    out: Path | None


_with_options = with_options(
    click.argument("file", metavar="FILE"),
    click.option(
        "-p",
        "--program",
        "programs",
        multiple=True,
        metavar="PROGRAM",
        help="Which program of the file; several to choose among them.",
    ),
    task_option,
    click.option(
        "--objective",
        type=click.Choice(("accuracy", "latency", "cost")),
        default="accuracy",
        show_default=True,
        help="What is to be best. latency and cost: for the accuracy of --at-least.",
    ),
    click.option("--budget", metavar="CLAUSES", help='What an input may take on average: "tokens<=4k, latency<=30s".'),
    click.option(
        "--at-least",
        type=click.FloatRange(0, 1),
        metavar="ACCURACY",
        help="The accuracy to reach.  [default: with latency and cost that of the program's defaults]",
    ),
    settings_option("A parameter that is not to be chosen. May be given several times."),
    click.option("--inputs", "inputs_file", metavar="FILE.jsonl", help="Inputs to simulate.  [default: made-up ones]"),
    click.option(
        "--workload",
        "workloads",
        multiple=True,
        metavar="[MODEL=]FILE.toml",
        help="What models say (docs/workloads.md); one for each of several models.  [default: a built-in one]",
    ),
    click.option(
        "--hardware", multiple=True, metavar="[ROLE=]NAME", help="h100, 4xh100, … or a file.  [default: h100]"
    ),
    click.option(
        "--model",
        "models",
        multiple=True,
        metavar="[ROLE=]NAME[,NAME…]",
        help="Models; several to choose among them.  [default: what the program names, else Qwen3-8B]",
    ),
    click.option(
        "--profile",
        "profiles",
        multiple=True,
        metavar="[ROLE=]FILE.toml",
        help="An engine as `ttsc engine profile` measured it, in place of --hardware.",
    ),
    click.option(
        "--by-difficulty", is_flag=True, help="Also a table: few samples first, then what their agreement asks."
    ),
    click.option(
        "--wrong-costs",
        type=click.FloatRange(0),
        default=1.0,
        show_default=True,
        metavar="COST",
        help="For the advice on resampling: what a wrong answer costs, if a right one is worth 1.",
    ),
    click.option(
        "--observations",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE.jsonl",
        help="For the advice on retrieval: accuracies by documents, shots and rounds (docs/planning.md).",
    ),
    click.option(
        "--context",
        type=click.FloatRange(0, min_open=True),
        metavar="TOKENS",
        help="With --observations: the longest context.",
    ),
    click.option(
        "--lengths",
        type=(float, float),
        metavar="DOCUMENT SHOT",
        help="With --context: tokens of a document and of a shot.",
    ),
    click.option("--samples", type=click.IntRange(4), default=64, show_default=True, help="Inputs to simulate."),
    click.option(
        "--search-requests",
        type=click.IntRange(1),
        default=30_000,
        show_default=True,
        help="How many requests a search may simulate, for programs without closed forms.",
    ),
    click.option("--seed", type=int, default=0, show_default=True, help="Every simulated draw derives from it."),
    externs_option("Functions to call.  [default: stand-ins that answer as the workload says]"),
    level_option,
    disable_option,
    enable_option,
    click.option(
        "--plot",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE.svg",
        help="Draw the frontier: .svg, .png or .pdf.",
    ),
    click.option(
        "-o",
        "--out",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="plan.json",
        help="Write the plan, for `ttsc run plan.json`.",
    ),
)


@click.command(short_help="Choose a program's parameters for a goal and a budget.")
@_with_options
def plan(**given: Any) -> None:
    """Choose the tunable parameters of a program of FILE (or std:NAME), its models, and among several programs, so that
    the objective is best within the budget.

    Nothing is asked of an engine. What models say is the workload's, what it takes the machine's.

    \b
      ttsc plan programs/self_consistency.tts --budget "tokens<=1k" --workload w.toml -o plan.json
      ttsc plan programs/best_of_n.tts --objective latency --at-least 0.8 --plot frontier.svg
      ttsc run plan.json --set question="How much is 17 + 25?"
    """
    from ttsc.cli.search_progress import SearchProgress
    from ttsc.planning.advice import advice
    from ttsc.planning.planner import planned
    from ttsc.planning.show import text_of

    line = Line(**given)
    _check(line)
    progress = SearchProgress()
    asked = _asked(line, progress.report)
    retrieval = _retrieval(line)
    try:
        found = planned(asked)
    finally:
        progress.done()
    said = [*advice(found.best.variant, _samples(found), line.wrong_costs), *retrieval]
    if line.plot is not None:
        from ttsc.planning.plot import plot

        plot(found, line.plot)
    if line.out is not None:
        from ttsc.planning.making import plan_of
        from ttsc.planning.plan_file import write_plan

        write_plan(plan_of(found, line.out, said), line.out)
    click.echo(text_of(found, said), nl=False)


def _check(line: Line) -> None:
    for option, path in (("-o", line.out), ("--plot", line.plot)):
        if path is not None and not path.absolute().parent.is_dir():
            raise click.UsageError(f"{option} {path}: there is no folder '{path.absolute().parent}'")
    if line.plot is not None:
        from ttsc.planning.plot import check_plot

        check_plot(line.plot)
    if line.out is not None and line.out.suffix != ".json":
        raise click.UsageError(f"-o {line.out}: a plan's file ends in .json, so that `ttsc run` knows it")
    if (line.context is not None or line.lengths is not None) and line.observations is None:
        raise click.UsageError("--context and --lengths go with --observations")
    if (line.context is None) != (line.lengths is None):
        raise click.UsageError("--context and --lengths go together")


def _asked(line: Line, report: Callable[[float], None]) -> Asked:
    from ttsc.budgets import read_budget
    from ttsc.cli.run_inputs import settings_given
    from ttsc.estimates.role_machines import by_role
    from ttsc.externs import load_externs
    from ttsc.inputs import read_file
    from ttsc.planning.planner import Asked

    programs = _programs(line)
    profiles = {role: Path(name) for role, name in by_role(line.profiles).items()}
    files = {model: Path(name) for model, name in by_role(line.workloads).items()}
    rows = [] if line.inputs_file is None else [row for _, row in read_file(Path(line.inputs_file))]
    return Asked(
        programs=programs,
        goal=line.objective,  # type: ignore[arg-type]  # one of click's choices
        limits=read_budget(line.budget) if line.budget is not None else programs[0].ir.budget,
        accuracy=line.at_least,
        settings=settings_given(programs[0].parameters, line.settings),
        inputs=rows,
        hardware=by_role(line.hardware),
        models={role: _names(name) for role, name in by_role(line.models).items()},
        profiles=profiles,
        workloads=_workloads(files),
        workload_files=files,
        samples=line.samples,
        seed=line.seed,
        externs=load_externs(line.externs_file) if line.externs_file is not None else (),
        by_difficulty=line.by_difficulty,
        requests=line.search_requests,
        report=report,
    )


def _programs(line: Line) -> list[CompiledProgram]:
    from ttsc.api import compile as compile_program
    from ttsc.library import PREFIX

    path = line.file if line.file.startswith(PREFIX) else Path(line.file)
    passes = {"disabled": line.disabled, "enabled": line.enabled}
    names: tuple[str | None, ...] = line.programs or (None,)
    return [compile_program(path, name, as_level(line.level), task=task_path(line.task), **passes) for name in names]


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _workloads(files: Mapping[str, Path]) -> dict[str, Workload]:
    from ttsc.simulation import workload_of

    found = {model: workload_of(path) for model, path in files.items()}
    return found or {"": workload_of(None)}


def _samples(found: Planned) -> int | None:
    """Candidates of the chosen setting's pool."""
    from ttsc.planning.evaluators import pattern_of

    pattern = pattern_of(found.best.variant.program)
    if pattern is None:
        return None
    value = {**found.asked.settings, **found.best.setting}.get(pattern.pool.count.parameter, pattern.pool.count.value)
    return value if isinstance(value, int) else None


def _retrieval(line: Line) -> list[str]:
    if line.observations is None:
        return []
    from ttsc.planning.advice import retrieval_advice

    document, shot = line.lengths or (0.0, 0.0)
    return retrieval_advice(line.observations, line.context, {"document": document, "shot": shot})
