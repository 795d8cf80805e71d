"""Calls of the host's functions."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ttsc.compiler.values.types import Type
from ttsc.runtime.externs import MAX_MESSAGE, _call, extern_failure, validated
from ttsc.runtime.failures import EXTERN_MISSING, EXTERN_RAISED, EXTERN_TIMED_OUT, RunFailed
from ttsc.runtime.values import plain
from ttsc.standalone.support.job import Job

TIMEOUT_S = 60.0
"""Seconds that one call may take."""


async def consult(job: Job, name: str, arguments: Sequence[object], returns: Type) -> object:
    """What a function of the host gives, if it is of the declared type."""
    await job.may_begin()
    return await job.in_time(_called(name, job.externs[name], arguments, returns))


async def act(job: Job, name: str, arguments: Sequence[object], returns: Type, *, after: object) -> object:
    """The same of a function that changes the world: one at a time, in order, and never given up once begun."""
    await job.may_begin()
    async with job.world:
        task = asyncio.get_running_loop().create_task(_called(name, job.externs[name], arguments, returns))
        cancelled = False
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            task.exception()
            raise asyncio.CancelledError
        return task.result()


async def _called(name: str, function: Callable[..., object], arguments: Sequence[object], returns: Type) -> object:
    try:
        found = await _call(function, [plain(each) for each in arguments], TIMEOUT_S)
    except TimeoutError:
        raise extern_failure(EXTERN_TIMED_OUT, f"the extern `{name}` did not return within {TIMEOUT_S:g} s") from None
    except RunFailed:
        raise
    except Exception as raised:
        said = f"{type(raised).__name__}: {str(raised)[:MAX_MESSAGE]}"
        raise extern_failure(EXTERN_RAISED, f"the extern `{name}` raised {said}") from raised
    return validated(plain(found), returns, name)


def all_there(externs: Mapping[str, Callable[..., Any]] | None, names: Sequence[str]) -> None:
    """Raise unless every function that the program calls was given."""
    for name in names:
        if name not in (externs or {}):
            raise extern_failure(EXTERN_MISSING, f"no function was given for the extern `{name}`", "--externs FILE.py")


def load_functions(paths: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """The functions that Python files define, by name. Raises `ValueError`."""
    found: dict[str, Callable[..., Any]] = {}
    for path in paths:
        spec = importlib.util.spec_from_file_location(Path(path).stem, path)
        if spec is None or spec.loader is None or not Path(path).is_file():
            raise ValueError(f"there is no Python file '{path}'")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found.update((name, value) for name, value in vars(module).items() if callable(value))
    return found
