"""`ttsc test`: the test blocks of some files."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ttsc.cli.exit_codes import DONE, FAILED, USAGE, say
from ttsc.cli.options import as_level, level_option

if TYPE_CHECKING:
    from ttsc.compiler.plan.nodes import Level
    from ttsc.compiler.semantics import typed
    from ttsc.testing.running import Outcome


@click.command(short_help="Run the test blocks of programs.")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("-k", "pattern", metavar="TEXT", default="", help="Only tests whose title holds TEXT.")
@click.option("--live", is_flag=True, help="On real models: scripted replies are left out, stubs of externs stay.")
@click.option("--engine", "engines", multiple=True, metavar="URL", help="With --live: a running SGLang; ROLE=URL.")
@click.option("--model", "models", multiple=True, metavar="[ROLE=]NAME", help="With --live: the model of the roles.")
@click.option("--seed", type=int, default=0, show_default=True, help="Every candidate's seed derives from it.")
@level_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object per test on standard output.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write JUnit XML.")
def test(
    files: tuple[str, ...],
    pattern: str,
    live: bool,
    engines: tuple[str, ...],
    models: tuple[str, ...],
    seed: int,
    level: int,
    as_json: bool,
    junit: Path | None,
) -> int:
    """Run the test blocks of FILEs (or std:NAME), on scripted models and without an engine.

    Exit codes: 0 all passed, 1 some failed, 2 usage (no tests found among them), 3 a file has errors.
    """
    from ttsc.compiler.semantics.check import check
    from ttsc.library import open_source
    from ttsc.testing.report import junit as as_junit
    from ttsc.testing.report import text, to_json

    if (engines or models) and not live:
        raise click.UsageError("--engine and --model go with --live")
    found: list[tuple[str, typed.Test]] = []
    for file in files:
        checked = check(*open_source(file))
        found += [(file, each) for each in checked.tests if pattern in each.title]
    if not found:
        say(f"no tests{f' with {pattern!r} in their title' if pattern else ''} in {', '.join(files)}")
        return USAGE
    results: list[tuple[str, Outcome]] = []
    runner = _live(found, engines, models, seed, as_level(level)) if live else _scripted(found, seed, as_level(level))
    for file, outcome in runner:
        results.append((file, outcome))
        click.echo(to_json(file, outcome) if as_json else text(file, outcome, color=sys.stdout.isatty()))
    if junit is not None:
        junit.write_bytes(as_junit(results))
    failed = sum(not outcome.passed for _, outcome in results)
    say(f"{len(results) - failed} passed, {failed} failed" if failed else f"{len(results)} passed")
    return FAILED if failed else DONE


def _scripted(tests: list[tuple[str, typed.Test]], seed: int, level: Level) -> Iterable[tuple[str, Outcome]]:
    from ttsc.testing.running import run_test

    for file, each in tests:
        yield file, asyncio.run(run_test(each, level=level, seed=seed))


def _live(
    tests: list[tuple[str, typed.Test]], engines: tuple[str, ...], models: tuple[str, ...], seed: int, level: Level
) -> Iterable[tuple[str, Outcome]]:
    from ttsc.cli.engine_options import engines_given, models_given
    from ttsc.engines import engines_for
    from ttsc.testing.running import run_test

    roles = {model.name: model.default for _, each in tests for model in each.models}
    chosen = models_given(roles, models)

    async def run_all() -> list[tuple[str, Outcome]]:
        async with AsyncExitStack() as stack:
            bound = await stack.enter_async_context(
                engines_for(roles, engines_given(engines, None), chosen, lambda text: say(text))
            )
            return [(file, await run_test(each, level=level, seed=seed, engines=bound)) for file, each in tests]

    return asyncio.run(run_all())
