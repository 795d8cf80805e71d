"""The simulated engines of an estimate, and what they tell besides events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ttsc.compiler.cost.steps import Machine
    from ttsc.compiler.cost.workload import Workload
    from ttsc.estimates.simulating import Ran
    from ttsc.externs import Externs
    from ttsc.program import CompiledProgram


def engines_of(
    program: CompiledProgram, machines: Mapping[str, Machine], workload: Workload, *, seed: int, replicas: int
) -> Mapping[str, Any]:
    from ttsc.backends.scripted import ScriptedEngine

    engine = ScriptedEngine({".*": [f"{'word ' * n}Answer: {n % 3}" for n in range(20, 60, 7)]}, step_s=0.01)
    return {role: engine for role in program.models}


def stand_ins_for(program: CompiledProgram, externs: Externs | None) -> Externs | None:
    return externs


def judge_of(workload: Workload, ran: Ran) -> Sequence[float | None]:
    return ()


def kv_peak(engine: Any) -> int | None:
    return None
