"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ttsc.compiler.plan.nodes import Level

Decorated = Callable[..., Any]


def program_option(function: Decorated) -> Decorated:
    """`-p PROGRAM`"""
    text = "Which program of the file. Needed only where it has several, none called like the file."
    return click.option("-p", "--program", metavar="PROGRAM", help=text)(function)


def task_option(function: Decorated) -> Decorated:
    """`--task FILE`"""
    text = "The task (or std:NAME) in place of std.task, which the library's strategies work on."
    return click.option("--task", "task", metavar="FILE", help=text)(function)


def task_path(task: str | None) -> str | Path | None:
    """What `--task` names; never the text of a task."""
    from ttsc.library import PREFIX

    return task if task is None or task.startswith(PREFIX) else Path(task)


def level_option(function: Decorated) -> Decorated:
    """`-O0`, `-O1`, `-O2`"""
    text = (
        "0: the program as written; 1: shared prefixes, no early decisions; 2: all passes (default)."
        " The value is the same."
    )
    kind = click.IntRange(0, 2)
    return click.option("-O", "level", type=kind, default=2, metavar="0|1|2", help=text)(function)


def disable_option(function: Decorated) -> Decorated:
    """`--disable PASS`, several times"""
    text = "Leave this pass out. May be given several times."
    return click.option("--disable", "disabled", multiple=True, metavar="PASS", help=text)(function)


def enable_option(function: Decorated) -> Decorated:
    """`--enable PASS`, several times"""
    text = "Run this pass as well, where the level leaves it out. May be given several times."
    return click.option("--enable", "enabled", multiple=True, metavar="PASS", help=text)(function)


def settings_option(text: str) -> Callable[[Decorated], Decorated]:
    """`--set NAME=VALUE`, several times; `text` says what the values are for."""
    return click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help=text)


def input_option(function: Decorated) -> Decorated:
    """`--input JSON`"""
    text = 'One input, as in \'{"question": "…"}\'.'
    return click.option("--input", "input_json", metavar="JSON", help=text)(function)


def tokenizer_option(function: Decorated) -> Decorated:
    """`--tokenizer FOLDER`"""
    text = "The model's tokenizer, where --engine names a model that isn't on this machine."
    folder = click.Path(exists=True, file_okay=False)
    return click.option("--tokenizer", "tokenizer_path", type=folder, metavar="FOLDER", help=text)(function)


def externs_option(text: str) -> Callable[[Decorated], Decorated]:
    """`--externs FILE.py`; `text` says what is done with it."""
    return click.option("--externs", "externs_file", type=click.Path(path_type=Path), metavar="FILE.py", help=text)


def with_options(*options: Callable[[Decorated], Decorated]) -> Callable[[Decorated], Decorated]:
    """All of them, shown in this order."""

    def decorate(function: Decorated) -> Decorated:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def as_level(level: int) -> Level:
    """The number that `click.IntRange` has already checked, as the type that the compiler takes."""
    match level:
        case 0:
            return 0
        case 1:
            return 1
    return 2
