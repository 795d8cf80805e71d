"""Values in messages, written as in a program; of two long texts the part where they differ."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ttsc.compiler.values.abstain import ABSTAINED

_SHOWN = 200
"""Characters of a value that are shown."""
_BEFORE = 40
"""Characters shown before the first difference."""


def seen(value: object) -> str:
    """A value, its end left out if it is long."""
    return _part(_written(value), 0)


def both(left: object, right: object) -> tuple[str, str]:
    """Two values that were compared. If one is long, both from a little before the first difference."""
    a, b = _written(left), _written(right)
    if max(len(a), len(b)) <= _SHOWN:
        return a, b
    same = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    begin = max(0, same - _BEFORE)
    return _part(a, begin), _part(b, begin)


def _part(text: str, begin: int) -> str:
    part = ("…" if begin else "") + text[begin:]
    return part if len(part) <= _SHOWN else part[: _SHOWN - 1] + "…"


def _written(value: object) -> str:
    if value is None:
        return "none"
    if value == ABSTAINED:
        return "abstain"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, Mapping):
        return f"({', '.join(f'{name}={_written(each)}' for name, each in value.items())})"
    return json.dumps(value, ensure_ascii=False, default=str)
