"""From the name a user gives to a model that SGLang can load.

A name is a folder, a model of the test bed (`testbed/policy`), a Hugging Face id (it contains a slash and is handed to
SGLang as it stands), or a built-in model, which is fetched and converted on first use.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ttsc.backends.sglang.groups import model_folder

Progress = Callable[[str], None]


class ModelError(Exception):
    """A model cannot be used; `hint` says what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}"


class ModelNotFound(ModelError):
    """The name stands for no model."""


class ModelFetchError(ModelError):
    """A built-in model could not be downloaded, or what arrived is not what was pinned."""


class EngineMissing(ModelError):
    """The packages that convert or serve the model are not installed."""


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model SGLang can be started with."""

    name: str
    """What the user asked for, without decoration: the built-in name, the id, or the folder's name."""
    path: str
    """Folder or Hugging Face id, for SGLang's `--model-path`."""


def builtin_names() -> tuple[str, ...]:
    """The models that need neither a folder nor a hub."""
    from ttsc.backends.sglang.builtin_model import BUILTIN_MODELS

    return tuple(BUILTIN_MODELS)


def resolve_model(name: str, *, progress: Progress | None = None) -> ResolvedModel:
    """Turn a name into something SGLang can load; fetches and converts a built-in model that is not cached yet.

    Raises `ModelNotFound` (the protocol's for a model of the test bed) for a name that stands for nothing,
    `ModelFetchError` or `EngineMissing` if a built-in model cannot be made ready.
    """
    from ttsc.backends.sglang.builtin_model import BUILTIN_MODELS, ensure_builtin

    if name in BUILTIN_MODELS:
        return ResolvedModel(name, str(ensure_builtin(BUILTIN_MODELS[name], progress=progress)))
    folder = model_folder(name) or Path(name).expanduser()
    if folder.is_dir():
        return _resolve_folder(folder)
    if "/" in name and not name.startswith((".", "/", "~")):
        return _resolve_hub_id(name)
    raise ModelNotFound(f"no model named '{name}'", _suggestion(name))


def _resolve_folder(folder: Path) -> ResolvedModel:
    if not (folder / "config.json").is_file():
        raise ModelNotFound(
            f"the folder '{folder}' holds no model", "a model folder has a config.json beside its weights and tokenizer"
        )
    resolved = folder.resolve()
    return ResolvedModel(resolved.name, str(resolved))


def _resolve_hub_id(name: str) -> ResolvedModel:
    owner, _, model = name.partition("/")
    if not owner or not model or "/" in model or any(char.isspace() for char in name):
        raise ModelNotFound(f"'{name}' is neither a folder nor an id of the form owner/name", _suggestion(name))
    return ResolvedModel(name, name)


def _suggestion(name: str) -> str:
    known = builtin_names()
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"give a folder, an id like owner/name, or one of: {', '.join(known)}"
