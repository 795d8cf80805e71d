"""An explanation as one HTML page: nothing is fetched, no script; it follows the reader's light or dark setting."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ttsc.estimates.figures import Estimate, NodeEstimate, Spread
from ttsc.explaining.charts import Color, histogram_chart, timeline_chart
from ttsc.explaining.closed_rows import closed_rows
from ttsc.explaining.document import Explanation
from ttsc.explaining.page_tables import analysis_table, binding_rows, plan_rows, worst_rows
from ttsc.explaining.prefix_lines import label_of, runs_of
from ttsc.explaining.quantities import amount, dollars, flops, inputs, seconds, share, size
from ttsc.explaining.savings_rows import idle_passes, savings_rows
from ttsc.explaining.text import machine_text

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

_COLORS = 8


def html_of(explanation: Explanation) -> str:
    """The whole page."""
    from ttsc import __version__

    estimate = explanation.estimate
    color = _colors(estimate.nodes)
    view = {
        "title": f"{estimate.program}: what it costs",
        "estimate": estimate,
        "doc": " ".join(estimate.doc.split("\n\n")[0].split()),
        "facts": _facts(estimate),
        "tiles": _tiles(estimate),
        "analysis": analysis_table(estimate, explanation.analysis, color),
        "timeline": timeline_chart(estimate, color),
        "plan": plan_rows(estimate, color),
        "binding": binding_rows(estimate, color),
        "prefixes": _prefixes(estimate),
        "sharing": _sharing(estimate),
        "inputs": inputs(estimate.inputs),
        "saving_inputs": inputs(estimate.saving_inputs),
        "histogram": histogram_chart(estimate),
        "spreads": _spreads(estimate),
        "savings": savings_rows(estimate.savings),
        "idle": ", ".join(idle_passes(estimate.savings)),
        "closed": closed_rows(estimate),
        "worst": worst_rows(estimate),
        "footer": f"ttsc {__version__} · explain · seed {estimate.seed}",
    }
    return _template().render(view) + "\n"


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["code"] = _code
    return environment.from_string(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))


def _code(text: str) -> Markup:
    """What stands between backticks is code."""
    from markupsafe import Markup, escape

    parts = [
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(text.split("`"))
    ]
    return Markup("").join(parts)


def _colors(nodes: tuple[NodeEstimate, ...]) -> Color:
    places = {node.id: place % _COLORS for place, node in enumerate(nodes)}
    return lambda node: places.get(node, 0)


def _facts(estimate: Estimate) -> list[tuple[str, str]]:
    facts = [("program", f"{estimate.file} at -O{estimate.level}")]
    if estimate.given:
        facts.append(("with", ", ".join(f"{name} = {value}" for name, value in estimate.given)))
    at_once = "one at a time" if estimate.concurrency == 1 else f"{estimate.concurrency} at a time"
    facts.append(("workload", f"{estimate.workload}, {inputs(estimate.inputs)}, {at_once}"))
    facts += [(each.role, machine_text(each)) for each in estimate.roles]
    return facts


def _tile(name: str, value: str, more: str = "", most: str = "") -> dict[str, str]:
    return {"name": name, "value": value, "more": more, "most": most}


def _tiles(estimate: Estimate) -> list[dict[str, str]]:
    total, work, most = estimate.total, estimate.work, estimate.at_most
    latency = estimate.latency
    tiles = [_tile("requests", amount(total.requests), _sd(estimate.requests), f"at most {most.calls:,}")]
    if total.prompt_tokens:
        cached = f"{share(total.cached_tokens / total.prompt_tokens)} of {amount(total.prompt_tokens)} cached"
        first = estimate.colder_first
        cold = f"{first.computed_tokens:,} for the first input" if first is not None else ""
        tiles.append(_tile("prompt tokens computed", amount(total.computed_tokens), cached, cold))
    lost = f"{amount(estimate.lost_tokens)} by requests cut off" if estimate.lost_tokens else ""
    tiles.append(_tile("tokens decoded", amount(total.decoded_tokens), lost, f"at most {most.decode_tokens:,}"))
    tiles.append(_tile("seconds", seconds(latency.mean), f"p50 {seconds(latency.p50)}, p95 {seconds(latency.p95)}"))
    if work.bytes is not None:
        tiles.append(_tile("memory access", size(work.bytes), f"{size(work.bytes_kv or 0)} of it KV"))
    if work.flops is not None:
        attention = f"{flops(work.flops_attention or 0)} of it attention"
        tiles.append(_tile("compute", flops(work.flops), attention, f"{work.binds} binds" if work.binds else ""))
    for role in estimate.roles:
        if role.kv_peak is not None:
            name = "KV held" if len(estimate.roles) == 1 else f"KV held, {role.role}"
            part = f"{share(role.kv_peak / role.kv_tokens)} of what fits" if role.kv_tokens else ""
            tiles.append(_tile(name, f"{role.kv_peak:,}", "tokens at the peak", part))
    if work.dollars is not None:
        tiles.append(_tile("cost", dollars(work.dollars), "per input"))
    if estimate.accuracy is not None:
        error = f"± {100 * estimate.accuracy_error:.1f} points" if estimate.accuracy_error else ""
        tiles.append(_tile("right answers", share(estimate.accuracy), error))
    ends = (("abstained", estimate.abstained), ("cut by budget", estimate.cut), ("failed", estimate.failed))
    for name, of_all in ends:
        if of_all:
            tiles.append(_tile(name, share(of_all), estimate.failure[:80] if name == "failed" else ""))
    return tiles


def _sd(spread: Spread) -> str:
    return f"± {amount(spread.sd)} between inputs" if spread.sd >= 0.005 * max(1.0, spread.mean) else "for every input"


def _prefixes(estimate: Estimate) -> list[dict[str, Any]]:
    rows = []
    for run in runs_of(estimate.prefixes):
        last = run.last
        asked = amount(last.prompt_tokens) if last.prompt_tokens else ""
        cached = share(last.cached_tokens / last.prompt_tokens) if last.prompt_tokens else ""
        requests = amount(last.requests) if last.requests else ""
        rows.append({"depth": run.depth, "name": label_of(run), "cells": (requests, asked, cached)})
    return rows


def _sharing(estimate: Estimate) -> str:
    if not estimate.distinct_tokens:
        return ""
    times = estimate.total.prompt_tokens / estimate.distinct_tokens
    return f"{amount(estimate.distinct_tokens)} distinct tokens, each asked for {times:.1f} times on average."


def _spreads(estimate: Estimate) -> list[tuple[str, ...]]:
    def row(name: str, spread: Spread, show: Any) -> tuple[str, ...]:
        return (name, show(spread.mean), show(spread.p50), show(spread.p95), show(spread.greatest))

    return [
        row("seconds", estimate.latency, seconds),
        row("requests", estimate.requests, amount),
        row("tokens", estimate.tokens, amount),
    ]
