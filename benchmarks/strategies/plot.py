"""Accuracy against tokens as an SVG: the same bytes from the same data and the same version of matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence

from benchmarks.strategies.data_file import Measured
from benchmarks.strategies.entries import CLAIMS, Entry
from benchmarks.strategies.page import frontier
from benchmarks.testbed.comparing import wilson
from ttsc import stdlib

_COLOURS = {
    "voting": "#1f77b4",
    "stopping": "#2ca02c",
    "sequential": "#9467bd",
    "verification": "#d62728",
    "search": "#ff7f0e",
    "mcmc": "#8c564b",
    "refine": "#e377c2",
    CLAIMS: "#555555",
}


def draw(pairs: Sequence[tuple[Entry, Measured]]) -> str:
    """A point for each, its colour the family; those of the Pareto frontier are named and joined."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot, ticker

    settings = {"svg.hashsalt": "ttsc", "svg.fonttype": "none", "font.family": "DejaVu Sans", "font.size": 9}
    with pyplot.rc_context(settings):
        figure, axes = pyplot.subplots(figsize=(10, 6.5))
        figure.subplots_adjust(left=0.07, right=0.985, bottom=0.08, top=0.98)
        for family in [*stdlib.FAMILIES, CLAIMS]:
            points = [data for entry, data in pairs if entry.family == family]
            if not points:
                continue
            label = "one sample" if family == CLAIMS else stdlib.FAMILIES[family]
            shares = [100 * each.mean("right") for each in points]
            ranges = [wilson(sum(each.right), each.problems) for each in points]
            errors = [
                [share - 100 * low for share, (low, _) in zip(shares, ranges, strict=True)],
                [100 * high - share for share, (_, high) in zip(shares, ranges, strict=True)],
            ]
            tokens = [each.tokens for each in points]
            colour = _COLOURS[family]
            axes.errorbar(tokens, shares, errors, fmt="none", ecolor=colour, elinewidth=0.6, alpha=0.35)
            axes.scatter(tokens, shares, s=28, color=colour, label=label, zorder=3)
        best = frontier(pairs)
        axes.step(
            [data.tokens for _, data in best],
            [100 * data.mean("right") for _, data in best],
            where="post",
            color="#222222",
            linewidth=1.0,
            linestyle="--",
            label="Pareto frontier",
            zorder=2,
        )
        for entry, data in best:
            place = data.tokens, 100 * data.mean("right")
            axes.annotate(entry.label, place, xytext=(-4, 6), textcoords="offset points", ha="right", fontsize=8.5)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_formatter(ticker.FuncFormatter(_few))
        axes.set_xlabel("tokens of a problem: prompt tokens computed and tokens decoded, all models")
        axes.set_ylabel("right answers, %")
        axes.grid(alpha=0.25)
        axes.legend(loc="upper left", fontsize=8.5)
        axes.margins(x=0.08)
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines()) + "\n"


def _few(value: float, _: object) -> str:
    """Of the minor ticks those of 2 and 5 have a number."""
    return f"{value:,.0f}" if f"{value:.0e}"[0] in "25" else ""
