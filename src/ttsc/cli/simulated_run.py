"""`ttsc run --engine simulator`: the engines it runs on, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ttsc.backends.simulator.engine import SimulatedEngine
    from ttsc.cli.run_options import Asked
    from ttsc.program import CompiledProgram

SIMULATOR = "simulator"


def simulator_asked(asked: Asked) -> bool:
    """Whether `--engine simulator` was given. Raises `click.UsageError` for options that don't go with the engine."""
    if any(item.partition("=")[2] == SIMULATOR for item in asked.engines):
        raise click.UsageError("the simulator serves every model role: write --engine simulator, once")
    if SIMULATOR in asked.engines:
        if len(asked.engines) > 1:
            raise click.UsageError("--engine simulator stands alone: simulated and real time don't mix")
        return True
    given = {
        "--workload": asked.workload is not None,
        "--profile": bool(asked.profiles),
        "--replicas": asked.replicas is not None,
    }
    for option, there in given.items():
        if there:
            raise click.UsageError(f"{option} describes a simulated engine: it goes with --engine simulator")
    return False


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a simulated run runs on, and lines that say so. `engines`: by model role. `externs`: all that the program
    declares, stand-ins for those that were not given.
    """

    engines: dict[str, SimulatedEngine]
    externs: dict[str, Callable[..., Any]]
    said: tuple[str, ...]


def simulated(
    asked: Asked, program: CompiledProgram, externs: Sequence[Callable[..., Any]], inputs: Sequence[Mapping[str, Any]]
) -> Simulation:
    """Raises `UsageError` for names that stand for nothing."""
    from ttsc.estimates.engines import functions_of
    from ttsc.estimates.role_machines import by_role, role_machines
    from ttsc.externs import offered
    from ttsc.simulation import simulated_engines, workload_of

    profiles = {role: Path(path) for role, path in by_role(asked.profiles).items()}
    costs, notes = role_machines(program, by_role(asked.hardware), by_role(asked.models), profiles)
    workload = workload_of(asked.workload)
    machines = {role: each.machine for role, each in costs.items()}
    parameters = {role: None if each.shape is None else each.shape.layer_parameters for role, each in costs.items()}
    replicas = 1 if asked.replicas is None else asked.replicas
    engines = simulated_engines(machines, workload, seed=asked.seed, replicas=replicas, parameters=parameters)
    functions = functions_of(program, externs, workload, inputs, asked.seed)
    servers = f", {replicas} servers behind a router" if replicas > 1 else ""
    sources = dict.fromkeys(machine.source or machine.name for machine in machines.values())
    said = [f"simulated the workload {workload.name}; {source}{servers}" for source in sources]
    absent = [name for name in functions if name not in offered(externs)]
    said += [f"simulated stand-ins for the externs {', '.join(absent)}"] if absent else []
    return Simulation(engines, functions, (*said, *(f"simulated {note}" for note in notes)))
