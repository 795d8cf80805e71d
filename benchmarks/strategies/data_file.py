"""What a strategy did on the problems: one JSON file each in `data/`, a line for the array of each figure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Measured:
    """One strategy on all problems: `figures` and `roles` are arrays by problem.

    `wall_s`: of all problems together, `concurrency` at a time. `values`: what the program gave. `errors`: by problem,
    of those that failed. `broken`: problems whose run exceeded a static bound, with what. `lines`: of the file's code.
    `figures`: right (1 or 0), answered, seconds, calls, prefill, cached, decoded, scored, rewards, aborted, lost,
    distinct (prompt tokens of the prefix tree), nodes (that the KV cache holds, summed over levels). `roles`: calls,
    prefill, cached and decoded of each model role, as `policy.decoded`. `provenance`: seeds, versions, machine.
    """

    label: str
    settings: dict[str, Any]
    models: dict[str, str]
    problems: int
    wall_s: float
    lines: int
    values: list[Any]
    figures: dict[str, list[Any]]
    roles: dict[str, list[int]]
    errors: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def mean(self, figure: str) -> float:
        """Of a problem."""
        numbers = self.figures[figure] if figure in self.figures else self.roles.get(figure, [0])
        return sum(numbers) / len(numbers)

    @property
    def tokens(self) -> float:
        """Prompt tokens computed and tokens decoded, of all models, by problem: what a budget counts."""
        return self.mean("prefill") + self.mean("decoded")

    @property
    def right(self) -> list[int]:
        return self.figures["right"]


def write(measured: Measured, folder: Path = FOLDER) -> Path:
    """The file of one strategy, in place of the one before."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{measured.label}.json"
    parts = []
    for key, value in asdict(measured).items():
        if key in ("figures", "roles"):
            rows = ",\n".join(f"  {json.dumps(name)}: {_compact(row)}" for name, row in value.items())
            parts.append(f" {json.dumps(key)}: {{\n{rows}\n }}")
        else:
            parts.append(f" {json.dumps(key)}: {_compact(value)}")
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
    return path


def read(label: str, folder: Path = FOLDER) -> Measured | None:
    """What is known of a strategy, if anything is."""
    path = folder / f"{label}.json"
    return Measured(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
