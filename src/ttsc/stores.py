"""Stores: lists that outlive a run. In memory, or in a file of JSON lines that any number of processes append to.

Items are checked against the program's type when they are read. An append is one write under a lock, on disk before it
returns, and taken back if it fails half-way: a reader never sees a part of it.
"""

from __future__ import annotations

import json
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ttsc.compiler.ir.nodes import Program
from ttsc.compiler.values.types import ListOf, Type
from ttsc.errors import Problem, UsageError, did_you_mean
from ttsc.inputs import conform, parse_line

_SHOWN = 10


class Store(ABC):
    """What a program's `store` is bound to: `stores={"lessons": store}`. Safe to share between runs and threads."""

    @staticmethod
    def memory(items: Iterable[Any] = ()) -> Store:
        """A store that ends with the process."""
        return _Memory(items)

    @staticmethod
    def open(path: str | Path) -> Store:
        """A store in a file, one item as JSON on each line; a file that is not there is empty."""
        return _File(Path(path))

    @property
    @abstractmethod
    def items(self) -> tuple[Any, ...]:
        """What it holds now, as JSON values. Raises `UsageError` (E0515) for a file that can't be read."""

    @abstractmethod
    def read(self, kind: Type, name: str) -> tuple[Any, ...]:
        """The items as values of `kind`. Raises `UsageError` (E0515) that says which don't fit, and where they are."""

    @abstractmethod
    def append(self, items: Sequence[Any]) -> None:
        """Add items, all or none. Raises `UsageError` (E0515) if they can't be written."""


class _Memory(Store):
    def __init__(self, items: Iterable[Any]) -> None:
        self._items = list(items)
        self._lock = threading.Lock()

    @property
    def items(self) -> tuple[Any, ...]:
        with self._lock:
            return tuple(self._items)

    def read(self, kind: Type, name: str) -> tuple[Any, ...]:
        return _checked([(f"item {number} of store '{name}'", item) for number, item in enumerate(self.items, 1)], kind)

    def append(self, items: Sequence[Any]) -> None:
        with self._lock:
            self._items.extend(items)


class _File(Store):
    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def items(self) -> tuple[Any, ...]:
        return tuple(item for _, item in self._lines())

    def read(self, kind: Type, name: str) -> tuple[Any, ...]:
        return _checked(self._lines(), kind)

    def append(self, items: Sequence[Any]) -> None:
        text = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
        try:
            with _locked(self.path) as file:
                size = os.fstat(file).st_size
                begun = size > 0 and os.pread(file, 1, size - 1) != b"\n"
                try:
                    _write_all(file, (("\n" if begun else "") + text).encode())
                    os.fsync(file)
                except BaseException:
                    os.ftruncate(file, size)
                    raise
        except OSError as error:
            raise _unusable(self.path, "written", error) from None

    def _lines(self) -> list[tuple[str, Any]]:
        import fcntl

        try:
            with self.path.open(encoding="utf-8", newline="\n") as file:
                fcntl.flock(file, fcntl.LOCK_SH)
                text = file.read()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise _unusable(self.path, "read", error) from None
        lines = [(f"{self.path}:{number}", line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        items, problems = [], []
        for place, line in lines:
            item, problem = parse_line(line)
            items.append((place, item))
            if problem is not None:
                hint = "each line of a store is one item as JSON; mend the line or delete it"
                problems.append(Problem("E0515", f"{place} is not JSON{problem}", hint))
        _raise(problems)
        return items


def _checked(items: Sequence[tuple[str, Any]], kind: Type) -> tuple[Any, ...]:
    values, problems = [], []
    for place, item in items:
        value, found = conform(kind, item, place)
        values.append(value)
        problems += [Problem("E0515", each.message, each.hint) for each in found]
    _raise(problems)
    return tuple(values)


def _raise(problems: Sequence[Problem]) -> None:
    if problems:
        more = len(problems) - _SHOWN
        rest = [Problem("E0515", f"and {more} more of the kind")] if more > 0 else []
        raise UsageError(*problems[:_SHOWN], *rest)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The file, made if need be, open for appending and locked against other writers, also of other processes."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _unusable(path: Path, what: str, error: Exception) -> UsageError:
    reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
    return UsageError(Problem("E0515", f"the store '{path}' can't be {what}: {reason}", "name a JSON-lines file"))


class BoundStores:
    """The stores of one program: what was given for each, or an empty one in memory. `appends`: it may add to them."""

    def __init__(self, program: Program, given: Mapping[str, object] | None) -> None:
        """Raises `UsageError` (E0515) for a name that the program does not declare and for what is no store."""
        names = [slot.name for slot in program.stores]
        problems = []
        stores: dict[str, Store] = {}
        for name, store in (given or {}).items():
            if name not in names:
                has = f"its stores: {', '.join(names)}" if names else "it has no stores"
                hint = did_you_mean(name, names, has)
                problems.append(Problem("E0515", f"the program has no store '{name}'", hint))
            elif not isinstance(store, Store):
                hint = "wrap a list in `ttsc.Store.memory(…)`, a path in `ttsc.Store.open(…)`"
                problems.append(Problem("E0515", f"store '{name}' is a {type(store).__name__}", hint))
            else:
                stores[name] = store
        if problems:
            raise UsageError(*problems)
        ends = program.body.yields[1:]
        self._kinds = {slot.name: _item(slot.value.type) for slot in program.stores}
        self._stores = {name: stores.get(name) or Store.memory() for name in names}
        appended = [slot.name for slot, end in zip(program.stores, ends, strict=False) if end.id != slot.value.id]
        self.appends = bool(appended)
        self.lost = tuple(name for name in appended if name not in stores)
        """Stores that the program adds to and that nobody keeps."""
        self.empty = tuple(name for name in names if name not in stores)
        """Stores that were not given."""

    def read(self) -> dict[str, tuple[Any, ...]]:
        """What each holds now. Raises `UsageError` (E0515)."""
        return {name: store.read(self._kinds[name], name) for name, store in self._stores.items()}

    def append(self, items: Mapping[str, Sequence[Any]]) -> None:
        for name, new in items.items():
            self._stores[name].append(new)

    def places(self, items: Mapping[str, Sequence[Any]]) -> dict[str, int]:
        """Where in each store these items are going to stand, if nobody else adds to it before."""
        return {name: len(self._stores[name].items) for name in items}

    def restore(self, items: Mapping[str, Sequence[Any]], places: Mapping[str, int], forgotten: bool) -> None:
        """Add items that were going to stand at `places`, unless they stand there or further on. `forgotten`: only to
        stores that end with the process.
        """
        for name, new in items.items():
            store, wanted = self._stores[name], json.loads(json.dumps(list(new)))
            if forgotten and not isinstance(store, _Memory):
                continue
            there = list(store.items)
            starts = range(places.get(name, 0), len(there) - len(wanted) + 1)
            if not any(there[at : at + len(wanted)] == wanted for at in starts):
                store.append(new)


def _item(kind: Type) -> Type:
    assert isinstance(kind, ListOf)
    return kind.item
