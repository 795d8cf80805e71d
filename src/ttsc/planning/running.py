"""Running a plan: whether it still fits, and its settings for each input."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttsc.compiler.ir.nodes import Select
from ttsc.compiler.ir.rewrite import walk
from ttsc.errors import InputError, Problem, UsageError
from ttsc.inputs import constants
from ttsc.planning.plan_file import ByDifficulty, Plan, file_hash, program_hash
from ttsc.runtime.events import Decided, Event, RunResult

if TYPE_CHECKING:
    from ttsc.backends.protocol import Engine
    from ttsc.program import CompiledProgram

RunOnce = Callable[[Mapping[str, Any], Callable[[Event], None]], Awaitable[RunResult]]
"""Runs one input with these values; the second is told of its events."""


def check_program(plan: Plan, program: CompiledProgram) -> None:
    """Of a plan by difficulty: raises `UsageError`, E0584 if the program has a budget or not the plan's vote, and
    `InputError` for settings that it can't have.
    """
    if plan.by_difficulty is None:
        return
    for setting in (plan.by_difficulty.probe, *(row.setting for row in plan.by_difficulty.rows)):
        names = [each.name for each in program.parameters]
        unknown = [name for name in setting if name not in names]
        if unknown:
            raise InputError(Problem("E0502", f"unknown parameter '{unknown[0]}'", f"it takes {', '.join(names)}"))
        constants(program.parameters, setting)
    votes = {node.result.id for node in walk(program.ir.body) if isinstance(node, Select) and node.op == "vote"}
    if plan.by_difficulty.node not in votes:
        message = f"'{program.name}' has no vote '{plan.by_difficulty.node}', whose agreement the plan goes by"
        raise UsageError(Problem("E0584", message, "make the plan again with `ttsc plan --by-difficulty`"))
    if program.ir.budget:
        message = f"a plan by difficulty runs an input up to twice, and '{program.name}' has a budget for one run"
        raise UsageError(
            Problem("E0584", message, "take by_difficulty out of the plan, or the budget out of the program")
        )


def check_unchanged(plan: Plan, program: CompiledProgram) -> None:
    """Raises `UsageError` (E0583) if it is not the program that the plan was made for."""
    if program_hash(program) != plan.program_hash:
        raise UsageError(_stale(f"the program '{plan.program}' in {plan.file} has changed since the plan was made"))


def check_files(plan: Plan, folder: Path) -> None:
    """Raises `UsageError` (E0583) for a workload or a profile that has changed. One that isn't there any more says
    nothing.
    """
    problems = list(_changed(plan, folder))
    if problems:
        raise UsageError(*problems)


def check_engines(plan: Plan, engines: Mapping[str, Engine]) -> None:
    """Raises `UsageError` (E0583) for engines with other models, or on other hardware, than the plan was made for."""
    problems = []
    for role, engine in engines.items():
        planned, served = plan.models.get(role), engine.info.model
        if planned is not None and _plain(planned) != _plain(served):
            problems.append(
                _stale(f"{role} is served by {_plain(served)}, and the plan was made for {_plain(planned)}")
            )
        machine = plan.machines.get(role)
        device = None if role in plan.profiles else _hardware(engine)
        if machine is not None and device is not None and device != machine:
            problems.append(_stale(f"{role} is served on {device}, and the plan was made for {machine}"))
    if problems:
        raise UsageError(*problems)


async def run_by_difficulty(table: ByDifficulty, values: Mapping[str, Any], run: RunOnce) -> RunResult:
    """The probe, then, unless its own answer stands, the program with the setting of its row. The usage is of both."""
    from ttsc.runtime.usage import total

    agreed: list[float] = []

    def listen(event: Event) -> None:
        if isinstance(event, Decided) and event.node == table.node:
            votes = [count for _, count in event.tally]
            agreed.append(max(votes, default=0.0) / max(1, event.arrived + event.outstanding))

    first = await run({**values, **table.probe}, listen)
    if first.error is not None or first.cut or not agreed:
        return first
    setting: Mapping[str, Any] = {}
    for row in table.rows:
        if agreed[-1] >= row.agreement - 1e-9:
            setting = row.setting
    if not setting:
        return first
    second = await run({**values, **setting}, lambda event: None)
    return replace(second, usage=total([first.usage, second.usage]), duration_s=first.duration_s + second.duration_s)


def _changed(plan: Plan, folder: Path) -> Iterator[Problem]:
    from ttsc.workloads import read_workload

    for name, digest in plan.workloads.items():
        path = folder / name
        if name and path.is_file() and read_workload(path).hash != digest:
            yield _stale(f"the workload {name} says other things than when the plan was made")
    for role, profile in plan.profiles.items():
        path = folder / profile.get("file", "")
        if path.is_file() and file_hash(path) != profile.get("sha256"):
            yield _stale(f"the profile {profile['file']} of {role} is another one than when the plan was made")


def _hardware(engine: Engine) -> str | None:
    """The hardware of an engine, by the name that a plan would have for it; None if unknown."""
    from ttsc.machines import costs_of_engine

    if engine.info.simulated:
        return engine.info.device or None
    found = costs_of_engine(engine.info)
    return None if found is None else found.machine.name


def _plain(model: str) -> str:
    """A model's name without its folder or owner."""
    return model.rstrip("/").rsplit("/", 1)[-1].lower()


def _stale(message: str) -> Problem:
    return Problem("E0583", message, "make the plan again with `ttsc plan`, or run it as it is with --force")
