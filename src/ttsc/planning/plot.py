"""The frontier as a picture, by matplotlib (the extra `plots`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ttsc.errors import Problem, UsageError

if TYPE_CHECKING:
    from ttsc.planning.planner import Planned

FORMATS = (".svg", ".png", ".pdf")
UNITS = {
    "tokens": "tokens",
    "calls": "requests",
    "latency": "seconds",
    "cost": "dollars",
    "flops": "FLOPs",
    "eflops": "eFLOPs",
}


def check_plot(path: Path) -> None:
    """Raises `UsageError` (E0582) for an ending that is no picture's."""
    if path.suffix.lower() not in FORMATS:
        problem = f"the plot can't be written to {path}: it is not known what '{path.suffix}' is"
        raise UsageError(Problem("E0582", problem, "name a .svg, .png or .pdf file"))


def plot(planned: Planned, path: Path) -> None:
    """An SVG, PNG or PDF by the file's ending. Raises `UsageError`: E0519 without matplotlib, E0582 if it can't be
    written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        problem = Problem("E0519", "a plot needs matplotlib, which isn't installed", "pip install 'ttsc[plots]'")
        raise UsageError(problem) from None
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    resource = planned.resource
    points = [(each.predicted.of(resource), each.predicted.accuracy) for each in planned.frontier]
    axes.plot([x for x, _ in points], [y for _, y in points], "o-", color="#3366aa", markersize=4, label="frontier")
    # By whoever told the frontier, so that the planned setting lies on it.
    default, best = planned.defaults.predicted, planned.best.predicted
    marks = [("defaults", default, "s", "#888888"), ("planned", best, "D", "#cc5522")]
    if planned.table is not None:
        marks.append(("by difficulty", planned.table.predicted, "^", "#228844"))
    for name, known, marker, color in marks:
        axes.plot([known.of(resource)], [known.accuracy], marker, color=color, markersize=8, label=name)
    for limit in planned.asked.limits:
        if limit.resource == resource:
            axes.axvline(limit.amount, color="#cc5522", linewidth=1, linestyle=":", label="budget")
    amounts = [x for x, _ in points if x]
    if amounts and max(amounts) > 10 * min(amounts):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(f"{UNITS[resource]} per input")
    axes.set_ylabel("accuracy")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise UsageError(
            Problem("E0582", f"the plot can't be written to {path}: {error}", "name a .svg or .png file")
        ) from None
