"""The values of number literals: `16`, `1_000`, `20k`, `2M`, `0.7`, `1e15`; with a unit, `30s`, `500ms`, `$0.05`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

MAX_INT = 2**63 - 1
_INT = re.compile(r"(0|[1-9][0-9]*(?:_[0-9]+)*)([kM]?)")
_FLOAT = re.compile(r"[0-9]+(?:_[0-9]+)*(?:\.[0-9]+(?:_[0-9]+)*)?(?:[eE][+-]?[0-9]+)?")
_SUFFIXES = {"": 1, "k": 1_000, "M": 1_000_000}
_DURATION = re.compile(r"([0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?)(ms|s|min|h)")
TIME_UNITS = frozenset({"ms", "s", "min", "h"})
_MONEY = re.compile(r"\$([0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?)")

Report = Callable[[str, str, str], None]
"""(code, message, hint)"""


def read_number(raw: str, report: Report) -> int | float | tuple[int | float, str]:
    """The value of a literal, and its unit if it has one. A bad one is reported, and read as 0."""
    quantity = _DURATION.fullmatch(raw) or _MONEY.fullmatch(raw)
    if quantity and len(raw) <= 24:
        amount = float(quantity[1].replace("_", ""))
        return (int(amount) if amount.is_integer() else amount), "$" if raw[0] == "$" else quantity[2]
    match = _INT.fullmatch(raw)
    if match:
        # 20 digits are over the limit already; more of them are not worth converting.
        value = int(match[1].replace("_", "")) * _SUFFIXES[match[2]] if len(match[1]) <= 40 else MAX_INT + 1
        if value <= MAX_INT:
            return value
        report("E0106", "this number is too large", f"integers go up to {MAX_INT:,}".replace(",", "_"))
        return 0
    if _FLOAT.fullmatch(raw) and not raw.replace("_", "").isdigit():
        number = float(raw.replace("_", ""))
        if math.isfinite(number):
            return number
        report("E0106", "this number is too large", "floats go up to about 1.8e308")
        return 0.0
    report("E0105", f"'{_shorten(raw)}' is not a number", _advice(raw))
    return 0


def _advice(raw: str) -> str:
    lower = raw.lower()
    if raw[-1] in "KmgGbB" and _INT.fullmatch(raw[:-1]):
        return f"suffixes are 'k' (thousand) and 'M' (million): {raw[:-1]}k, {raw[:-1]}M"
    if raw[-1] in "kM" and _FLOAT.fullmatch(raw[:-1]) and len(raw) < 20:
        return f"suffixes go with whole numbers: write {float(raw[:-1]) * _SUFFIXES[raw[-1]]:g}"
    if lower.startswith(("0x", "0b", "0o")):
        return "numbers are written in decimal"
    if raw[0] == "0" and raw.isdigit():
        return f"remove the leading zeros: {_shorten(raw.lstrip('0') or '0')}"
    if re.fullmatch(r"[0-9.]+(?:sec|secs|second|seconds|S|m|mins|minutes|hours|hr|d|days)", raw):
        return "units of time are 'ms', 's', 'min' and 'h': 500ms, 30s, 5min"
    if raw[0] == "$":
        return "an amount of money is written $0.05"
    if "_" in raw:
        return "'_' goes between digits: 1_000"
    return "a name can't start with a digit; numbers look like 16, 1_000, 20k, 0.7, 1e15"


def _shorten(raw: str) -> str:
    return raw if len(raw) <= 24 else raw[:20] + "…"
