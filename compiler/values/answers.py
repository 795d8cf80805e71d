"""Answers found in model output: the last box, the last number, and strict parsing of numbers.

All of these are linear in the text, which a model wrote and which may be hostile.
"""

from __future__ import annotations

import math
import re

_MAX_INTEGER = 2**63 - 1
_BRACE_OR_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*\{|\\[{}\\]|[{}]")
_BARE_BOX = re.compile(r"\\(?:boxed|fbox)[ \t]+([^\s{}$\\]+)")
_NUMBER = re.compile(r"[-−]?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|[-−]?\.[0-9]+")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_INT = re.compile(r"[+-]?[0-9]{1,30}")


def last_boxed(text: str) -> str | None:
    r"""Contents of the last `\boxed{…}` or `\fbox{…}` whose braces balance and which is not empty; also `\boxed 5`.

    Of nested boxes the innermost counts, as in the published MATH graders. Escaped braces do not count.
    """
    best_start, best = -1, None
    depth: list[tuple[int, int] | None] = []
    for match in _BRACE_OR_BOX.finditer(text):
        token = match.group()
        if token == "}":
            opened = depth.pop() if depth else None
            if opened is not None and opened[0] > best_start:
                content = text[opened[1] : match.start()].strip()
                if content:
                    best_start, best = opened[0], content
        elif token == "{":
            depth.append(None)
        elif token.endswith("{") and len(token) > 2:
            depth.append((match.start(), match.end()))
    for match in _BARE_BOX.finditer(text):
        content = match.group(1).rstrip(".,;:")
        if match.start() > best_start and content:
            best_start, best = match.start(), content
    return best


def last_number(text: str) -> str | None:
    """The last integer or decimal, in canonical form: no thousands commas, no needless zeros, `-0` is `0`.

    A minus directly after a word, a digit or a closing bracket is an operator or a dash, not a sign (`3-5` ends in 5).
    """
    last = None
    for last in _NUMBER.finditer(text):  # noqa: B007  (the last one is wanted)
        pass
    if last is None:
        return None
    token = last.group().replace(",", "").replace("−", "-")
    negative = token.startswith("-")
    if negative and last.start() > 0 and (text[last.start() - 1].isalnum() or text[last.start() - 1] in ")]}"):
        negative = False
    whole, _, fraction = token.lstrip("-").partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    number = f"{whole}.{fraction}" if fraction else whole
    return f"-{number}" if negative and number != "0" else number


def parse_float(text: str) -> float | None:
    """A plain decimal number, or None; never an infinity or a not-a-number."""
    stripped = text.strip()
    if not _FLOAT.fullmatch(stripped):
        return None
    value = float(stripped)
    return value if math.isfinite(value) else None


def parse_int(text: str) -> int | None:
    """A plain decimal integer of at most 64 bits, or None."""
    stripped = text.strip()
    if not _INT.fullmatch(stripped):
        return None
    value = int(stripped)
    return value if abs(value) <= _MAX_INTEGER else None
