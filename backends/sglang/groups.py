"""Groups of models: a folder whose subfolders are models, started and used together. The test bed is one by name.

A role of a program is served by the model of its name. `roles.toml` in the group's folder says which model serves a
role that has no folder: `target = "large"`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from ttsc.backends.protocol import ModelNotFound

TESTBED = "testbed"
"""The models of benchmarks/testbed, in a checkout: the group, and before a `/` one of its models."""
ROLES_FILE = "roles.toml"

_CHECKOUT = Path(__file__).resolve().parents[2]


def group_folder(name: str) -> Path | None:
    """The folder of a group: of the test bed, or one that holds models in subfolders; None for any other name.

    Raises `ModelNotFound` for the test bed where ttsc is installed without it.
    """
    if name == TESTBED:
        return _testbed()
    folder = Path(name).expanduser()
    if folder.is_dir() and not _is_model(folder) and models_in(folder):
        return folder
    return None


def models_in(folder: Path) -> dict[str, Path]:
    """The models of a group's folder by name."""
    return {each.name: each for each in sorted(folder.iterdir()) if _is_model(each)}


def model_folder(name: str) -> Path | None:
    """The folder of `testbed/NAME`; None for any other name. Raises `ModelNotFound` if there is none."""
    group, slash, model = name.partition("/")
    if group != TESTBED or not slash or Path(name).is_dir():
        return None
    known = models_in(_testbed())
    if model not in known:
        raise ModelNotFound(f"the test bed has no model '{model}'", f"it has: {', '.join(known)}")
    return known[model]


def model_for_role(folder: Path, role: str) -> Path | None:
    """The model of a group that serves a role: the one of its name, or the one that `roles.toml` says.

    Raises `ModelNotFound` where `roles.toml` can't be read, or names a model that isn't there.
    """
    known = models_in(folder)
    if role in known:
        return known[role]
    file = folder / ROLES_FILE
    if not file.is_file():
        return None
    try:
        named = tomllib.loads(file.read_text(encoding="utf-8")).get(role)
    except (OSError, ValueError) as error:
        raise ModelNotFound(f"'{file}' can't be read: {error}", 'a line is: target = "large"') from error
    if named is not None and named not in known:
        raise ModelNotFound(f"'{file}' names a model that isn't there: {named}", f"there are: {', '.join(known)}")
    return None if named is None else known[named]


def _testbed() -> Path:
    folder = _CHECKOUT / "benchmarks" / "testbed" / "models"
    if not folder.is_dir():
        raise ModelNotFound("the test bed is not installed: it is part of ttsc's source", "run it in a checkout")
    return folder


def _is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file()
