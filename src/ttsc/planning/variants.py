"""What a plan chooses among besides values of parameters: programs of one signature, and models for roles.

Each combination is searched by itself: its program has its own tunables, its models their machines and workloads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttsc.errors import Problem, UsageError, did_you_mean
from ttsc.estimates.role_machines import role_machines

if TYPE_CHECKING:
    from ttsc.compiler.cost.workload import Workload
    from ttsc.machines import Costs
    from ttsc.program import CompiledProgram


@dataclass(frozen=True)
class Variant:
    """models: by role, what was chosen of several or given; the others are what the program or a default says."""

    program: CompiledProgram
    models: Mapping[str, str]
    costs: Mapping[str, Costs]
    workload: Workload
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return ", ".join([self.program.name, *(f"{role}={name}" for role, name in self.models.items())])


def variants(
    programs: Sequence[CompiledProgram],
    hardware: Mapping[str, str],
    models: Mapping[str, Sequence[str]],
    profiles: Mapping[str, Path],
    workloads: Mapping[str, Workload],
) -> Iterator[Variant]:
    """Every combination. `models`: names to choose among, by role, or "" for all roles together. `workloads`: by model,
    "" for those of no workload of their own. Raises `UsageError` as `role_machines` does, and E0576 for a workload of a
    model that is not among those.
    """
    named = {name for names in models.values() for name in names}
    for name in workloads:
        if name and name not in named:
            hint = did_you_mean(
                name, named, f"the models: {', '.join(sorted(named))}" if named else "name it by --model"
            )
            raise UsageError(Problem("E0576", f"--workload {name}=… is for a model that no role may have", hint))
    for program in programs:
        own = {role: names for role, names in models.items() if not role or role in program.models}
        for chosen in product(*own.values()):
            by_role = dict(zip(own, chosen, strict=True))
            costs, notes = role_machines(program, hardware, by_role, profiles)
            roles = {role: by_role.get(role, by_role.get("", "")) for role in program.models}
            given = {role: name for role, name in roles.items() if name}
            yield Variant(program, given, costs, _workload(program, roles, workloads), notes)


def same_signature(programs: Sequence[CompiledProgram]) -> None:
    """Refuse (E0575) alternatives that don't take the same inputs, or give something else."""
    first = programs[0]
    for other in programs[1:]:
        if _signature(other) != _signature(first):
            message = f"'{other.name}' is no alternative to '{first.name}': {_said(other)}, not {_said(first)}"
            raise UsageError(Problem("E0575", message, "programs to choose among take the same required parameters"))


def _signature(program: CompiledProgram) -> tuple[Any, ...]:
    return tuple((each.name, each.value.type) for each in program.parameters if each.required)


def _said(program: CompiledProgram) -> str:
    taken = ", ".join(f"{name}: {kind}" for name, kind in _signature(program))
    return f"it takes ({taken})"


def _workload(program: CompiledProgram, roles: Mapping[str, str], workloads: Mapping[str, Workload]) -> Workload:
    """Questions and texts as the model of the first role that writes says, and of each other role what its own says."""
    from ttsc.compiler.cost.workload import of_kind

    writers = [each.role for each in program.plan.requests if each.kind == "generate"]
    first = writers[0] if writers else next(iter(roles), "")
    base = workloads.get(roles.get(first, ""), workloads[""] if "" in workloads else next(iter(workloads.values())))
    writing, verdicts, rewards = dict(base.writing), dict(base.verdicts), dict(base.rewards)
    for role, model in roles.items():
        if role == first or model not in workloads or not model:
            continue
        own = workloads[model]
        for op in ("sample", "branch", "refine", "judge"):
            written = of_kind(own.writing, "", op, role)
            if written is not None:
                writing[f"{op}:{role}"] = written
        for op in ("judge", "reward"):
            verdict, reward = of_kind(own.verdicts, "", op, role), of_kind(own.rewards, "", op, role)
            if verdict is not None:
                verdicts[f"{op}:{role}"] = verdict
            if reward is not None:
                rewards[f"{op}:{role}"] = reward
    return replace(base, writing=writing, verdicts=verdicts, rewards=rewards)
