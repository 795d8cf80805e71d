"""`ttsc dump`: a program at any stage of the compiler."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from ttsc.compiler.ir import nodes as ir
    from ttsc.compiler.semantics.modules import Library
    from ttsc.grammar.source import Source

_STAGES = ("ast", "typed", "ir", "ir-opt", "plan")


@click.command(short_help="Show a program at a stage of the compiler.")
@click.argument("file", metavar="FILE")
@click.option("--stage", type=click.Choice(_STAGES), help="Which stage (default: plan; with --after: ir-opt).")
@click.option("--after", metavar="PASS", help="The IR as it is after this pass.")
@click.option("--spans", is_flag=True, help="With --stage ast: say where each node was written.")
@program_option
@task_option
@settings_option("The program for this value of a parameter (not with ast, typed). May be given several times.")
@level_option
@disable_option
@enable_option
def dump(
    file: str,
    stage: str | None,
    after: str | None,
    spans: bool,
    program: str | None,
    task: str | None,
    settings: tuple[str, ...],
    level: int,
    disabled: tuple[str, ...],
    enabled: tuple[str, ...],
) -> None:
    """Print FILE (or std:NAME) as the compiler sees it after a stage.

    ast: the syntax tree; typed: names resolved, types known; ir: the graph as written; ir-opt: after the passes;
    plan: the requests an engine will get and the prefixes they share.
    """
    click.echo(_text(file, stage, after, spans, program, task, settings, level, disabled, enabled).rstrip("\n"))


def _text(
    file: str,
    stage: str | None,
    after: str | None,
    spans: bool,
    program: str | None,
    task: str | None,
    settings: tuple[str, ...],
    level: int,
    disabled: tuple[str, ...],
    enabled: tuple[str, ...],
) -> str:
    from ttsc.library import open_source

    if after is not None and stage not in (None, "ir-opt"):
        raise click.UsageError(f"--after shows the IR between passes; it can't go with --stage {stage}")
    stage = stage or ("ir-opt" if after else "plan")
    if settings and stage in ("ast", "typed"):
        raise click.UsageError(f"--set compiles a value in; it can't go with --stage {stage}")
    source, library = open_source(file, task_path(task))
    if stage == "ast":
        from ttsc.grammar.dump import dump as dump_tree
        from ttsc.grammar.parser import parse

        return dump_tree(parse(source), spans=spans)
    if stage == "typed":
        from ttsc.compiler.semantics.check import check
        from ttsc.compiler.semantics.dump import print_typed

        return print_typed(check(source, library))
    return _compiled(source, library, stage, after, program, settings, level, disabled, enabled)


def _compiled(
    source: Source,
    library: Library,
    stage: str,
    after: str | None,
    program: str | None,
    settings: tuple[str, ...],
    level: int,
    disabled: tuple[str, ...],
    enabled: tuple[str, ...],
) -> str:
    """The text of a stage behind the checker: ir, ir-opt or plan."""
    from ttsc.cli.run_inputs import settings_given
    from ttsc.compiler.ir.printer import print_program
    from ttsc.compiler.plan.printer import print_plan
    from ttsc.driver import compile_source, pass_names, specialize
    from ttsc.errors import Problem, UsageError, did_you_mean
    from ttsc.inputs import constants

    if after is not None and after not in pass_names():
        hint = did_you_mean(after, pass_names(), f"the passes: {', '.join(pass_names())}")
        raise UsageError(Problem("E0510", f"there is no pass '{after}'", hint))
    between: dict[str, ir.Program] = {}

    def keep(name: str, state: ir.Program) -> None:
        between[name] = state

    compiled = compile_source(source, program, as_level(level), disabled, enabled, library=library, after=keep)
    if settings:
        parameters = compiled.built.parameters
        compiled = specialize(compiled, constants(parameters, settings_given(parameters, settings)), keep)
    if stage == "plan":
        return print_plan(compiled.plan)
    if stage == "ir":
        return print_program(compiled.built)
    if after is None:
        return print_program(compiled.plan.program)
    if after not in between:
        raise UsageError(
            Problem("E0510", f"the pass '{after}' doesn't run at -O{level}", "choose a higher level, or enable it")
        )
    return print_program(between[after])
