"""Prompt templates: Jinja for programs that nobody has reviewed.

A `.tts` file may come from anywhere, so its templates get no host objects, no calls, no attributes but record fields, a
handful of filters, and a bounded amount of work and output. Templates are checked when a program is compiled and
rendered when it is folded or run. Jinja itself is imported on first use (`sandbox.py`): a program without templates
never pays for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ttsc.compiler.values.sandbox import Compiled

MAX_OUTPUT = 1_000_000
"""Longest rendered message, in characters."""
_SYNTAX = ("{{", "{%", "{#")


class TemplateInvalid(Exception):
    """A template that can never be rendered. `line` is 1-based within the template."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


class TemplateFailed(Exception):
    """A template that cannot be rendered with these arguments."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def is_static(template: str) -> bool:
    """Whether the template is its own result: no Jinja syntax in it."""
    return not any(mark in template for mark in _SYNTAX)


def variables(template: str) -> tuple[str, ...]:
    """Names the template takes from outside, in order of appearance. Raises `TemplateInvalid`."""
    return () if is_static(template) else _compiled(template).variables


def cannot_fail(template: str) -> bool:
    """Whether rendering succeeds whatever the arguments are, but for their size: only text and `{{ name }}`."""
    return is_static(template) or _compiled(template).plain


def render(template: str, args: Mapping[str, object]) -> str:
    """The message. Raises `TemplateFailed` (and `TemplateInvalid` if `variables` was never asked)."""
    if is_static(template):
        if len(template) > MAX_OUTPUT:
            raise TemplateFailed(f"the text is longer than {MAX_OUTPUT} characters")
        return template
    from ttsc.compiler.values.sandbox import rendered

    return rendered(_compiled(template), args, MAX_OUTPUT)


@lru_cache(maxsize=512)
def _compiled(template: str) -> Compiled:
    from ttsc.compiler.values.sandbox import compiled

    return compiled(template)
