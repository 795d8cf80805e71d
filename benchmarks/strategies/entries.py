"""Which strategies are measured, and how: `entries/*.toml`, a file for each family (README.md has the format)."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ttsc
from ttsc import stdlib
from ttsc.library import open_source

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent / "entries"
MODELS = ROOT / "benchmarks" / "testbed" / "models"
TASK = ROOT / "programs" / "testbed" / "task.tts"
CLAIMS = "claims"
"""The family of the entries that are there for a claim: settings of strategies that other families have, and probes."""

_KEYS = {"name", "label", "file", "program", "set", "roles", "externs", "oracle", "level", "promise", "skip"}


class BadEntry(Exception):
    """An entry that says something which is not there, or not enough."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One strategy with its setting. `label` names its row and its data. `source`: `std:NAME`, or a file.

    `roles`: model role to a folder of the test bed's models. `oracle`: the parameter that is given the right
    answer. `level`: of optimisation. `skip`: why it is not run, or "".
    """

    label: str
    name: str
    family: str
    source: str
    program: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    externs: str | None = None
    oracle: str | None = None
    level: ttsc.Level = 2
    promise: str = ""
    skip: str = ""

    @property
    def path(self) -> Path:
        """The `.tts` file."""
        if not self.source.startswith("std:"):
            return ROOT / self.source
        found = stdlib.path(self.name)
        assert found is not None, "seen when the entry was read"
        return ROOT / "stdlib" / found.parent.name / found.name

    def compiled(self) -> ttsc.CompiledProgram:
        """The program on the test bed's task."""
        file = self.source if self.source.startswith("std:") else str(self.path)
        return ttsc.compile(file, self.program, self.level, task=TASK)

    def docstring(self) -> str:
        """The file's."""
        text = open_source(str(self.path))[0].text
        return text.split('"""')[1] if text.startswith('"""') else ""


def read(folder: Path = FOLDER) -> list[Entry]:
    """All entries: families in the order of the library, a family in the order of its files. Raises `BadEntry`."""
    order = [*stdlib.FAMILIES, CLAIMS]
    found: list[Entry] = []
    for file in sorted(folder.glob("*.toml")):
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
        found += [_entry(file.stem, each) for each in tables.get("strategy", ())]
    labels = [each.label for each in found]
    twice = sorted({each for each in labels if labels.count(each) > 1})
    if twice:
        raise BadEntry(f"{', '.join(twice)}: two entries of one label; give one a `label`")
    return sorted(found, key=lambda each: order.index(each.family))


def chosen(entries: Sequence[Entry], names: Sequence[str]) -> list[Entry]:
    """Those of a label, name or family among `names`; all without any. Raises `BadEntry` for one that is nobody's."""
    unknown = [n for n in names if not any(n in (each.label, each.name, each.family) for each in entries)]
    if unknown:
        raise BadEntry(f"no entry is called {', '.join(unknown)}")
    return [each for each in entries if not names or {each.label, each.name, each.family} & set(names)]


def _entry(family: str, table: dict[str, Any]) -> Entry:
    unknown = set(table) - _KEYS
    name = table.get("name")
    if unknown or not name:
        raise BadEntry(f"{family}.toml, {name}: " + (f"no key {', '.join(sorted(unknown))}" if unknown else "no name"))
    program = table.get("program")
    label = table.get("label") or (name if program in (None, name) else f"{name}-{program}")
    source = table.get("file") or f"std:{name}"
    if source.startswith("std:") and stdlib.path(name) is None:
        raise BadEntry(f"{family}.toml, {name}: the library has no such strategy")
    if not table.get("skip") and not table.get("roles"):
        raise BadEntry(f"{family}.toml, {name}: no roles")
    return Entry(
        label=label,
        name=name,
        family=family if family == CLAIMS else stdlib.family(name) or family,
        source=source,
        program=program,
        settings=dict(table.get("set", {})),
        roles=dict(table.get("roles", {})),
        externs=table.get("externs"),
        oracle=table.get("oracle"),
        level=table.get("level", 2),
        promise=table.get("promise", ""),
        skip=table.get("skip", ""),
    )
