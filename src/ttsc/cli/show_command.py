"""`ttsc show`: the text of a program, and what there is to know of it as data."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ttsc.cli.options import task_option, task_path

if TYPE_CHECKING:
    from ttsc.compiler.ir import nodes as ir
    from ttsc.compiler.semantics import typed

_ARXIV = re.compile(r"(?<![\d.])(\d{4}\.\d{5})(?![\d.])")


@click.command(short_help="Print a program's text, or what there is to know of it.")
@click.argument("file", metavar="FILE")
@task_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object: docstring, papers, programs, roles, externs.")
def show(file: str, task: str | None, as_json: bool) -> None:
    """Print the text of FILE (or std:NAME), in colour on a terminal.

    With --json: its docstring, the papers that it names, its family in the library, its lines, what it uses; of each
    program the parameters with defaults and ranges, the model roles with what is asked of them, and the externs.

    \b
      ttsc show std:beam_search
      ttsc show std:task > task.tts      the beginning of a task of one's own
    """
    from ttsc.library import open_source

    source, library = open_source(file, task_path(task))
    if as_json:
        from ttsc.compiler.bounds.check import check_bounds
        from ttsc.compiler.semantics.check import check

        checked = check(source, library)
        built = {each.name: each for each in check_bounds(checked)}
        click.echo(json.dumps(_described(file, source.text, checked, built), ensure_ascii=False, indent=2))
        return
    if task is not None:
        raise click.UsageError("--task goes with --json: the text is the same with any task")
    click.echo(_coloured(source.text) if sys.stdout.isatty() else source.text, nl=False)


def _coloured(text: str) -> str:
    from pygments import highlight
    from pygments.formatters import TerminalFormatter

    from ttsc.pygments_lexer import TtsLexer

    return str(highlight(text, TtsLexer(stripnl=False), TerminalFormatter()))


def _described(file: str, text: str, checked: Any, built: dict[str, ir.Program]) -> dict[str, Any]:
    from ttsc import stdlib
    from ttsc.grammar import ast
    from ttsc.library import PREFIX

    uses = [each for each in checked.tree.declarations if isinstance(each, ast.Use)]
    return {
        "file": file,
        "family": stdlib.family(file.removeprefix(PREFIX)) if file.startswith(PREFIX) else None,
        "path": str(stdlib.path(file.removeprefix(PREFIX)) if file.startswith(PREFIX) else Path(file)),
        "doc": checked.doc.strip(),
        "papers": [f"https://arxiv.org/abs/{each}" for each in dict.fromkeys(_ARXIV.findall(checked.doc))],
        "lines": len(text.splitlines()),
        "tests": [each.title for each in checked.tests],
        "uses": {".".join(each.path): [name.id for name in each.names] for each in uses},
        "programs": [_program(each, built[each.name]) for each in checked.programs],
        "externs": [_extern(each) for each in checked.externs],
        "prompts": [each.name for each in checked.prompts],
    }


def _program(program: typed.Program, built: ir.Program) -> dict[str, Any]:
    return {
        "name": program.name,
        "doc": (program.doc or "").strip(),
        "parameters": [_parameter(each) for each in program.parameters],
        "returns": str(program.returns),
        "roles": [
            {"name": each.name, "model": each.default, "asked_for": sorted(_asked_for(built, each.name))}
            for each in program.models
        ],
        "externs": [each.name for each in built.externs],
    }


def _parameter(parameter: typed.Parameter) -> dict[str, Any]:
    from ttsc.compiler.values.types import Interval

    found: dict[str, Any] = {"name": parameter.name, "type": str(parameter.type), "required": parameter.required}
    if not parameter.required:
        found["default"] = parameter.default
    match parameter.tunable:
        case Interval(low, high):
            found["range"] = [low, high]
        case tuple() as choices:
            found["choices"] = list(choices)
    if parameter.oracle:
        found["oracle"] = True
    return found


def _extern(extern: typed.Extern) -> dict[str, Any]:
    return {
        "name": extern.name,
        "kind": extern.kind,
        "doc": extern.doc.strip(),
        "parameters": [_parameter(each) for each in extern.parameters],
        "returns": str(extern.returns),
    }


def _asked_for(program: ir.Program, role: str) -> set[str]:
    """What a program asks of a role: generate, and the kinds of scores."""
    from ttsc.compiler.ir.nodes import Generate, Score
    from ttsc.compiler.ir.rewrite import walk

    found: set[str] = set()
    for node in walk(program.body):
        if isinstance(node, Generate | Score) and node.model == role:
            found.add("generate" if isinstance(node, Generate) else node.kind)
    return found
