"""The tables of the page: the plan as a tree, what binds, the worst case, estimated beside actual."""

from __future__ import annotations

from typing import Any

from ttsc.estimates.analysis import Analysis, Compared
from ttsc.estimates.figures import Estimate, NodeEstimate
from ttsc.explaining.analysis_lines import error_text
from ttsc.explaining.charts import Color
from ttsc.explaining.quantities import amount, flops, inputs, seconds, share, size


def plan_rows(estimate: Estimate, color: Color) -> list[dict[str, Any]]:
    """Nodes, and the regions around them, in reading order."""
    whole = sum(leg.seconds for leg in estimate.critical) and estimate.latency.mean
    rows: list[dict[str, Any]] = []
    before: tuple[str, ...] = ()
    for node in estimate.nodes:
        around = node.place.around
        common = 0
        while common < min(len(before), len(around)) and before[common] == around[common]:
            common += 1
        rows += [{"region": True, "depth": depth, "name": around[depth]} for depth in range(common, len(around))]
        before = around
        rows.append(
            {
                "region": False,
                "depth": len(around),
                "name": f"{node.op}()" if node.kind == "extern" else node.id,
                "place": f"line {node.place.line}" if node.place.line else "",
                "source": node.place.source,
                "color": color(node.id),
                "off": not node.requests.mean,
                "cells": _cells(node, whole),
            }
        )
    return rows


def _cells(node: NodeEstimate, whole_s: float) -> tuple[str, ...]:
    most = f"{node.at_most.requests:,}" if node.at_most is not None else ""
    path = share(node.critical_s / whole_s) if whole_s and node.critical_s else "-"
    if node.kind == "extern" or not node.requests.mean:
        busy = seconds(node.busy_s) if node.requests.mean else ""
        return (amount(node.requests.mean), most, "", "", "", busy, path if busy else "", "", "", "", "")
    counts, work = node.counts, node.work
    return (
        amount(counts.requests),
        most,
        amount(counts.prompt_tokens),
        share(node.cached_share),
        amount(node.decoded.mean) if node.kind == "generate" else "-",
        seconds(node.busy_s),
        path,
        amount(node.at_once),
        "-" if work.flops is None else flops(work.flops),
        "-" if work.bytes is None else size(work.bytes),
        work.binds or "-",
    )


def binding_rows(estimate: Estimate, color: Color) -> list[dict[str, Any]]:
    """Nothing where the machine does not tell computing from memory access."""
    rows = []
    for node in estimate.nodes:
        work = node.work
        parts = (("compute", work.compute_s), ("memory", work.memory_s), ("overhead", work.overhead_s))
        known = [(name, value) for name, value in parts if value is not None]
        whole = sum(value for _, value in known)
        if not work.binds or not whole:
            continue
        rows.append(
            {
                "name": node.id,
                "color": color(node.id),
                "parts": [{"name": name, "width": round(100 * value / whole, 2)} for name, value in known],
                "text": ", ".join(f"{name} {seconds(value)}" for name, value in known),
            }
        )
    return rows


def worst_rows(estimate: Estimate) -> list[dict[str, Any]]:
    """Quantities of the whole program, expected and at most."""
    total, most = estimate.total, estimate.at_most
    calls = sum(node.requests.mean for node in estimate.nodes if node.kind == "extern")
    rows = [
        ("requests", total.requests, most.calls),
        ("prompt tokens", total.prompt_tokens, most.prefill_tokens + sum(most.scored.values())),
        ("tokens decoded", total.decoded_tokens, most.decode_tokens),
        ("extern calls", calls, most.extern_calls),
    ]
    return [
        {
            "name": name,
            "expected": amount(expected),
            "most": f"{limit:,}",
            "width": round(min(100.0, 100 * expected / limit), 2),
        }
        for name, expected, limit in rows
        if limit
    ]


_NAMES = ("requests", "prompt tokens", "cached tokens", "decoded tokens", "seconds")


def analysis_table(estimate: Estimate, analysis: Analysis | None, color: Color) -> dict[str, Any] | None:
    """Three rows for each node: estimated, actual, the error."""
    if analysis is None:
        return None
    names = {node.id: f"{node.op}()" for node in estimate.nodes if node.kind == "extern"}
    rows: list[dict[str, Any]] = []
    for node in analysis.nodes:
        figures = {figure.name: figure for figure in node.figures}
        name = names.get(node.node, node.node) or "in all"
        tone = color(node.node) if node.node else None
        rows.append({"kind": "estimated", "name": name, "color": tone, "cells": _cells_of(figures, "estimated")})
        rows.append({"kind": "actual", "name": "", "color": None, "cells": _cells_of(figures, "actual")})
        rows.append({"kind": "error", "name": "", "color": None, "cells": _cells_of(figures, "error")})
    where = "; ".join(f"{role}: {engine}" for role, engine in analysis.engines)
    sub = f"{inputs(analysis.actual.inputs)} run on {where}. Means per input; errors beyond a quarter are marked."
    return {"sub": sub, "names": _NAMES, "rows": rows, "advice": analysis.advice}


def _cells_of(figures: dict[str, Compared], kind: str) -> list[tuple[str, bool]]:
    cells = []
    for name in _NAMES:
        figure = figures.get(name)
        if figure is None:
            cells.append(("", False))
        elif kind == "error":
            cells.append((error_text(figure), figure.large))
        else:
            value = figure.estimated if kind == "estimated" else figure.actual
            cells.append((seconds(value) if name == "seconds" else amount(value), False))
    return cells
