"""Offline values: computed once for their inputs and models, and kept in a folder between runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from ttsc.runtime.artifacts import Artifacts, NotData, digest, encoded
from ttsc.runtime.failures import NOT_DATA, failed
from ttsc.standalone.support.coming import cause_of, scope, whole
from ttsc.standalone.support.job import Job

_KEPT: dict[str | None, Artifacts] = {}


async def offline(
    job: Job, key: str, roles: Sequence[str], inputs: Sequence[object], compute: Callable[..., Any]
) -> tuple[object, ...]:
    """What `compute` gives for these inputs; its seeds derive from the key and not from the run's."""
    models = {role: job.servers[role].model for role in roles}
    full = digest([key, [_data(value) for value in inputs], models])

    async def computed() -> tuple[tuple[object, ...], bool]:
        with scope():
            values = tuple([await whole(value) for value in await compute(*inputs, (full,))])
        for value in values:
            _data(value)
        return values, all(cause_of(value) is None for value in values)

    async def wait(other: Awaitable[None]) -> None:
        await other

    folder = job.artifacts
    kept = _KEPT.setdefault(folder, Artifacts(None if folder is None else Path(folder)))
    return (await kept.get(full, 0, computed, wait)).values


def _data(value: object) -> object:
    try:
        return encoded(value)
    except NotData as error:
        raise failed(NOT_DATA, f"an offline value holds a {error}, which lives only inside a run") from error


def folder_of(given: Sequence[str]) -> str | None:
    """The folder that was named last."""
    return given[-1] if given else None
