"""`engine="testbed"`: every model role of a program on the kept engine of a group's model, by the role's name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ttsc.backends.protocol import EngineUnavailable
from ttsc.backends.sglang.groups import group_folder, model_folder, model_for_role, models_in
from ttsc.engines import EngineHandle
from ttsc.errors import Problem, UsageError


def is_group(engine: str) -> bool:
    """Whether this names a group of models, not one engine. Raises `ModelNotFound` for a test bed that isn't here."""
    return "://" not in engine and group_folder(engine) is not None


def group_engines(group: str, roles: Iterable[str], models: Mapping[str, str]) -> dict[str, EngineHandle]:
    """The kept engine of each role: of the role's model in `models`, else of the group's model of its name.

    Blocks: asks engines whether they answer. Raises `UsageError` (E0510) for a role that the group has no model for,
    `EngineUnavailable` for a model that no kept engine serves.
    """
    folder = group_folder(group)
    assert folder is not None
    missing: list[Problem] = []
    found: dict[str, EngineHandle] = {}
    for role in roles:
        model = models.get(role) or _named(group, model_for_role(folder, role))
        if model is None:
            there = ", ".join(models_in(folder))
            hint = f"say which: --model {role}={group}/NAME, or models={{'{role}': '{group}/NAME'}}; it has: {there}"
            missing.append(Problem("E0510", f"'{group}' has no model of the name of the role '{role}'", hint))
        else:
            found[role] = kept_engine(model)
    if missing:
        raise UsageError(*missing)
    return found


def kept_engine(model: str) -> EngineHandle:
    """The kept engine of a model. Raises `EngineUnavailable` where none runs."""
    from ttsc.backends.sglang.kept import find_running

    record = find_running(model)
    if record is None:
        raise EngineUnavailable(f"no kept engine serves '{model}'", f"`ttsc engine start {model}` starts one")
    return EngineHandle(record=record)


def is_kept_name(engine: str) -> bool:
    """Whether this is a model of the test bed, not an engine's URL."""
    return "://" not in engine and model_folder(engine) is not None


def _named(group: str, folder: Path | None) -> str | None:
    """A model as one would write it."""
    return None if folder is None else f"{group.rstrip('/')}/{folder.name}"
