"""The file of a plan that was made: where its program is from there, and the hashes of what it was made from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ttsc.errors import Problem, UsageError
from ttsc.library import PREFIX
from ttsc.planning.plan_file import ByDifficulty, Plan, Row, file_hash, program_hash
from ttsc.planning.planner import Planned
from ttsc.planning.show import report_of


def plan_of(planned: Planned, out: Path, advice: Sequence[str] = ()) -> Plan:
    """Raises `UsageError` (E0579) for a program that is from no file."""
    variant, asked = planned.best.variant, planned.asked
    profiles, workloads = asked.profiles, asked.workload_files
    file = variant.program.compiled.source.path
    if not file.startswith(PREFIX) and not Path(file).is_file():
        hint = "compile it from a file, so that the plan can name it"
        raise UsageError(Problem("E0579", f"the program '{variant.program.name}' is from no file", hint))
    task = variant.program.compiled.library.task
    if task is not None and not task.path.startswith(PREFIX) and not Path(task.path).is_file():
        raise UsageError(Problem("E0579", "the program's task is from no file", "keep it in a file, and give its name"))
    folder = out.absolute().parent
    table = planned.table
    by_difficulty = None
    if table is not None:
        rows = tuple(Row(each.agreement, each.setting) for each in table.rows)
        by_difficulty = ByDifficulty(table.probe, table.node, rows)
    used = {role: path for role in variant.costs for path in [profiles.get(role, profiles.get(""))] if path is not None}
    hashed = {_from(path, folder): each.hash for model, path in workloads.items() for each in [asked.workloads[model]]}
    if "" not in workloads:
        hashed[""] = asked.workloads[""].hash if "" in asked.workloads else ""
    program = variant.program
    return Plan(
        file=_named(file, folder),
        task=None if task is None else _named(task.path, folder),
        program=program.name,
        level=program.plan.level,
        setting={**asked.settings, **planned.best.setting},
        models={role: variant.models.get(role, each.machine.model) for role, each in variant.costs.items()},
        machines={role: each.machine.name for role, each in variant.costs.items()},
        profiles={role: {"file": _from(path, folder), "sha256": file_hash(path)} for role, path in used.items()},
        workloads={name: digest for name, digest in hashed.items() if name or digest},
        program_hash=program_hash(program),
        disabled=program.compiled.disabled,
        enabled=program.compiled.enabled,
        by_difficulty=by_difficulty,
        report=report_of(planned, advice),
    )


def _named(file: str, folder: Path) -> str:
    """A file as the plan names it: `std:NAME` as it is."""
    return file if file.startswith(PREFIX) else _from(Path(file), folder)


def _from(path: Path, folder: Path) -> str:
    """A path as it is reached from the plan's folder."""
    return Path(os.path.relpath(path.absolute(), folder)).as_posix()
