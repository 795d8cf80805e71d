"""`ttsc fmt`: programs in the one style."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from ttsc.cli.exit_codes import DONE, FAILED, PROGRAM_HAS_ERRORS, USAGE, complain, say

STANDARD_INPUT = "-"


@click.command(short_help="Format programs.")
@click.argument("files", nargs=-1, required=True, metavar="FILE|FOLDER|-…")
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit with 1 if a file is not formatted.")
@click.option("--diff", "show_diff", is_flag=True, help="Write nothing; show what would change.")
def fmt(files: tuple[str, ...], only_check: bool, show_diff: bool) -> int:
    """Format FILEs, and all .tts files below FOLDERs, in place. `-` reads standard input and writes standard output.

    Comments and the order of things stay, and so does the meaning. A file with syntax errors is left as it is.

    Exit codes: 0 done, 1 a file is not formatted (with --check), 2 a file can't be read or written, 3 syntax errors.
    """
    from ttsc.errors import UsageError

    worst = DONE
    changed = 0
    seen = 0
    for file in files:
        try:
            for name in _files(file):
                code, differs = _format_one(name, only_check, show_diff)
                worst = max(worst, code, key=_gravity)
                changed += differs
                seen += 1
        except UsageError as error:
            worst = USAGE
            for problem in error.problems:
                complain(problem.code, problem.message, problem.hint)
    if STANDARD_INPUT not in files:
        say(_summary(changed, seen, only_check or show_diff))
    return worst


def _gravity(code: int) -> int:
    return [DONE, FAILED, PROGRAM_HAS_ERRORS, USAGE].index(code)


def _summary(changed: int, seen: int, unwritten: bool) -> str:
    files = f"{seen} file{'' if seen == 1 else 's'}"
    if not changed:
        return f"{files}, all formatted" if seen != 1 else "1 file, formatted"
    return f"{changed} of {files} would change" if unwritten else f"{changed} of {files} changed"


def _files(file: str) -> Iterator[str]:
    """The files that a name stands for. Raises UsageError (E0509) if there are none."""
    from ttsc.errors import Problem, UsageError

    path = Path(file)
    if file == STANDARD_INPUT or not path.is_dir():
        yield file
        return
    found = sorted(each for each in path.rglob("*.tts") if each.is_file() and not _hidden(each.relative_to(path)))
    if not found:
        raise UsageError(Problem("E0509", f"no .tts file is in '{path}'", "name files, or another folder"))
    yield from map(str, found)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _format_one(file: str, only_check: bool, show_diff: bool) -> tuple[int, bool]:
    """The exit code for one file, and whether it differs from its formatted text."""
    from ttsc.grammar.diagnostics import CompileError
    from ttsc.grammar.format import format_source
    from ttsc.grammar.render import render_all

    text = _read(file)
    try:
        formatted = format_source(text, "<stdin>" if file == STANDARD_INPUT else file)
    except CompileError as error:
        click.echo(render_all(error.diagnostics, color=sys.stderr.isatty()).rstrip("\n"), err=True)
        return PROGRAM_HAS_ERRORS, False
    differs = formatted != text
    if show_diff:
        click.echo(_diff(text, formatted, file), nl=False)
    elif only_check:
        if differs:
            say(f"{file}: not formatted")
    elif file == STANDARD_INPUT:
        click.echo(formatted, nl=False)
    elif differs:
        _write(file, formatted)
    return FAILED if only_check and differs else DONE, differs


def _read(file: str) -> str:
    """The text of a file with the line ends that it has. Raises UsageError."""
    from ttsc.errors import Problem, UsageError
    from ttsc.library import open_source

    if file != STANDARD_INPUT:
        source, _ = open_source(file)  # which says best what is wrong with a name
        data = Path(file).read_bytes() if not file.startswith("std:") else source.text.encode()
    else:
        data = sys.stdin.buffer.read()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = Problem("E0505", "standard input is not UTF-8", f"byte {error.start} isn't")
        raise UsageError(problem) from None


def _write(file: str, text: str) -> None:
    """Puts the text in place of the file at once: a reader, or a crash, sees the old file or the new. A symbolic link
    stays one, and permissions stay. Raises UsageError (E0505)."""
    from ttsc.errors import Problem, UsageError

    path = Path(os.path.realpath(file))
    temporary = None
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}.", delete=False) as out:
            temporary = out.name
            out.write(text.encode("utf-8"))
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        hint = "check the permissions of the file and its folder"
        raise UsageError(Problem("E0505", f"'{file}' can't be written: {error.strerror}", hint)) from None


def _diff(before: str, after: str, file: str) -> str:
    """Both texts side by side as a unified diff."""
    import difflib

    def lines(text: str) -> Sequence[str]:
        return [line + "\n" for line in text.removesuffix("\n").split("\n")] if text else []

    return "".join(difflib.unified_diff(lines(before), lines(after), f"{file} (as it is)", f"{file} (formatted)"))
