"""Host functions that a program declares as `extern`: the decorator, the check against the declaration, and values in
and out.
"""

from __future__ import annotations

import importlib.util
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar, overload

from ttsc.compiler.ir.nodes import ExternSignature
from ttsc.compiler.values.types import BOOL, FLOAT, INT, STR, ListOf, OptionalOf, RecordType, Type
from ttsc.errors import Problem, UsageError, did_you_mean

P = ParamSpec("P")
R = TypeVar("R")

HostFunction = Callable[..., Any]
Externs = Mapping[str, HostFunction] | Iterable[HostFunction]
"""What `externs=` takes: functions (marked with `@ttsc.extern` or plain), or a mapping from declared name to
function.
"""

_SCALARS: dict[Type, type] = {STR: str, INT: int, FLOAT: float, BOOL: bool}


class ExternFunction(Generic[P, R]):
    """A function marked with `@ttsc.extern`. It can still be called as before."""

    def __init__(self, function: Callable[P, R], name: str) -> None:
        self.function = function
        self.name = name
        self.__name__ = name
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<extern {self.name}>"


@overload
def extern(function: Callable[P, R], /) -> ExternFunction[P, R]: ...
@overload
def extern(*, name: str) -> Callable[[Callable[P, R]], ExternFunction[P, R]]: ...
def extern(function: Any = None, /, *, name: str | None = None) -> Any:
    """Mark a Python function, sync or async, as the host side of a declared `extern`.

    Its name is the declared one, unless `name` says otherwise. A run checks its parameters against the declaration, and
    every value it returns against the declared type. A sync function runs in a thread and may block.
    """
    if function is not None:
        return ExternFunction(function, function.__name__)

    def mark(marked: Callable[P, R]) -> ExternFunction[P, R]:
        return ExternFunction(marked, name or marked.__name__)

    return mark


def bind_externs(signatures: Iterable[ExternSignature], given: Externs | None) -> dict[str, HostFunction]:
    """For every declared extern the function to call, its results checked.

    Those of the standard library (`run_python`) are there unless replaced. Raises `UsageError` with every problem:
    E0506 a declared extern was not given, E0507 one has other parameters than declared.
    """
    by_name = offered(given)
    problems: list[Problem] = []
    bound: dict[str, HostFunction] = {}
    for signature in signatures:
        function = by_name.get(signature.name) or _builtin(signature.name)
        if function is None:
            hint = did_you_mean(signature.name, by_name, f"supply it: {_example(signature)}")
            problems.append(Problem("E0506", f"the program needs the extern '{signature.name}'", hint))
            continue
        problem = _mismatch(signature, function)
        if problem is not None:
            problems.append(problem)
        else:
            bound[signature.name] = _adapted(signature, function)
    if problems:
        raise UsageError(*problems)
    return bound


def load_externs(path: Path) -> list[HostFunction]:
    """The functions that a Python file marks with `@ttsc.extern`. It is run: only a file that the user names is.

    Raises `UsageError` (E0506) if it can't be read, fails, or marks none.
    """
    spec = importlib.util.spec_from_file_location(f"ttsc_externs_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UsageError(
            Problem("E0506", f"there is no Python file '{path}'", "name a .py file that defines the externs")
        )
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(
            Problem("E0506", f"'{path}' failed: {type(error).__name__}: {error}", "run it by itself")
        ) from error
    found = [value for value in vars(module).values() if isinstance(value, ExternFunction)]
    if not found:
        raise UsageError(Problem("E0506", f"'{path}' marks no function", "put `@ttsc.extern` above each"))
    return list(found)


def offered(given: Externs | None) -> dict[str, HostFunction]:
    """What a host gives, by name."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return dict(given)
    return {getattr(function, "name", None) or function.__name__: function for function in given}


def _builtin(name: str) -> HostFunction | None:
    if name != "run_python":
        return None
    from ttsc.runtime.sandbox import run_python

    function: HostFunction = run_python
    return function


def _mismatch(signature: ExternSignature, function: HostFunction) -> Problem | None:
    """What keeps `function` from being called with the declared parameters, in their order."""
    plain = getattr(function, "__wrapped__", function)
    wanted = ", ".join(f"{name}: {kind}" for name, kind in signature.parameters)
    declared = f"it is declared as `extern {signature.name}({wanted}) -> {signature.returns}`"
    try:
        shape = inspect.signature(plain)
    except (TypeError, ValueError):
        return None  # a builtin that tells nothing of itself: the call will show
    try:
        shape.bind(*(None for _ in signature.parameters))
    except TypeError as error:
        return Problem(
            "E0507", f"the function for extern '{signature.name}' can't be called as declared: {error}", declared
        )
    names = [name for name, item in shape.parameters.items() if item.kind is not item.VAR_POSITIONAL]
    expected = [name for name, _ in signature.parameters]
    if set(names) >= set(expected) and names[: len(expected)] != expected:
        message = f"the function for extern '{signature.name}' takes its parameters in another order"
        return Problem("E0507", message, declared)
    return _wrong_annotation(signature, plain, dict(zip(expected, names, strict=False)), declared)


def _wrong_annotation(
    signature: ExternSignature, plain: HostFunction, names: Mapping[str, str], declared: str
) -> Problem | None:
    try:
        hints = typing.get_type_hints(plain)
    except Exception:  # annotations may name anything; then the values show
        return None
    for name, kind in (*signature.parameters, ("return", signature.returns)):
        hint = hints.get(names.get(name, name))
        if hint is not None and not _fits(kind, hint, of_result=name == "return"):
            part = "returns" if name == "return" else f"takes '{name}' as"
            message = f"the function for extern '{signature.name}' {part} {_spelled(hint)}, not {kind}"
            return Problem("E0507", message, declared)
    return None


def _fits(kind: Type, hint: Any, of_result: bool) -> bool:
    """Whether an annotation can mean a declared type. Only what is certainly wrong is refused."""
    if hint in (Any, object) or isinstance(hint, TypeVar):
        return True
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(kind, part, of_result) for part in typing.get_args(hint))
    if isinstance(kind, OptionalOf):
        return hint in (None, type(None)) or _fits(kind.item, hint, of_result)
    if isinstance(kind, RecordType):
        return hint not in _SCALARS.values() and (origin or hint) not in (list, tuple, set)
    if isinstance(kind, ListOf):
        return hint not in _SCALARS.values() and origin is not dict
    expected = _SCALARS.get(kind)
    if hint not in _SCALARS.values() or expected is None:
        return not (isinstance(hint, type) and hint in (list, dict, tuple, set)) and origin not in (
            list,
            dict,
            tuple,
            set,
        )
    return hint is expected or {hint, expected} == {int, float}


def _adapted(signature: ExternSignature, function: HostFunction) -> HostFunction:
    """The plain function; where a record is declared, an object that it returns is read field by field.

    The runtime checks the value against the declared type, and takes mappings and dataclasses as records by itself.
    """
    plain: HostFunction = getattr(function, "__wrapped__", function)
    record = signature.returns
    if not isinstance(record, RecordType):
        return plain

    def fields_of(value: Any) -> Any:
        if isinstance(value, Mapping) or is_dataclass(value) or not hasattr(value, "__dict__"):
            return value
        return {name: getattr(value, name) for name, _ in record.fields if hasattr(value, name)}

    if inspect.iscoroutinefunction(plain):

        async def call_async(*args: Any) -> Any:
            return fields_of(await plain(*args))

        return call_async

    def call(*args: Any) -> Any:
        return fields_of(plain(*args))

    return call


def _spelled(hint: Any) -> str:
    return str(getattr(hint, "__name__", hint))


def _example(signature: ExternSignature) -> str:
    parameters = ", ".join(name for name, _ in signature.parameters)
    return f"`@ttsc.extern def {signature.name}({parameters}): …`, in `externs=[…]` or `--externs FILE.py`"
