"""Inert stand-ins for packages that SGLang imports at start and a CPU never runs.

SGLang imports `triton` (a GPU compiler, hundreds of megabytes), `torchvision` (its wheels for CUDA builds of torch
fail to load beside a CPU-only torch) and `IPython` (notebooks) when its modules load: decorators, type annotations,
base classes. Nothing of them is called on a text model served from the CPU. A package that really is installed is
left alone.

A stand-in answers every import and attribute below its name, passes decorated functions through, and raises as soon as
anything else is called: work that silently did nothing would be worse than none.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

STAND_INS = ("triton", "torchvision", "IPython", "soundfile")


class _InertBase:
    """Base of every class a stand-in hands out: can be subclassed, used in isinstance(), and made
    (`triton.Config({...})`)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()


class _Constexpr(_InertBase):
    """`triton.language.constexpr`: modules wrap their constants in it when they load."""

    def __init__(self, value: Any = None) -> None:
        super().__init__()
        self.value = value


class InertModule(ModuleType):
    """A module whose attributes are inert modules, or inert classes where the name is capitalised."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self.__spec__ = ModuleSpec(name, _FINDER, is_package=True)
        self.__version__ = "0.0.0"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        value: Any
        if name == "constexpr":
            value = _Constexpr
        elif name[:1].isupper():
            value = type(name, (_InertBase,), {"__module__": self.__name__})
        else:
            value = sys.modules.get(f"{self.__name__}.{name}") or InertModule(f"{self.__name__}.{name}")
        setattr(self, name, value)
        return value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Decorators only: `@jit` gives the function back, `@jit(option=...)` gives a decorator that does."""
        if len(args) == 1 and not kwargs and callable(args[0]):
            return args[0]
        if args and not all(isinstance(arg, (list, dict, str)) for arg in args):
            raise RuntimeError(f"{self.__name__} is a stand-in on the CPU engine and cannot run")

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            return function

        return decorate


class _Finder:
    """Finds submodules of the stand-ins; the parents are put into sys.modules by `install`."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        root = name.partition(".")[0]
        if root not in STAND_INS or not isinstance(sys.modules.get(root), InertModule):
            return None
        return ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return InertModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to execute."""


_FINDER: Any = _Finder()


def install() -> tuple[str, ...]:
    """Put a stand-in where a package of `STAND_INS` is missing; returns the names that were filled.

    transformers decides once, by looking, whether torchvision and triton exist, and would take a stand-in for the
    real thing: it is asked first and remembers.
    """
    missing = tuple(name for name in STAND_INS if name not in sys.modules and importlib.util.find_spec(name) is None)
    if not missing:
        return ()
    from transformers.utils import import_utils

    for name in missing:
        ask = getattr(import_utils, f"is_{name}_available", None)
        if ask is not None:
            ask()
    if _FINDER not in sys.meta_path:
        sys.meta_path.append(_FINDER)
    for name in missing:
        sys.modules[name] = InertModule(name)
    return missing
