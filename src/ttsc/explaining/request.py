"""What `ttsc explain` is asked, and the explanation: machines and inputs found, simulated, and run if wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttsc.estimates.closed_forms import with_closed_forms
from ttsc.estimates.estimate import INPUTS, estimate
from ttsc.estimates.fresh_inputs import changeable
from ttsc.estimates.given import stand_in_inputs
from ttsc.estimates.role_machines import role_machines
from ttsc.explaining.document import Explanation

if TYPE_CHECKING:
    from ttsc.compiler.cost.workload import Workload
    from ttsc.engines import Engines
    from ttsc.estimates.figures import Estimate
    from ttsc.externs import HostFunction
    from ttsc.machines import Costs
    from ttsc.program import CompiledProgram
    from ttsc.stores import Store


@dataclass(frozen=True)
class Request:
    """`settings`: parameters by name, which hold for all inputs; `inputs`: checked ones, which take their place. Texts
    that are required and not given are made up. `hardware`, `models`, `profiles`: by role, or "" for all others.
    `samples`: inputs to simulate; None: 64, fewer of a program that asks a lot. `analyze`: also run the inputs on
    `engine`, or, as `ttsc run` would, on one that is kept or launched.
    """

    program: CompiledProgram
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[Mapping[str, Any]] = ()
    hardware: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    profiles: Mapping[str, Path] = field(default_factory=dict)
    workload: Path | Workload | None = None
    samples: int | None = None
    concurrency: int = 1
    replicas: int = 1
    seed: int = 0
    externs: Sequence[HostFunction] = ()
    stores: Mapping[str, Store] = field(default_factory=dict)
    savings: bool = True
    analyze: bool = False
    engine: Engines = None
    on_progress: Callable[[str], None] | None = None


def explained(asked: Request) -> Explanation:
    """Blocks. Raises `UsageError` for what can't be simulated or run, `EngineError` if the engine to analyze fails."""
    workload, notes = _workload(asked)
    values, made_up = _values(asked, workload)
    program = asked.program if asked.inputs else _specialized(asked, values)
    if asked.analyze:
        from ttsc.explaining.analyzing import analyzed

        return analyzed(asked, program, values, made_up, workload, notes)
    costs, taken = role_machines(program, asked.hardware, asked.models, asked.profiles)
    found = simulated(asked, program, values, costs, workload)
    given = tuple((name, "made up" if name in made_up else text) for name, text in found.given)
    return Explanation(noted(replace(found, given=given), (*_made_up_note(made_up), *taken, *notes)))


def simulated(
    asked: Request,
    program: CompiledProgram,
    values: Sequence[Mapping[str, Any]],
    costs: Mapping[str, Costs],
    workload: Workload,
) -> Estimate:
    machines = {role: each.machine for role, each in costs.items()}
    found = estimate(
        program,
        values,
        machines,
        workload,
        inputs=asked.samples,
        seed=asked.seed,
        concurrency=asked.concurrency,
        replicas=asked.replicas,
        externs=list(asked.externs),
        stores=asked.stores,
        costs=costs,
        savings=asked.savings,
    )
    return with_closed_forms(found, program, values[0], workload, machines)


def noted(estimate: Estimate, notes: Sequence[str]) -> Estimate:
    return replace(estimate, notes=(*notes, *estimate.notes))


def _made_up_note(names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        return ()
    listed = ", ".join(names)
    return (f"made up, since not given: {listed} (--set, --inputs)",)


def _workload(asked: Request) -> tuple[Workload, tuple[str, ...]]:
    from ttsc.compiler.cost.workload import Workload
    from ttsc.compiler.cost.workload_file import default_workload
    from ttsc.workloads import read_workload

    if asked.workload is None:
        note = (
            "what models say is that of a built-in workload, not of yours:"
            " `ttsc calibrate` measures one, --workload takes it"
        )
        return default_workload(), (note,)
    return (asked.workload if isinstance(asked.workload, Workload) else read_workload(asked.workload)), ()


def _values(asked: Request, workload: Workload) -> tuple[list[Mapping[str, Any]], tuple[str, ...]]:
    if asked.inputs:
        return list(asked.inputs), ()
    made, names = stand_in_inputs(asked.program, asked.settings, workload, asked.samples or INPUTS)
    return list(made), names


def _specialized(asked: Request, values: Sequence[Mapping[str, Any]]) -> CompiledProgram:
    """The program with the settings compiled in, as `ttsc run` has it, but for texts that differ between inputs."""
    from ttsc.externs import offered
    from ttsc.inputs import may_be_known

    differ = changeable(asked.program.ir, offered(list(asked.externs)))
    held = {
        each.name: values[0][each.name]
        for each in asked.program.parameters
        if each.name in asked.settings and each.name not in differ and may_be_known(each)
    }
    return asked.program.specialize(held) if held else asked.program
