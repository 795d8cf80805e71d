r"""The values of string literals: escapes, and the dedenting of triple-quoted text.

Escapes are few on purpose. Prompts are full of backslashes (`\boxed`, `\frac`), and a language that let unknown escapes
pass would turn `\b` or `\f` into control characters in silence, as Python does. So the only escapes are `\n`, `\t`,
`\"`, `\\` and `\uXXXX`, and any other is an error that says how to write a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|(?s:.)|$)")

Report = Callable[[int, int, str, str], None]
"""(offset in the body, length, message, hint): called for each bad escape."""


def unescape(body: str, report: Report) -> str:
    """The text that `body` (what stands between the quotes) denotes. A bad escape is reported and kept as written."""
    if "\\" not in body:
        return body

    def replace(match: re.Match[str]) -> str:
        escape = match[1]
        if escape in _ESCAPES:
            return _ESCAPES[escape]
        if len(escape) == 5:
            value = int(escape[1:], 16)
            if not 0xD800 <= value <= 0xDFFF:
                return chr(value)
            hint = "write the character itself: the text is Unicode"
            report(match.start(), 6, f"'\\{escape}' is half of a surrogate pair, not a character", hint)
        elif escape == "u":
            report(match.start(), 2, "'\\u' needs four hexadecimal digits", "for example '\\u00e9'")
        else:
            shown = escape if escape.isprintable() else ""
            report(
                match.start(), 1 + len(shown), f"unknown escape '\\{shown}'", f"for a backslash, write '\\\\{shown}'"
            )
        return match[0]

    return _ESCAPE.sub(replace, body)


def dedent(body: str) -> str:
    """What `inspect.cleandoc` does, except that tabs stay tabs: the margin common to all lines but the first goes, and
    so do blank lines at both ends. It works on the text as written: an escape `\\n` is no line break here."""
    first, *rest = body.split("\n")
    margin = _margin(rest)
    lines = [first.lstrip(), *(line[len(margin) :] if line.strip() else "" for line in rest)]
    while lines and not lines[-1].strip():
        lines.pop()
    while lines and not lines[0].strip():
        lines.pop(0)
    return "\n".join(lines)


def _margin(lines: list[str]) -> str:
    """The longest blank prefix that all lines with text share."""
    margin: str | None = None
    for line in lines:
        text = line.lstrip()
        if not text:
            continue
        indent = line[: len(line) - len(text)]
        if margin is None:
            margin = indent
        while not indent.startswith(margin):
            margin = margin[:-1]
    return margin or ""


def decode(raw: str, report: Report) -> str:
    """The value of a whole literal, quotes included; offsets reported are those in `raw`."""
    if not raw.startswith('"""'):
        return unescape(raw[1:-1], lambda at, length, message, hint: report(at + 1, length, message, hint))
    body = raw[3:-3]
    # Escapes are checked where they stand, then read once the margin is gone: dedenting moves offsets.
    unescape(body, lambda at, length, message, hint: report(at + 3, length, message, hint))
    return unescape(dedent(body.replace("\r\n", "\n")), lambda *_: None)
