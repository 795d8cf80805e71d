"""The inputs and the stores that a command line names, read and checked."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ttsc.compiler.ir.nodes import Parameter
    from ttsc.program import CompiledProgram
    from ttsc.stores import Store

_PROBLEMS_SHOWN = 10


def inputs_given(
    program: CompiledProgram, settings: tuple[str, ...], input_json: str | None, inputs_file: str | None
) -> list[dict[str, Any]]:
    """The checked inputs of the command line. Raises `InputError` with everything that is wrong with any of them."""
    from ttsc.errors import InputError, Problem
    from ttsc.inputs import parse_object, read_file, read_lines

    base = settings_given(program.parameters, settings)
    if inputs_file is None:
        given = parse_object(input_json, "--input") if input_json is not None else {}
        return [program.check_input({**base, **given})]
    rows = list(read_lines(sys.stdin, "stdin")) if inputs_file == "-" else read_file(Path(inputs_file))
    if not rows:
        raise InputError(Problem("E0505", f"'{inputs_file}' holds no input", "write one JSON object per line"))
    checked: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for place, row in rows:
        try:
            checked.append(program.check_input({**base, **row}))
        except InputError as error:
            problems += [Problem(item.code, f"{place}: {item.message}", item.hint) for item in error.problems]
    if problems:
        more = len(problems) - _PROBLEMS_SHOWN
        rest = [Problem("E0505", f"and {more} more of the kind in '{inputs_file}'")] if more > 0 else []
        raise InputError(*problems[:_PROBLEMS_SHOWN], *rest)
    return checked


def settings_given(parameters: Sequence[Parameter], settings: tuple[str, ...]) -> dict[str, Any]:
    """`--set NAME=VALUE`, for each."""
    from ttsc.inputs import from_text

    given: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise click.UsageError(f"--set {setting}: write it as NAME=VALUE")
        given[name.strip()] = from_text(parameters, name.strip(), text)
    return given


def specialized(program: CompiledProgram, settings: tuple[str, ...], inputs: list[dict[str, Any]]) -> CompiledProgram:
    """The program with the values of `--set` compiled in that hold for all inputs."""
    from ttsc.inputs import may_be_known

    names = {setting.partition("=")[0].strip() for setting in settings}
    held = {
        each.name: inputs[0][each.name]
        for each in program.parameters
        if each.name in names and may_be_known(each) and all(i[each.name] == inputs[0][each.name] for i in inputs)
    }
    return program.specialize(held) if held else program


def stores_given(given: tuple[str, ...]) -> dict[str, Store]:
    """`--store NAME=FILE`, for each."""
    from ttsc.stores import Store

    found: dict[str, Store] = {}
    for item in given:
        name, equals, path = item.partition("=")
        if not equals or not path:
            raise click.UsageError(f"--store {item}: write it as NAME=FILE.jsonl")
        if name in found:
            raise click.UsageError(f"--store {name} is given twice")
        found[name] = Store.open(path)
    return found
