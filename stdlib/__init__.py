"""The standard library: one published strategy or tool per `.tts` file, and this loader.

It knows nothing of the compiler: it hands out texts, and the driver makes sources of them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

ROOT = "std"
"""First name of every path of the library: `use std.answers (boxed)`."""

_FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Names of the library's files, sorted: `answers` stands for `std.answers` and `std:answers`."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.tts")))


@cache
def text(name: str) -> str | None:
    """The text of one library file, or None if there is none of that name."""
    if not name.isidentifier():
        return None
    file = _FOLDER / f"{name}.tts"
    return file.read_text(encoding="utf-8") if file.is_file() else None
