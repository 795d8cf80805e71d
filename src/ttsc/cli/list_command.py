"""`ttsc list`: the standard library by families and the programs at hand, one line each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from ttsc import stdlib
from ttsc.library import PREFIX

_DEFAULT = (Path(), Path("programs"))
_LAST = "tools"
"""The family that is listed last: what strategies are made of."""
_NARROW = 40


@click.command("list", short_help="List the library and the programs at hand.")
@click.argument("paths", nargs=-1, metavar="[PATH]…", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--family",
    "families",
    multiple=True,
    type=click.Choice(tuple(stdlib.FAMILIES)),
    metavar="FAMILY",
    help=f"Only this family of the library: {', '.join(stdlib.FAMILIES)}. May be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per program or library file on standard output.")
def list_programs(paths: tuple[Path, ...], families: tuple[str, ...], as_json: bool) -> None:
    """List the standard library and the programs in PATHs, one line each.

    Without a PATH: the current folder and its folder `programs`; with --family none of them. Each can be given to
    `ttsc run` as it is printed; `ttsc show` prints its text.
    """
    groups = [
        (f"{family}: {stdlib.FAMILIES[family]}", [PREFIX + name for name in stdlib.names(family)])
        for family in sorted(families or stdlib.FAMILIES, key=lambda each: each == _LAST)
    ]
    if not families or paths:
        groups.append(("programs at hand", [str(file) for file in _files(paths or _DEFAULT)]))
    shown = [(heading, [row for file in files for row in _rows(file)]) for heading, files in groups]
    if as_json:
        for row in _all(shown):
            click.echo(json.dumps(row, ensure_ascii=False))
        return
    width = max((len(_name(row)) for row in _all(shown)), default=0)
    columns = shutil.get_terminal_size((120, 24)).columns
    for number, (heading, rows) in enumerate((heading, rows) for heading, rows in shown if rows):
        click.echo(("\n" if number else "") + click.style(heading, bold=True))
        for row in rows:
            doc = _cut(row["doc"], max(_NARROW, columns - width - 4))
            click.echo(f"  {_name(row):<{width}}  {doc}".rstrip())
    if not any(rows for _, rows in shown):
        click.echo("there are no .tts files here", err=True)


def _all(shown: Iterable[tuple[str, list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    return [row for _, rows in shown for row in rows]


def _files(paths: tuple[Path, ...]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        found += sorted(path.glob("*.tts")) if path.is_dir() else [path] if path.exists() else []
    return found


def _rows(file: str) -> list[dict[str, Any]]:
    """One row per program; one for a file that has none, or has errors."""
    from ttsc.compiler.semantics.check import check
    from ttsc.grammar.diagnostics import CompileError
    from ttsc.library import open_source

    source, library = open_source(file)
    family = stdlib.family(file.removeprefix(PREFIX)) if file.startswith(PREFIX) else None
    try:
        checked = check(source, library)
    except CompileError as error:
        count = sum(item.severity == "error" for item in error.diagnostics)
        doc = f"({count} error{'s' if count != 1 else ''}: see `ttsc check {file}`)"
        return [{"file": file, "family": family, "program": None, "doc": doc, "parameters": [], "returns": None}]
    if not checked.programs:
        doc = _line(checked.doc)
        return [{"file": file, "family": family, "program": None, "doc": doc, "parameters": [], "returns": None}]
    stem = _stem(file)
    return [
        {
            "file": file,
            "family": family,
            "program": program.name,
            "doc": _line((program.name == stem and checked.doc) or program.doc or checked.doc),
            "parameters": [
                {"name": item.name, "type": str(item.type), "required": item.required} for item in program.parameters
            ],
            "returns": str(program.returns),
        }
        for program in sorted(checked.programs, key=lambda each: each.name != stem)
    ]


def _name(row: dict[str, Any]) -> str:
    name = row["program"]
    return row["file"] if name in (None, _stem(row["file"])) else f"{row['file']} -p {name}"


def _stem(file: str) -> str:
    """What the program that is meant is called, where a file has several."""
    return Path(file.rpartition(":")[2]).stem


def _line(doc: str | None) -> str:
    """The first line of a docstring."""
    lines = (doc or "").strip().splitlines()
    return lines[0].rstrip(".") if lines else ""


def _cut(text: str, columns: int) -> str:
    return text if len(text) <= columns else text[: columns - 1].rstrip() + "…"
