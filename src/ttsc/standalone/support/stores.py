"""Stores: lists that outlive a run, one item as JSON on each line of a file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ttsc.compiler.values.types import Type
from ttsc.standalone.support.data import conforming


def named_files(given: Sequence[str]) -> dict[str, str]:
    """`NAME=FILE` of stores. Raises `ValueError`."""
    wrong = [each for each in given if "=" not in each]
    if wrong:
        raise ValueError(f"a store is given as NAME=FILE.jsonl, not as '{wrong[0]}'")
    return dict(each.split("=", 1) for each in given)


def read_store(path: str | None, kind: Type, name: str) -> tuple[Any, ...]:
    """The items of a store: one as JSON on each line. Raises `ValueError`."""
    if path is None or not Path(path).exists():
        return ()
    lines = [line for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    return tuple(conforming(json.loads(line), kind, f"an item of {name}") for line in lines)


def append_to_store(path: str | None, items: Sequence[Any]) -> None:
    """Add items, in one write."""
    if path is not None and items:
        with open(path, "a", encoding="utf-8") as file:
            file.write("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items))
            file.flush()
            os.fsync(file.fileno())
