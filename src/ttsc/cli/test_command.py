"""`ttsc test`: the test blocks of some files."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ttsc.cli.engine_options import ENGINE_HELP, engines_given, models_given
from ttsc.cli.exit_codes import DONE, FAILED, PROGRAM_HAS_ERRORS, USAGE, report, say
from ttsc.cli.options import as_level, level_option, task_option, task_path

if TYPE_CHECKING:
    from ttsc.backends.protocol import Engine
    from ttsc.compiler.plan.nodes import Level
    from ttsc.compiler.semantics import typed
    from ttsc.grammar.diagnostics import CompileError
    from ttsc.testing.running import Outcome


@click.command(short_help="Run the test blocks of programs.")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@task_option
@click.option("-k", "pattern", metavar="TEXT", default="", help="Only tests whose title holds TEXT.")
@click.option("--live", is_flag=True, help="On real models: scripted replies are left out, stubs of externs stay.")
@click.option("--engine", "engines", multiple=True, metavar="URL", help=f"With --live: {ENGINE_HELP}")
@click.option("--model", "models", multiple=True, metavar="[ROLE=]NAME", help="With --live: the model of the roles.")
@click.option("--seed", type=int, default=0, show_default=True, help="Every candidate's seed derives from it.")
@level_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object per test on standard output.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write JUnit XML.")
def test(
    files: tuple[str, ...],
    task: str | None,
    pattern: str,
    live: bool,
    engines: tuple[str, ...],
    models: tuple[str, ...],
    seed: int,
    level: int,
    as_json: bool,
    junit: Path | None,
) -> int:
    """Run the test blocks of FILEs (or std:NAME; `std:` is the library), on scripted models and without an engine.

    A file with errors is reported, and the tests of the others run.

    Exit codes: 0 all passed, 1 some failed, 2 usage (no such file, no tests), 3 a file has errors.
    """
    from ttsc.testing.report import as_junit, error_to_json, text, to_json

    if (engines or models) and not live:
        raise click.UsageError("--engine and --model go with --live")
    found, broken = _read(files, task, pattern)
    for file, error in broken.items():
        report(error)
        if as_json:
            click.echo(error_to_json(file, error))
    if not found and not broken:
        say(f"no tests{f' with {pattern!r} in their title' if pattern else ''} in {', '.join(files)}")
        return USAGE
    if junit is not None:
        _make(junit)
    results: list[tuple[str, Outcome]] = []

    def show(file: str, outcome: Outcome) -> None:
        results.append((file, outcome))
        click.echo(to_json(file, outcome) if as_json else text(file, outcome, color=sys.stdout.isatty()))

    if live and found:
        asyncio.run(_on_models(found, engines, models, seed, as_level(level), show))
    else:
        asyncio.run(_run_all(found, seed, as_level(level), None, show))
    if junit is not None:
        junit.write_bytes(as_junit(results, broken))
    failed = sum(not outcome.passed for _, outcome in results)
    parts = [f"{len(results) - failed} passed"] if results else []
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{len(broken)} file{'s' * (len(broken) > 1)} with errors"] if broken else []
    say(", ".join(parts))
    return PROGRAM_HAS_ERRORS if broken else FAILED if failed else DONE


def _make(file: Path) -> None:
    """Make an empty file, and its folder, so that a report that can't be written is known before anything runs."""
    from ttsc.errors import Problem, UsageError

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    except OSError as error:
        hint = "name a file in a folder that can be written to"
        raise UsageError(Problem("E0510", f"--junit {file}: {error.strerror or error}", hint)) from None


def _read(
    files: tuple[str, ...], task: str | None, pattern: str
) -> tuple[list[tuple[str, typed.Test]], dict[str, CompileError]]:
    """The tests of the files, and what is wrong with files that can't be compiled. Raises `UsageError` (E0509)."""
    from ttsc.compiler.bounds.check import check_bounds
    from ttsc.compiler.semantics.check import check
    from ttsc.grammar.diagnostics import CompileError
    from ttsc.library import every_file, open_source

    found: list[tuple[str, typed.Test]] = []
    broken: dict[str, CompileError] = {}
    for file, (source, library) in [(file, open_source(file, task_path(task))) for file in every_file(files)]:
        try:
            checked = check(source, library)
            check_bounds(checked)
        except CompileError as error:
            broken[file] = error
        else:
            found += [(file, each) for each in checked.tests if pattern in each.title]
    return found, broken


async def _run_all(
    tests: list[tuple[str, typed.Test]],
    seed: int,
    level: Level,
    engines: Mapping[str, Engine] | None,
    show: Callable[[str, Outcome], None],
) -> None:
    from ttsc.testing.running import run_test

    for file, each in tests:
        show(file, await run_test(each, level=level, seed=seed, engines=engines))


async def _on_models(
    tests: list[tuple[str, typed.Test]],
    engines: tuple[str, ...],
    models: tuple[str, ...],
    seed: int,
    level: Level,
    show: Callable[[str, Outcome], None],
) -> None:
    from ttsc.engines import engines_for

    roles = {model.name: model.default for _, each in tests for model in each.models}
    chosen = models_given(roles, models)
    async with AsyncExitStack() as stack:
        bound = await stack.enter_async_context(
            engines_for(roles, engines_given(engines, None, roles, chosen), chosen, lambda text: say(text))
        )
        await _run_all(tests, seed, level, bound, show)
