"""`ttsc check`: every error and warning of some files."""

from __future__ import annotations

import json
import sys

import click

from ttsc.cli.exit_codes import DONE, PROGRAM_HAS_ERRORS, USAGE


@click.command(short_help="Find errors in programs.")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per file on standard output.")
def check(files: tuple[str, ...], as_json: bool) -> int:
    """Check FILEs (or std:NAME) without running anything: syntax, names, types, bounds.

    Exit codes: 0 no errors (there may be warnings), 2 a file can't be read, 3 errors.
    """
    from ttsc.compiler.semantics.check import check as check_source
    from ttsc.errors import UsageError
    from ttsc.grammar.diagnostics import CompileError, Diagnostic
    from ttsc.grammar.render import render_all, to_json
    from ttsc.library import open_source

    worst = DONE
    for file in files:
        diagnostics: tuple[Diagnostic, ...] = ()
        programs: list[str] = []
        unreadable: UsageError | None = None
        try:
            source, library = open_source(file)
            checked = check_source(source, library)
            diagnostics = tuple(checked.warnings)
            programs = [program.name for program in checked.programs]
        except CompileError as error:
            diagnostics = error.diagnostics
        except UsageError as error:
            unreadable = error
        failed = any(item.severity == "error" for item in diagnostics)
        worst = USAGE if unreadable or worst == USAGE else PROGRAM_HAS_ERRORS if failed else worst
        if as_json:
            found = [to_json(item) for item in diagnostics]
            if unreadable:
                found = [
                    {"code": problem.code, "severity": "error", "message": problem.message, "hint": problem.hint}
                    for problem in unreadable.problems
                ]
            ok = not (failed or unreadable)
            click.echo(
                json.dumps({"file": file, "ok": ok, "programs": programs, "diagnostics": found}, ensure_ascii=False)
            )
        elif unreadable:
            from ttsc.cli.exit_codes import report

            report(unreadable)
        else:
            if diagnostics:
                click.echo(render_all(diagnostics, color=sys.stderr.isatty()).rstrip("\n"), err=True)
            if not failed:
                click.echo(f"{file}: {_count(len(programs))}, no errors")
    return worst


def _count(programs: int) -> str:
    return "1 program" if programs == 1 else f"{programs} programs"
