"""The standard library: one published strategy or tool per `.tts` file, a folder for each family, and this loader.

It knows nothing of the compiler: it hands out texts, and the driver makes sources of them. A file's name is unique
among all families, so `std:beam_search` needs no folder.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

ROOT = "std"
"""First name of every path of the library: `use std.answers (boxed)`."""

FAMILIES = {
    "tools": "answers, the task, verifiers that execute",
    "voting": "sampling and voting",
    "stopping": "early stopping",
    "sequential": "sequential scaling and budget forcing",
    "verification": "verification",
    "search": "step-level search",
    "mcmc": "Markov chain Monte Carlo and tree search",
    "refine": "refining, distilling, fusing",
}
"""Folder of each family, and what it holds, in the order of `ttsc list`."""

_FOLDER = Path(__file__).parent


@cache
def _files() -> dict[str, Path]:
    return {file.stem: file for family in FAMILIES for file in sorted((_FOLDER / family).glob("*.tts"))}


def names(family: str | None = None) -> tuple[str, ...]:
    """Names of the library's files, or of one family's, sorted: `answers` is `std.answers` and `std:answers`."""
    return tuple(sorted(name for name, file in _files().items() if family in (None, file.parent.name)))


def family(name: str) -> str | None:
    """The family of a file, or None if there is no file of that name."""
    found = path(name)
    return None if found is None else found.parent.name


def path(name: str) -> Path | None:
    """Where a file of the library lies, or None if there is none of that name."""
    return _files().get(name)


@cache
def text(name: str) -> str | None:
    """The text of one library file, or None if there is none of that name."""
    found = path(name)
    return None if found is None else found.read_text(encoding="utf-8")
