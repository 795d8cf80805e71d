"""One claim: whether it holds in the measured data, and the figures that say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.strategies.data_file import Measured

Found = Mapping[str, Measured]
"""What is measured, by label."""


@dataclass(frozen=True, slots=True)
class Claim:
    """`holds` is None where it is open. `because`: the figures. `table`: rows of cells, the head first."""

    title: str
    holds: bool | None
    because: str
    table: tuple[tuple[str, ...], ...] = ()

    def text(self) -> str:
        said = {True: "Holds", False: "Does not hold", None: "Open"}[self.holds]
        lines = [f"### {self.title}", "", f"**{said}.** {self.because}", ""]
        if self.table:
            head, *rows = self.table
            lines += [_row(head), _row(tuple("---" for _ in head)), *map(_row, rows), ""]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Examined:
    """A claim before there are data: what it is called, the labels that it needs, and what looks at them."""

    title: str
    needs: tuple[str, ...]
    look: Callable[[Found], tuple[bool | None, str] | tuple[bool | None, str, tuple[tuple[str, ...], ...]]]

    def of(self, found: Found) -> Claim:
        missing = [each for each in self.needs if each not in found]
        if missing:
            return Claim(
                self.title, None, "Not measured: no data of " + ", ".join(f"`{each}`" for each in missing) + "."
            )
        return Claim(self.title, *self.look(found))


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


def share(measured: Measured) -> str:
    return f"{100 * measured.mean('right'):.1f} %"
