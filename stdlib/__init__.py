"""The standard library: one published strategy or tool per `.tts` file, and this loader.

It knows nothing of the compiler: it hands out texts, and the driver makes sources of them.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

ROOT = "std"
"""First name of every path of the library: `use std.answers (boxed)`."""


def names() -> tuple[str, ...]:
    """Names of the library's files, sorted: `answers` stands for `std.answers` and `std:answers`."""
    entries = (entry.name for entry in files(__package__ or __name__).iterdir())
    return tuple(sorted(name.removesuffix(".tts") for name in entries if name.endswith(".tts")))


@cache
def text(name: str) -> str | None:
    """The text of one library file, or None if there is none of that name."""
    if not name.isidentifier():
        return None
    entry = files(__package__ or __name__) / f"{name}.tts"
    return entry.read_text(encoding="utf-8") if entry.is_file() else None
