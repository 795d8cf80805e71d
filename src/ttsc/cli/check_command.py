"""`ttsc check`: every error and warning of some files, and with `--bounds` what their programs cost at most."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ttsc.cli.exit_codes import DONE, PROGRAM_HAS_ERRORS, USAGE, report, say
from ttsc.cli.options import task_option, task_path

if TYPE_CHECKING:
    from ttsc.compiler.bounds import Bounds
    from ttsc.errors import UsageError
    from ttsc.grammar.diagnostics import Diagnostic


@dataclass(slots=True)
class Found:
    """What became of one file. `bounds`: of its programs, with the arguments that `--set` gives each."""

    diagnostics: tuple[Diagnostic, ...] = ()
    programs: tuple[str, ...] = ()
    bounds: tuple[tuple[Bounds, dict[str, Any]], ...] = ()
    unreadable: UsageError | None = None

    @property
    def failed(self) -> bool:
        return any(item.severity == "error" for item in self.diagnostics)


@click.command(short_help="Find errors in programs, and what they cost at most.")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@task_option
@click.option("--bounds", "show_bounds", is_flag=True, help="The worst case of every program, in its parameters.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="With --bounds: a parameter's value; the bounds are shown in numbers, too. May be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per file on standard output.")
def check(files: tuple[str, ...], task: str | None, show_bounds: bool, settings: tuple[str, ...], as_json: bool) -> int:
    """Check FILEs (or std:NAME) without running anything: syntax, names, types, bounds. `std:` is the whole library.

    Exit codes: 0 no errors (there may be warnings), 2 a file can't be read, 3 errors.
    """
    from ttsc.library import every_file

    if settings and not show_bounds:
        raise click.UsageError("--set goes with --bounds")
    worst = DONE
    said: list[Diagnostic] = []
    for file in every_file(files):
        found = _check(file, task, settings if show_bounds else None)
        said += found.diagnostics
        worst = USAGE if found.unreadable or worst == USAGE else PROGRAM_HAS_ERRORS if found.failed else worst
        if as_json:
            click.echo(json.dumps(_row(file, found, show_bounds, bool(settings)), ensure_ascii=False))
        else:
            _show(file, found, bool(settings))
    if said and not as_json:
        say(f"for more: ttsc explain-error {min(said, key=lambda item: item.severity != 'error').code}")
    return worst


def _check(file: str, task: str | None, settings: Sequence[str] | None) -> Found:
    """Everything that can be said of a file. `settings` None: no bounds are wanted."""
    from ttsc.compiler.bounds import worst_case
    from ttsc.compiler.bounds.check import check_bounds, check_money
    from ttsc.compiler.semantics.check import check as check_source
    from ttsc.errors import InputError, UsageError
    from ttsc.grammar.diagnostics import CompileError
    from ttsc.library import open_source

    try:
        source, library = open_source(file, task_path(task))
        checked = check_source(source, library)
        built = check_bounds(checked)
        warnings = (*checked.warnings, *check_money(checked, built))
        names = tuple(program.name for program in checked.programs)
        if settings is None:
            return Found(warnings, names)
        bounds = [worst_case(program) for program in built]
        return Found(warnings, names, tuple(zip(bounds, _arguments(bounds, settings), strict=True)))
    except CompileError as error:
        return Found(error.diagnostics)
    except (UsageError, InputError) as error:
        return Found(unreadable=UsageError(*error.problems))


def _arguments(bounds: Sequence[Bounds], settings: Sequence[str]) -> list[dict[str, Any]]:
    """The given arguments of each program that has a parameter of their name, or a symbol (`tokens(search)`)."""
    from ttsc.errors import InputError
    from ttsc.inputs import from_text

    given: list[dict[str, Any]] = [{} for _ in bounds]
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--set {setting}: write it as NAME=VALUE")
        taken = False
        refused: InputError | None = None
        for each, arguments in zip(bounds, given, strict=True):
            if name in each.symbols and "(" in name and text.isdecimal():
                arguments[name], taken = int(text), True
                continue
            try:
                arguments[name] = from_text(each.program.parameters, name, text)
                taken = True
            except InputError as error:
                refused = error
        if refused is not None and not taken:
            raise refused
    return given


def _row(file: str, found: Found, show_bounds: bool, numbers: bool) -> dict[str, Any]:
    from ttsc.grammar.render import to_json

    diagnostics: list[Any] = [to_json(item) for item in found.diagnostics]
    if found.unreadable:
        diagnostics = [
            {"code": problem.code, "severity": "error", "message": problem.message, "hint": problem.hint}
            for problem in found.unreadable.problems
        ]
    ok = not (found.failed or found.unreadable)
    row: dict[str, Any] = {"file": file, "ok": ok, "programs": list(found.programs), "diagnostics": diagnostics}
    if show_bounds:
        row["bounds"] = {
            bounds.program.name: {
                "symbolic": bounds.to_json(),
                **({"concrete": bounds.at(arguments).to_json()} if numbers else {}),
            }
            for bounds, arguments in found.bounds
        }
    return row


def _show(file: str, found: Found, numbers: bool) -> None:
    from ttsc.grammar.render import render_all

    if found.unreadable:
        report(found.unreadable)
        return
    if found.diagnostics:
        click.echo(render_all(found.diagnostics, color=sys.stderr.isatty()).rstrip("\n"), err=True)
    if not found.failed:
        click.echo(f"{file}: {_count(len(found.programs))}, no errors")
    for bounds, arguments in found.bounds:
        click.echo(f"\n{bounds.program.name}, at most")
        click.echo(_indented(bounds.text(96)))
        if numbers:
            click.echo(f"with {_with(bounds, arguments)}")
            click.echo(_indented(bounds.at(arguments).text()))


def _with(bounds: Bounds, arguments: dict[str, Any]) -> str:
    """The arguments that the numbers are for, defaults included; texts that are not given count as empty."""
    parts = []
    for parameter in bounds.program.parameters:
        value = arguments.get(parameter.name, parameter.default)
        missing = parameter.required and parameter.name not in arguments
        text = "not given" if missing else json.dumps(value, ensure_ascii=False, default=str)
        parts.append(f"{parameter.name}={text if len(text) <= 40 else text[:39] + '…'}")
    parts += [f"{name}={value}" for name, value in arguments.items() if "(" in name]
    return ", ".join(parts)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.split("\n"))


def _count(programs: int) -> str:
    return "1 program" if programs == 1 else f"{programs} programs"
