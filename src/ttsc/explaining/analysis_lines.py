"""Estimated beside actual as lines: three for each node, large errors marked."""

from __future__ import annotations

from ttsc.estimates.analysis import Analysis, Compared
from ttsc.estimates.figures import Estimate
from ttsc.explaining.quantities import amount, inputs, seconds
from ttsc.explaining.tables import cut, table, wrapped

_NAMES = ("requests", "prompt tokens", "cached tokens", "decoded tokens", "seconds")
_NODE = 24


def analysis_lines(estimate: Estimate, analysis: Analysis | None) -> list[str]:
    """Nothing without an analysis."""
    if analysis is None:
        return []
    where = "; ".join(f"{role}: {engine}" for role, engine in analysis.engines)
    lines = wrapped(f"estimated and actual; {inputs(analysis.actual.inputs)} run on {where}")
    if analysis.actual.failed:
        lines += wrapped(f"{analysis.actual.failed:.0%} of them failed: {analysis.actual.failure}")
    names = {node.id: node.op + "()" if node.kind == "extern" else node.id for node in estimate.nodes}
    rows: list[tuple[str, ...]] = [("", "", "requests", "prompt", "cached", "decoded", "seconds")]
    for node in analysis.nodes:
        figures = {figure.name: figure for figure in node.figures}
        title = cut(names.get(node.node, node.node) or "in all", _NODE)
        rows.append((title, "estimated", *(_value(figures.get(name), True) for name in _NAMES)))
        rows.append(("", "actual", *(_value(figures.get(name), False) for name in _NAMES)))
        rows.append(("", "error", *(_error(figures.get(name)) for name in _NAMES)))
    lines += [f"    {line}" for line in table(rows, right="llrrrrr")]
    return [*lines, *(line for advice in analysis.advice for line in wrapped(f"! {advice}", indent="    "))]


def _value(figure: Compared | None, estimated: bool) -> str:
    if figure is None:
        return ""
    value = figure.estimated if estimated else figure.actual
    return seconds(value) if figure.name == "seconds" else amount(value)


def _error(figure: Compared | None) -> str:
    if figure is None:
        return ""
    return error_text(figure) + (" !" if figure.large else "")


def error_text(figure: Compared) -> str:
    """`+12%`, of what was estimated against what it was; `none` where there is nothing to compare with."""
    if figure.error is None:
        return "none"
    return f"{100 * figure.error:+.0f}%" if abs(figure.error) >= 0.005 else "0%"
