"""The names that a prompt's template reads, where they stand in the source.

A template is text with `{{ value }}` and `{% statement %}` in it. What the compiler knows of it are the names it needs;
an editor needs their places as well, in the string as it is written, escapes included.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_CODE = re.compile(r"\{\{(?P<value>.*?)\}\}|\{%(?P<statement>.*?)%\}|\{#.*?#\}", re.DOTALL)
_PART = re.compile(
    r"""
      (?P<string>\\"(?:(?!\\").)*\\" | "[^"]*" | '[^']*')
    | (?P<skipped>(?:\.|\||\bis\s+not\b|\bis\b)\s*[A-Za-z_]\w*)
    | (?P<keyword>[A-Za-z_]\w*\s*=(?!=))
    | (?P<name>[A-Za-z_]\w*)
    | (?P<number>[0-9][\w.]*)
    """,
    re.VERBOSE | re.DOTALL,
)
_BINDS = re.compile(r"\{%[-+]?\s*(?:for\s+(?P<loop>[\w\s,()]+?)\s+in\b|set\s+(?P<set>\w+))")


def names_in(template: str) -> Iterator[tuple[str, int, int]]:
    """Each word that may be a variable, with its start and end in the literal. Words of the template language are among
    them; a caller looks for the names it knows. Those that the template binds itself are left out.
    """
    bound = bound_in(template)
    for code in _CODE.finditer(template):
        group = "value" if code["value"] is not None else "statement"
        if code[group] is None:
            continue
        for part in _PART.finditer(template, *code.span(group)):
            if part.lastgroup == "name" and part[0] not in bound:
                yield part[0], part.start(), part.end()


def bound_in(template: str) -> set[str]:
    """Names of loops and `set` in the template: not the prompt's."""
    return {
        name
        for match in _BINDS.finditer(template)
        for name in re.findall(r"[A-Za-z_]\w*", match["loop"] or match["set"])
    }


def inside(template: str, at: int) -> bool:
    """Is the place `at` of the literal inside of `{{ }}` or `{% %}`, closed or still open?"""
    before = template[:at]
    opened = max(before.rfind("{{"), before.rfind("{%"))
    return opened >= 0 and max(before.rfind("}}"), before.rfind("%}")) < opened
