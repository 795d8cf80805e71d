"""Inputs for a simulation where none are given: values that fit the parameters, texts as long as the workload's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ttsc.compiler.cost.workload import Workload
from ttsc.compiler.ir.nodes import Parameter
from ttsc.compiler.values.types import Interval, ListOf, OptionalOf, PairOf, RecordType, Scalar, Type
from ttsc.errors import Problem, UsageError

if TYPE_CHECKING:
    from ttsc.program import CompiledProgram

TEXT_TOKENS = 40
"""Words of a text whose length the workload does not tell."""
LIST_ITEMS = 3
_FILLERS = ("the", "of", "and", "to", "in", "is", "that", "for", "it", "as", "was", "with", "on", "by")


def stand_in_inputs(
    program: CompiledProgram, given: Mapping[str, Any], workload: Workload, inputs: int
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Checked inputs with `given` values, and for required parameters that it leaves out values made up here, other
    ones for each input. The second is the names of those. Raises `InputError`, and `UsageError` (E0565) for a type of
    which no value can be made up.
    """
    missing = [each for each in program.parameters if each.required and each.name not in given]
    if not missing:
        return [program.check_input(given)], ()
    made = [
        program.check_input(dict(given) | {each.name: _value(each, missing, workload, number) for each in missing})
        for number in range(inputs)
    ]
    return made, tuple(each.name for each in missing)


def _value(parameter: Parameter, missing: list[Parameter], workload: Workload, number: int) -> Any:
    tunable = parameter.tunable
    if isinstance(tunable, Interval):
        return tunable.low
    if tunable:
        return tunable[0]
    texts = [each for each in missing if each.value.type == Scalar("str")]
    known = workload.question(number).prompt_tokens
    words = TEXT_TOKENS if known is None or not texts or texts[0] is not parameter else known
    return _of_type(parameter.value.type, parameter.name, words, number)


def _of_type(kind: Type, name: str, words: int, number: int) -> Any:
    match kind:
        case Scalar("str"):
            return _text(name, words, number)
        case Scalar("int"):
            return 1
        case Scalar("float"):
            return 1.0
        case Scalar("bool"):
            return True
        case OptionalOf(item):
            return _of_type(item, name, words, number)
        case ListOf(item, limit=limit):
            count = LIST_ITEMS if limit is None else min(limit, LIST_ITEMS)
            return [_of_type(item, f"{name} {place}", words, number) for place in range(1, count + 1)]
        case RecordType(fields=fields, allowed=allowed):
            choices = dict(allowed)
            return {field: _of_field(choices.get(field), kind, field, words, number) for field, kind in fields}
        case Scalar("Image"):
            what = "a picture"
        case PairOf():
            what = "a pair"
        case _:
            what = f"a {kind}"
    message = f"the parameter '{name}' is {what}, of which no value can be made up"
    raise UsageError(Problem("E0565", message, f"give one: `--set {name}=…`, or `--inputs FILE.jsonl`"))


def _of_field(allowed: object, kind: Type, name: str, words: int, number: int) -> Any:
    if isinstance(allowed, Interval):
        return allowed.low
    if isinstance(allowed, tuple) and allowed:
        return allowed[0]
    return _of_type(kind, name, words, number)


def _text(name: str, words: int, number: int) -> str:
    """Of so many words, beginning in its own way for each input: they share no more than questions do."""
    parts = [f"{number + 1}.", *name.replace("_", " ").split()]
    turn = number
    while len(parts) < words:
        turn = (turn * 31 + 7) % 9973
        parts.append(_FILLERS[turn % len(_FILLERS)])
    return " ".join(parts[: max(1, words)])
