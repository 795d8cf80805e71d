"""`ttsc run plan.json`: the command line that a plan stands for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ttsc.cli.run_options import Asked
    from ttsc.planning.plan_file import Plan

SUFFIX = ".json"


def plan_asked(asked: Asked) -> Plan | None:
    """The plan that FILE is; None if it is a program. Raises `UsageError` for one that can't be read or is stale, and
    `click.UsageError` for options that don't go with it.
    """
    if not asked.file.endswith(SUFFIX):
        if asked.force:
            raise click.UsageError("--force runs a plan that has become stale: it goes with a plan's file")
        return None
    from ttsc.planning.plan_file import read_plan
    from ttsc.planning.running import check_files

    if asked.program is not None:
        raise click.UsageError("a plan names its program: --program can't go with it")
    if asked.task is not None:
        raise click.UsageError("a plan names its task: --task can't go with it")
    path = Path(asked.file)
    plan = read_plan(path)
    if plan.by_difficulty is not None:
        given = {"--budget": asked.budget, "--journal": asked.journal, "--trace": asked.trace}
        for option, value in given.items():
            if value is not None:
                raise click.UsageError(
                    f"{option} can't go with a plan by difficulty, which runs an input up to twice;"
                    " without by_difficulty in its file the plan has one setting"
                )
    if not asked.force:
        check_files(plan, path.absolute().parent)
    return plan


def applied(asked: Asked, plan: Plan) -> Asked:
    """The command line with what the plan says, where it says nothing else itself."""
    from ttsc.library import PREFIX

    file = plan.file if plan.file.startswith(PREFIX) else str(Path(asked.file).parent / plan.file)
    task = plan.task
    if task is not None and not task.startswith(PREFIX):
        task = str(Path(asked.file).parent / task)
    table = plan.by_difficulty
    varied = set() if table is None else {*table.probe, *(name for row in table.rows for name in row.setting)}
    common = {name: value for name, value in plan.setting.items() if name not in varied}
    settings = tuple(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in common.items()
    )
    models = asked.models or tuple(f"{role}={name}" for role, name in plan.models.items())
    return replace(
        asked,
        file=file,
        program=plan.program,
        task=task,
        level=plan.level,
        disabled=(*plan.disabled, *asked.disabled),
        enabled=(*plan.enabled, *asked.enabled),
        settings=(*settings, *asked.settings),
        models=models if not asked.engines or "simulator" in asked.engines else asked.models,
    )
