"""`ttsc build`: a program as a file that runs without ttsc."""

from __future__ import annotations

from pathlib import Path

import click

from ttsc.cli.options import (
    as_level,
    disable_option,
    enable_option,
    level_option,
    program_option,
    settings_option,
    task_option,
    task_path,
)


@click.command(short_help="Write a program as a standalone Python file.")
@click.argument("file", metavar="FILE")
@click.option(
    "--target",
    type=click.Choice(["sglang"]),
    default="sglang",
    show_default=True,
    help="What the file asks for answers.",
)
@click.option("-o", "--out", metavar="OUT.py", help="Where to write it (default: standard output).")
@program_option
@task_option
@settings_option(
    "Compile this value of a parameter in; the file has no such parameter then. May be given several times."
)
@level_option
@disable_option
@enable_option
@click.option("--budget", metavar="LIMITS", help='In place of the program\'s own, as in "tokens<=20k, latency<=30s".')
@click.option("--evaluation", is_flag=True, help="Allow oracles: parameters and externs that know the answer.")
def build(
    file: str,
    target: str,
    out: str | None,
    program: str | None,
    task: str | None,
    settings: tuple[str, ...],
    level: int,
    disabled: tuple[str, ...],
    enabled: tuple[str, ...],
    budget: str | None,
    evaluation: bool,
) -> None:
    """Write a program of FILE (or std:NAME) as one Python file.

    It runs without ttsc, against any SGLang server, and gives the same value as `ttsc run` under the same seed. It
    needs the packages httpx, jinja2, tokenizers, and regex or pydantic where the program uses patterns or records.

    \b
      ttsc build programs/self_consistency.tts -o vote.py
      python vote.py --url http://127.0.0.1:30000 --set question="How much is 17 + 25?"
    """
    from ttsc.errors import Problem, UsageError

    text = _text(file, program, task, settings, level, disabled, enabled, budget, evaluation)
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        Path(out).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            Problem("E0510", f"--out: can't write '{out}': {error.strerror}", "name another file")
        ) from None


def _text(
    file: str,
    program: str | None,
    task: str | None,
    settings: tuple[str, ...],
    level: int,
    disabled: tuple[str, ...],
    enabled: tuple[str, ...],
    budget: str | None,
    evaluation: bool,
) -> str:
    from dataclasses import replace

    from ttsc.api import compile as compile_program
    from ttsc.budgets import budget_for, read_budget, refuse_priced
    from ttsc.cli.run_inputs import settings_given
    from ttsc.library import PREFIX
    from ttsc.standalone.file import standalone

    path = file if file.startswith(PREFIX) else Path(file)
    compiled = compile_program(path, program, as_level(level), disabled=disabled, enabled=enabled, task=task_path(task))
    compiled.check_evaluation(evaluation)
    if settings:
        compiled = compiled.specialize(settings_given(compiled.parameters, settings))
    limits = budget_for(compiled.ir.budget, None if budget is None else read_budget(budget))
    refuse_priced(limits, "a file of `ttsc build` has no cost model")
    plan = replace(compiled.plan, program=replace(compiled.ir, budget=limits))
    return standalone(plan, file if task is None else f"{file} with the task {task}", compiled.source_hash)
