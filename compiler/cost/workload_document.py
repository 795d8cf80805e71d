"""A workload as the tables of its file: what `workload_file.py` writes and what its hash is of."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from ttsc.compiler.cost.distributions import Lengths
from ttsc.compiler.cost.workload import (
    AtTemperature,
    Confidence,
    Question,
    Revisions,
    Rewards,
    Verdicts,
    Workload,
    Writing,
)

TABLES = ("writing", "verdicts", "rewards", "revisions", "confidence")


def document_of(workload: Workload) -> dict[str, Any]:
    """Tables in the order of their names."""
    document: dict[str, Any] = {"name": workload.name, "collision": workload.collision, "samples": workload.samples}
    document["question"] = [_question(each) for each in workload.questions]
    for name in TABLES:
        table = getattr(workload, name)
        if table:
            document[name] = {key: _entry(table[key]) for key in sorted(table)}
    return document


def _question(question: Question) -> dict[str, Any]:
    found = {name: value for name, value in asdict(question).items() if value is not None}
    if question.answers:
        found["answers"] = dict(question.answers)
    else:
        del found["answers"]
    del found["by_temperature"]
    if question.by_temperature:
        found["by_temperature"] = [_at_temperature(each) for each in question.by_temperature]
    return found


def _at_temperature(row: AtTemperature) -> dict[str, Any]:
    found: dict[str, Any] = {"temperature": row.temperature, "accuracy": row.accuracy}
    return found | ({"answers": dict(row.answers)} if row.answers else {})


def _entry(entry: Writing | Verdicts | Rewards | Revisions | Confidence) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in fields(entry):
        value = getattr(entry, each.name)
        match value:
            case None | ():
                continue
            case Lengths(values=values):
                same = values[0] == values[-1]
                found[each.name] = {"constant": values[0]} if same else {"values": list(values)}
            case tuple():
                found[each.name] = [list(row) for row in value]
            case _:
                found[each.name] = value
    return found
