"""What prompts are written with."""

from __future__ import annotations

from collections.abc import Mapping

from ttsc.compiler.values.evaluation import EvaluationFailed
from ttsc.compiler.values.templates import TemplateFailed, TemplateInvalid, render
from ttsc.compiler.values.texts import text_of
from ttsc.runtime.failures import TEMPLATE_FAILED, RunFailed, failed
from ttsc.runtime.values import plain


def shown(value: object, *fields: str) -> str:
    """How a value, or a field of it, reads in a prompt."""
    value = plain(value)
    try:
        for field in fields:
            if not isinstance(value, Mapping) or field not in value:
                raise EvaluationFailed(f"there is no field `{field}`")
            value = value[field]
        return text_of(value)
    except EvaluationFailed as error:
        raise _unwritten(error.message) from error


def jinja(template: str, **args: object) -> str:
    """The text of a template that has more than values in it."""
    try:
        return render(template, {name: plain(value) for name, value in args.items()})
    except (TemplateFailed, TemplateInvalid) as error:
        raise _unwritten(error.message) from error


def _unwritten(why: str) -> RunFailed:
    return failed(TEMPLATE_FAILED, f"a prompt could not be rendered: {why}")
