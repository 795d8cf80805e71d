"""Offline values kept between runs: one JSON file for each key in a folder, written whole or not at all.

A value that several runs of one process want at once is computed by the first of them; the others wait and take it,
also across event loops and threads. Without a folder values are kept in memory, for as long as the `Artifacts` lives.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ttsc.backends.protocol import Image
from ttsc.compiler.values.abstain import ABSTAINED, Abstain

FORMAT = 1
_ABSTAIN = "$abstain"
_IMAGE = "$image"

Values = tuple[object, ...]
_claims: dict[tuple[str, str], Future[None]] = {}
_lock = threading.Lock()


class NotData(Exception):
    """The value holds something that lives only inside a run."""


@dataclass(frozen=True, slots=True)
class Found:
    """Values and where they came from; `note` says what was wrong with what was kept, or why it could not be. `read`:
    they were read from the folder just now.
    """

    values: Values
    source: Literal["computed", "kept", "shared", "repaired"]
    note: str = ""
    read: bool = False


class Artifacts:
    """The offline values of a folder. `refresh`: those kept before it was made are computed again."""

    def __init__(self, folder: Path | None = None, *, refresh: bool = False) -> None:
        self.folder = folder
        self._refresh = refresh
        self._memory: dict[str, Values] = {}
        self._place = f"memory {id(self)}" if folder is None else str(folder.absolute())

    def preload(self, key: str, values: Sequence[object]) -> None:
        """Hold the values of a key, as `encoded`, in memory, as if they had been read."""
        self._memory[key] = tuple(decoded(value) for value in values)

    async def get(
        self,
        key: str,
        count: int,
        compute: Callable[[], Awaitable[tuple[Values, bool]]],
        wait: Callable[[Awaitable[None]], Awaitable[None]],
    ) -> Found:
        """The `count` values of a key: kept ones, or what `compute` gives, which says whether to keep it. `wait` waits
        for another run that computes them.
        """
        shared = False
        while True:
            known = key in self._memory
            values, note = self._kept(key, count)
            if values is not None:
                return Found(values, "shared" if shared else "kept", read=not known)
            claim, mine = self._claim(key)
            if not mine:
                await wait(asyncio.shield(asyncio.wrap_future(claim)))
                shared = True
                continue
            try:
                values, keep = await compute()
                problem = self._keep(key, values) if keep else "something in it failed, so it is not kept"
                return Found(values, "repaired" if note else "computed", "; ".join(filter(None, (note, problem))))
            finally:
                with _lock:
                    del _claims[self._place, key]
                claim.set_result(None)

    def _claim(self, key: str) -> tuple[Future[None], bool]:
        with _lock:
            claim = _claims.get((self._place, key))
            if claim is not None:
                return claim, False
            claim = _claims[self._place, key] = Future()
            return claim, True

    def _kept(self, key: str, count: int) -> tuple[Values | None, str]:
        """What is kept, and otherwise what is wrong with it, if something is there."""
        if key in self._memory:
            return self._memory[key], ""
        if self.folder is None or self._refresh:
            return None, ""
        path = self._path(key)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            values = data["values"]
            whole = data["format"] == FORMAT and data["key"] == key and data["digest"] == digest(values)
            if not whole or len(values) != count:
                return None, f"{path} is damaged"
        except FileNotFoundError:
            return None, ""
        except OSError as error:
            return None, f"{path} can't be read: {error.strerror}"
        except (ValueError, KeyError, TypeError):
            return None, f"{path} is damaged"
        self._memory[key] = tuple(decoded(value) for value in values)
        return self._memory[key], ""

    def _keep(self, key: str, values: Values) -> str:
        """Keep the values; why they could not be written, or ""."""
        encoded_values = [encoded(value) for value in values]
        self._memory[key] = values
        if self.folder is None:
            return ""
        data = {"format": FORMAT, "key": key, "digest": digest(encoded_values), "values": encoded_values}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._path(key), json.dumps(data, ensure_ascii=False) + "\n")
        except OSError as error:
            return f"{self._path(key)} can't be written: {error.strerror}"
        return ""

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{key}.json"


def write_whole(path: Path, text: str) -> None:
    """Write a file so that nobody ever sees a part of it. Raises `OSError`."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def digest(data: object) -> str:
    """Of JSON data, whatever the order of its fields."""
    text = json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def encoded(value: object) -> Any:
    """A value as JSON data that `decoded` undoes; a picture as the digest of its bytes. Raises `NotData`."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Abstain():
            return {_ABSTAIN: True}
        case Image(data, media_type):
            return {_IMAGE: [media_type, hashlib.blake2b(data, digest_size=16).hexdigest()]}
        case Mapping():
            return {str(name): encoded(each) for name, each in value.items()}
        case list() | tuple():
            return [encoded(each) for each in value]
    raise NotData(type(value).__name__)


def decoded(data: Any) -> object:
    if isinstance(data, dict):
        return ABSTAINED if _ABSTAIN in data else {name: decoded(each) for name, each in data.items()}
    return tuple(decoded(each) for each in data) if isinstance(data, list) else data
