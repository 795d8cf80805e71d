"""Which machine each model role of a program is taken to run on, from what the caller names and the program says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ttsc.errors import Problem, UsageError, did_you_mean
from ttsc.machines import DEFAULT_HARDWARE, DEFAULT_MODEL, Costs, costs_for

if TYPE_CHECKING:
    from ttsc.program import CompiledProgram


def role_machines(
    program: CompiledProgram,
    hardware: Mapping[str, str],
    models: Mapping[str, str],
    profiles: Mapping[str, Path],
) -> tuple[dict[str, Costs], tuple[str, ...]]:
    """By role; each mapping has roles, or "" for all others. A model that the program names is taken if its shape is
    known. The second: what was taken without anybody saying so. Raises `UsageError` as `costs_for`, and E0510 for a
    role that the program doesn't have.
    """
    roles = program.models
    for name in dict.fromkeys((*hardware, *models, *profiles)):
        if name and name not in roles:
            hint = did_you_mean(name, roles, f"its roles: {', '.join(roles)}" if roles else "it asks no model")
            raise UsageError(Problem("E0510", f"'{program.name}' has no model role '{name}'", hint))
    found: dict[str, Costs] = {}
    known: dict[tuple[object, ...], Costs] = {}
    apart = _scoring_roles(program)

    def costs(role: str, device: str | None, model: str | None, profile: Path | None) -> Costs:
        """Roles of one model share an engine, as when the program runs; a reward model has one of its own."""
        key = (device, model, profile, role if role in apart else "")
        if key not in known:
            known[key] = costs_for(device, model, profile)
        return known[key]

    notes: dict[str, None] = {}
    for role, declared in roles.items():
        named = models.get(role, models.get(""))
        device = hardware.get(role, hardware.get(""))
        profile = profiles.get(role, profiles.get(""))
        if named is None and declared is not None and profile is None:
            try:
                found[role] = costs(role, device, declared, None)
            except UsageError as error:
                if error.problems[0].code != "E0531":
                    raise
                notes[f"the shape of '{declared}' is not known: {DEFAULT_MODEL} stands for it (--model)"] = None
        if role not in found:
            found[role] = costs(role, device, named, profile)
        if profile is None and (device is None or (named is None and declared is None)):
            what = [
                *([f"one {DEFAULT_HARDWARE.upper()} (--hardware)"] if device is None else []),
                *([f"the model {DEFAULT_MODEL} (--model)"] if named is None and declared is None else []),
            ]
            notes[f"taken where nothing is said: {' and '.join(what)}; an engine at hand: --profile"] = None
    return found, tuple(notes)


def _scoring_roles(program: CompiledProgram) -> frozenset[str]:
    """Roles that are asked for rewards or vectors: their models generate nothing."""
    return frozenset(each.role for each in program.plan.requests if each.kind in ("reward", "embed"))


def by_role(given: tuple[str, ...]) -> dict[str, str]:
    """`NAME` for all roles, under "", or `ROLE=NAME` for one. Raises `UsageError` (E0510) for what is given twice."""
    found: dict[str, str] = {}
    for item in given:
        role, equals, name = item.partition("=")
        key, value = (role, name) if equals else ("", item)
        if key in found or not value:
            what = f"'{item}' names nothing" if not value else f"'{item}' is said of what '{found[key]}' is said of"
            raise UsageError(Problem("E0510", what, "write NAME for every role, ROLE=NAME for one"))
        found[key] = value
    return found
