"""What each code of a message means: `ttsc explain-error E0203`, and docs/errors.md.

The TOML files of this folder hold one table per code, by stage: `title`, `text` (what it means, why the language says
so, the way out), and for what a program can cause a `wrong` program that has this error and no other, and the `right`
one. Tests compile both, and fail for a code of ours without a table.
"""

from __future__ import annotations

import textwrap
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

STAGES = {
    "syntax": "Syntax",
    "names": "Names",
    "types": "Types and declarations",
    "structure": "What a program may do",
    "warnings": "Warnings",
    "usage": "How a program is used",
    "costs": "Costs, plans and simulation",
    "running": "Running",
    "tests": "Tests",
}
"""By file: what the codes in it are about, in the order of a program's life."""

WIDTH = 96
"""Columns of a page's text."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """`wrong` and `right` are programs, or empty where no program shows the error."""

    code: str
    title: str
    text: str
    wrong: str = ""
    right: str = ""


@cache
def explanations() -> dict[str, Explanation]:
    """All explanations by code, stage after stage."""
    return {each.code: each for stage in STAGES for each in of_stage(stage)}


def of_stage(stage: str) -> tuple[Explanation, ...]:
    """The explanations of one file, in the order of their codes."""
    table = tomllib.loads(files(__package__).joinpath(f"{stage}.toml").read_text(encoding="utf-8"))
    return tuple(
        Explanation(
            code,
            entry["title"],
            entry["text"].strip(),
            entry.get("wrong", "").strip("\n"),
            entry.get("right", "").strip("\n"),
        )
        for code, entry in sorted(table.items())
    )


def page(explanation: Explanation) -> str:
    """One explanation as plain text, with a newline at its end."""
    parts = [f"{explanation.code}: {explanation.title}", wrapped(explanation.text)]
    if explanation.wrong:
        parts.append("Wrong:\n\n" + textwrap.indent(explanation.wrong, "    "))
    if explanation.right:
        parts.append("Right:\n\n" + textwrap.indent(explanation.right, "    "))
    return "\n\n".join(parts) + "\n"


def wrapped(text: str) -> str:
    """A paragraph in lines of at most `WIDTH` columns."""
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
