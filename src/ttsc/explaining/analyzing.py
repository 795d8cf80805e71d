"""`ttsc explain --analyze`: the program run on a real engine, and the estimate of the same inputs beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttsc.estimates.analysis import analysed
from ttsc.estimates.collector import Collector
from ttsc.estimates.estimate import assembled
from ttsc.estimates.simulating import Ran, run_inputs
from ttsc.explaining.document import Explanation
from ttsc.explaining.request import Request, noted, simulated

if TYPE_CHECKING:
    from ttsc.backends.protocol import EngineInfo
    from ttsc.compiler.cost.workload import Workload
    from ttsc.engines import Engines
    from ttsc.machines import Costs
    from ttsc.program import CompiledProgram


def analyzed(
    asked: Request,
    program: CompiledProgram,
    values: Sequence[Mapping[str, Any]],
    made_up: Sequence[str],
    workload: Workload,
    notes: Sequence[str],
) -> Explanation:
    """Run the inputs, then simulate inputs like them on the machine that is named, else on the engine's own. Raises
    `InputError` (E0501) for a parameter that is required and not given: what runs should be the caller's;
    `EngineError` if an engine fails.
    """
    if made_up:
        program.check_input(asked.settings)
    ran, infos = asyncio.run(_run(asked, program, values))
    costs, taken = _costs(asked, program, infos)
    machines = {role: each.machine for role, each in costs.items()}
    found = noted(simulated(asked, program, values, costs, workload), (*taken, *notes))
    weights = tuple(1.0 for _ in ran.inputs)
    actual = assembled(
        program,
        values,
        ran,
        machines,
        workload,
        weights,
        concurrency=asked.concurrency,
        seed=asked.seed,
        costs=costs,
        bounds=False,
    )
    engines = [(role, _described(info)) for role, info in infos.items()]
    return Explanation(found, analysed(found, actual, engines, measured=bool(asked.profiles)))


async def _run(
    asked: Request, program: CompiledProgram, values: Sequence[Mapping[str, Any]]
) -> tuple[Ran, dict[str, EngineInfo]]:
    """Each role's engine is connected once, so that the first input does not pay for it."""
    from ttsc.engines import engines_for
    from ttsc.runs import pooled_roles

    roles = program.models
    models = {role: name for role, name in _models(asked, roles).items() if name is not None}
    async with AsyncExitStack() as stack:
        opened = engines_for(roles, asked.engine, models, asked.on_progress, pooled_roles(program.ir))
        engines: Engines = await stack.enter_async_context(opened)
        assert isinstance(engines, Mapping)
        ran = await run_inputs(
            program,
            values,
            engines,
            collector=Collector(),
            seed=asked.seed,
            concurrency=asked.concurrency,
            externs=list(asked.externs) or None,
            stores=asked.stores,
        )
        infos = {role: engine.info for role, engine in ran.engines.items()}
    return ran, infos


def _models(asked: Request, roles: Mapping[str, str | None]) -> dict[str, str | None]:
    """Models to launch: what `--model` says, if no engine is named."""
    return {role: asked.models.get(role, asked.models.get("")) for role in roles}


def _costs(
    asked: Request, program: CompiledProgram, infos: Mapping[str, EngineInfo]
) -> tuple[dict[str, Costs], tuple[str, ...]]:
    """The machine that is named; without one that of the engine itself, as far as it is known."""
    from ttsc.estimates.role_machines import role_machines
    from ttsc.machines import costs_of_engine

    if asked.profiles or asked.hardware:
        return role_machines(program, asked.hardware, asked.models, asked.profiles)
    own = {role: costs_of_engine(info) for role, info in infos.items()}
    unknown = [role for role, costs in own.items() if costs is None]
    if unknown:
        found, taken = role_machines(program, asked.hardware, asked.models, asked.profiles)
        return {role: own[role] or found[role] for role in found}, taken
    note = "seconds are estimated from the engine's model and hardware; `ttsc engine profile` measures them"
    return {role: costs for role, costs in own.items() if costs is not None}, (note,)


def _described(info: EngineInfo) -> str:
    device = f" on {info.device}" if info.device else ""
    return f"{Path(info.model).name}{device} ({info.name})"
