"""The plan as a file: JSON that people read, edit and compare, with hashes of what it was made from.

A setting may be edited by hand. The hashes are of the program as the compiler sees it (comments don't count), of the
names of the models, the hardware or its measured profile, and what the workload says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttsc.errors import Problem, UsageError

if TYPE_CHECKING:
    from ttsc.program import CompiledProgram

FORMAT = 1
KIND = "ttsc plan"


@dataclass(frozen=True)
class Row:
    """A setting for inputs of whose first samples at least this share agree."""

    agreement: float
    setting: Mapping[str, Any]


@dataclass(frozen=True)
class ByDifficulty:
    """`probe`: the setting that tells the difficulty. `node`: of the vote. rows: ascending by agreement; a row without
    a setting takes the probe's own answer.
    """

    probe: Mapping[str, Any]
    node: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Plan:
    """file: of the program, as it is reached from the plan's folder. models, machines, profiles: by role. workloads:
    hash by file, "" for the built-in one. disabled, enabled: passes.
    """

    file: str
    program: str
    level: int
    setting: Mapping[str, Any]
    models: Mapping[str, str]
    machines: Mapping[str, str]
    profiles: Mapping[str, Mapping[str, str]]
    workloads: Mapping[str, str]
    program_hash: str
    by_difficulty: ByDifficulty | None = None
    disabled: tuple[str, ...] = ()
    enabled: tuple[str, ...] = ()
    task: str | None = None
    """What stands in for `std.task`, as it is reached from the plan's folder."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """What was expected, for people: nothing of it is read."""


def program_hash(program: CompiledProgram) -> str:
    """SHA-256 of the program as the compiler sees it, modules and prompts included, before any pass."""
    from ttsc.compiler.ir.printer import print_program

    return sha256(print_program(program.compiled.built).encode()).hexdigest()


def file_hash(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def plan_text(plan: Plan) -> str:
    """JSON with sorted keys: two plans can be compared line by line."""
    table = plan.by_difficulty
    data: dict[str, Any] = {
        "kind": KIND,
        "format": FORMAT,
        "file": plan.file,
        "program": plan.program,
        "level": plan.level,
        "disabled": list(plan.disabled),
        "enabled": list(plan.enabled),
        "setting": dict(plan.setting),
        "models": dict(plan.models),
        "made_for": {
            "program": plan.program_hash,
            "machines": dict(plan.machines),
            "profiles": {role: dict(each) for role, each in plan.profiles.items()},
            "workloads": dict(plan.workloads),
        },
        "report": plan.report,
    }
    if plan.task is not None:
        data["task"] = plan.task
    if table is not None:
        data["by_difficulty"] = {
            "probe": dict(table.probe),
            "node": table.node,
            "rows": [{"agreement_from": each.agreement, "setting": dict(each.setting)} for each in table.rows],
        }
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write_plan(plan: Plan, path: Path) -> None:
    """Raises `UsageError` (E0579) if it can't be written."""
    try:
        path.write_text(plan_text(plan), encoding="utf-8")
    except OSError as error:
        problem = Problem("E0579", f"the plan can't be written to {path}: {error.strerror}", "name another file by -o")
        raise UsageError(problem) from None


def read_plan(path: Path) -> Plan:
    """Raises `UsageError` (E0580) for a file that is no plan, with the place in it."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unreadable(path, error.strerror or "it can't be read") from None
    except UnicodeDecodeError:
        raise _unreadable(path, "it is not UTF-8 text") from None
    except ValueError as error:
        raise _unreadable(path, f"it is not JSON: {error}") from None
    if not isinstance(data, dict) or data.get("kind") != KIND:
        raise _unreadable(path, f'it is no plan: "kind" is not "{KIND}"')
    if data.get("format") != FORMAT:
        raise _unreadable(path, f"its format is {data.get('format')!r}, and this ttsc reads {FORMAT}")
    try:
        made_for = _object(data, "made_for")
        table = data.get("by_difficulty")
        return Plan(
            file=_text(data, "file"),
            program=_text(data, "program"),
            level=_level(data),
            setting=_object(data, "setting"),
            models=_texts(data, "models"),
            machines=_texts(made_for, "machines"),
            profiles={role: _texts(made_for["profiles"], role) for role in _object(made_for, "profiles")},
            workloads=_texts(made_for, "workloads"),
            program_hash=_text(made_for, "program"),
            by_difficulty=None if table is None else _table(table),
            disabled=_names(data, "disabled"),
            enabled=_names(data, "enabled"),
            task=_text(data, "task") if "task" in data else None,
            report=data.get("report", {}),
        )
    except _Wrong as wrong:
        raise _unreadable(path, str(wrong)) from None


class _Wrong(Exception):
    """What is wrong with a plan, and where."""


def _table(data: Any) -> ByDifficulty:
    if not isinstance(data, dict):
        raise _Wrong('"by_difficulty" is no object')
    rows = data.get("rows")
    if not isinstance(rows, list) or not rows:
        raise _Wrong('"by_difficulty.rows" is no list of rows')
    found = []
    for number, row in enumerate(rows):
        share = row.get("agreement_from") if isinstance(row, dict) else None
        if not isinstance(share, int | float) or isinstance(share, bool) or not 0 <= share <= 1:
            raise _Wrong(f'"by_difficulty.rows[{number}].agreement_from" is no share from 0 to 1')
        found.append(Row(float(share), _object(row, "setting")))
    if [each.agreement for each in found] != sorted({each.agreement for each in found}) or found[0].agreement != 0:
        raise _Wrong('"by_difficulty.rows" do not ascend from an agreement of 0')
    return ByDifficulty(_object(data, "probe"), _text(data, "node"), tuple(found))


def _level(data: Mapping[str, Any]) -> int:
    level = data.get("level")
    if level not in (0, 1, 2) or isinstance(level, bool):
        raise _Wrong('"level" is not 0, 1 or 2')
    assert isinstance(level, int)
    return level


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str):
        raise _Wrong(f'"{name}" is no text')
    return value


def _names(data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = data.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _Wrong(f'"{name}" is no list of names')
    return tuple(value)


def _object(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = data.get(name)
    if not isinstance(value, dict):
        raise _Wrong(f'"{name}" is no object')
    return value


def _texts(data: Mapping[str, Any], name: str) -> dict[str, str]:
    value = _object(data, name)
    for key, each in value.items():
        if not isinstance(each, str):
            raise _Wrong(f'"{name}.{key}" is no text')
    return value


def _unreadable(path: Path, why: str) -> UsageError:
    return UsageError(
        Problem("E0580", f"{path} is not a plan that can be run: {why}", "`ttsc plan FILE -o plan.json` makes one")
    )
