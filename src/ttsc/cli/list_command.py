"""`ttsc list`: the standard library and the programs at hand, one line each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

_DEFAULT = (Path(), Path("programs"))


@click.command("list", short_help="List the library and the programs at hand.")
@click.argument("paths", nargs=-1, metavar="[PATH]…", type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object per program or library file on standard output.")
def list_programs(paths: tuple[Path, ...], as_json: bool) -> None:
    """List the standard library and the programs in PATHs, one line each.

    Without a PATH: the current folder and its folder `programs`. Each can be given to `ttsc run` as it is printed.
    """
    from ttsc import stdlib
    from ttsc.library import PREFIX

    library = [PREFIX + name for name in stdlib.names()]
    rows = [row for name in library for row in _rows(name)]
    rows += [row for file in _files(paths or _DEFAULT) for row in _rows(str(file))]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
        return
    width = max((len(_name(row)) for row in rows), default=0)
    for row in rows:
        click.echo(f"{_name(row):<{width}}  {row['doc']}".rstrip())
    if not rows:
        click.echo("there are no .tts files here", err=True)


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
    try:
        checked = check(source, library)
    except CompileError as error:
        count = sum(item.severity == "error" for item in error.diagnostics)
        doc = f"({count} error{'s' if count != 1 else ''}: see `ttsc check {file}`)"
        return [{"file": file, "program": None, "doc": doc, "parameters": [], "returns": None}]
    if not checked.programs:
        return [{"file": file, "program": None, "doc": _line(checked.doc), "parameters": [], "returns": None}]
    return [
        {
            "file": file,
            "program": program.name,
            "doc": _line(program.doc or checked.doc),
            "parameters": [
                {"name": item.name, "type": str(item.type), "required": item.required} for item in program.parameters
            ],
            "returns": str(program.returns),
        }
        for program in checked.programs
    ]


def _name(row: dict[str, Any]) -> str:
    name, stem = row["program"], Path(row["file"].rpartition(":")[2]).stem
    return row["file"] if name in (None, stem) else f"{row['file']} -p {name}"


def _line(doc: str | None) -> str:
    """The first line of a docstring."""
    lines = (doc or "").strip().splitlines()
    return lines[0].rstrip(".") if lines else ""
