"""A program's value as its caller gets it: data, whatever the program had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ttsc.backends.protocol import IMAGE
from ttsc.compiler.values.types import CONTEXT, ListOf, OptionalOf, PairOf, RecordType, Type
from ttsc.runtime.values import CandidateValue, as_candidate, plain


def result_of(value: object, declared: Type) -> Any:
    """As `plain`; pairs as lists of two, a context as the turns of its conversation."""
    match declared:
        case PairOf(first, second) if isinstance(value, Mapping):
            return [result_of(value["first"], first), result_of(value["second"], second)]
        case ListOf(item) if isinstance(value, list | tuple):
            return [result_of(each, item) for each in value]
        case OptionalOf(item) if value is not None:
            return result_of(value, item)
        case RecordType(fields=declared_fields) if isinstance(value, Mapping):
            kinds = dict(declared_fields)
            return {
                name: result_of(each, kinds[name]) if name in kinds else plain(each) for name, each in value.items()
            }
    if declared == CONTEXT and value is not None:
        return conversation(as_candidate(value))
    return plain(value)


def conversation(candidate: CandidateValue) -> list[dict[str, str]]:
    """Role and text of each turn, oldest first, those that a model generated among them; `(image)` for a picture."""
    turns: list[dict[str, str]] = []
    at: CandidateValue | None = candidate
    while at is not None:
        if at.ids or at.text:
            turns.append({"role": "assistant", "text": at.text})
        turns += [
            {"role": turn.role, "text": turn.text.replace(IMAGE, "(image)")} for turn in reversed(at.context.turns)
        ]
        at = at.context.base
    return turns[::-1]
