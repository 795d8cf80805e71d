"""How long a `.tts` file is: lines of code, without docstrings, comments, blank lines and `test` blocks.

It looks at lines, which is exact for files as `ttsc fmt` writes them: declarations begin in the first column.
"""

from __future__ import annotations

from typing import Literal

_QUOTES = '"""'


def code_lines(text: str) -> int:
    """Lines of `text` that are program."""
    inside: Literal["docstring", "test", "text"] | None = None
    count = 0
    for line in text.splitlines():
        bare = line.strip()
        match inside:
            case "docstring":
                if bare.endswith(_QUOTES):
                    inside = None
                continue
            case "test":
                if line == "}":
                    inside = None
                continue
            case "text":
                count += 1
                if _QUOTES in bare:
                    inside = None
                continue
            case None:
                pass
        if line.startswith(_QUOTES):
            if not (len(bare) >= 2 * len(_QUOTES) and bare.endswith(_QUOTES)):
                inside = "docstring"
        elif line.startswith('test "'):
            inside = None if bare.endswith("}") else "test"
        elif bare and not bare.startswith("#"):
            count += 1
            if bare.count(_QUOTES) == 1:
                inside = "text"
    return count
