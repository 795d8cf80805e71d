"""A plan as text: what was chosen, beside the defaults; the frontier; the table by difficulty; notes and advice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ttsc.runtime.ledger import clause

if TYPE_CHECKING:
    from ttsc.compiler.cost.search.evaluating import Predicted
    from ttsc.planning.planner import Option, Planned

_ROWS = 14
"""Of the frontier, on paper; the file has all."""


def text_of(planned: Planned, advice: Sequence[str]) -> str:
    """Lines of at most 100 columns."""
    asked = planned.asked
    limits = ", ".join(clause(limit) for limit in asked.limits) or "no limit"
    least = "" if planned.objective.accuracy is None else f", accuracy at least {planned.objective.accuracy:.3f}"
    names = ", ".join(each.name for each in asked.programs)
    lines = [
        f"plan {names}: best {asked.goal}, {limits}{least}, per input on average",
        f"  looked at {planned.evaluations} of {planned.settings} settings, by {planned.best.predicted.source}",
        "",
        *_rows(
            [
                ("", "accuracy", "tokens", "calls", "seconds", "dollars"),
                ("defaults", *_figures(planned.defaults.known)),
                ("  " + _setting(planned.defaults),),
                ("planned", *_figures(planned.best.known)),
                ("  " + _setting(planned.best),),
            ]
        ),
    ]
    if planned.table is not None:
        lines += ["", *_rows([("by difficulty", *_figures(planned.table.predicted))])]
        probe = ", ".join(f"{name}={value}" for name, value in planned.table.probe.items())
        lines.append(f"  first {probe}; then, by how many of these agree:")
        for row in planned.table.rows:
            then = ", ".join(f"{name}={value}" for name, value in row.setting.items()) or "the first answer stands"
            lines.append(f"    from {row.agreement:4.0%}  {row.share:4.0%} of inputs  {then}")
    lines += ["", f"Pareto frontier of accuracy over {planned.resource}", ""]
    shown = _thinned(planned)
    lines += _rows([(planned.resource, "accuracy", ""), *(_point(each, planned) for each in shown)])
    if len(shown) < len(planned.frontier):
        lines.append(f"  ({len(planned.frontier)} in all)")
    if advice:
        lines += ["", "Allocation models", "", *(part for each in advice for part in _wrapped(each))]
    if planned.notes:
        lines += ["", *(part for each in planned.notes for part in _wrapped(f"note: {each}"))]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def report_of(planned: Planned, advice: Sequence[str]) -> dict[str, Any]:
    """The same for the plan's file."""
    found: dict[str, Any] = {
        "objective": {
            "goal": planned.asked.goal,
            "budget": ", ".join(clause(limit) for limit in planned.asked.limits),
            "accuracy_at_least": planned.objective.accuracy,
        },
        "expected": _told(planned.best.known),
        "defaults": {"setting": dict(planned.defaults.setting), **_told(planned.defaults.known)},
        "frontier": [
            {"program": each.variant.program.name, "models": dict(each.variant.models), "setting": dict(each.setting)}
            | _told(each.predicted)
            for each in planned.frontier
        ],
        "allocation_models": list(advice),
        "notes": list(planned.notes),
    }
    if planned.table is not None:
        found["by_difficulty"] = {
            "expected": _told(planned.table.predicted),
            "shares": [round(row.share, 4) for row in planned.table.rows],
        }
    return found


def _told(known: Predicted) -> dict[str, Any]:
    names = ("accuracy", "tokens", "calls", "latency", "flops", "eflops", "cost")
    found: dict[str, Any] = {name: _short(known.of(name)) for name in names}
    return {**found, "source": known.source}


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _figures(known: Predicted) -> tuple[str, ...]:
    accuracy = "?" if known.accuracy is None else f"{known.accuracy:.1%}"
    if known.accuracy is not None and known.error >= 0.0005:
        accuracy += f" ±{known.error:.1%}"
    dollars = "" if known.cost is None else f"{known.cost:.3g}"
    return accuracy, f"{known.tokens:,.0f}", f"{known.calls:.1f}", f"{known.latency:.2f}", dollars


def _setting(option: Option) -> str:
    parts = [f"{name}={value}" for name, value in option.setting.items()]
    parts += [f"{role}={name}" for role, name in option.variant.models.items()]
    return ", ".join([option.variant.program.name, *parts])


def _point(option: Option, planned: Planned) -> tuple[str, str, str]:
    amount = option.predicted.of(planned.resource)
    assert amount is not None
    said = f"{amount:,.0f}" if amount >= 100 else f"{amount:.4g}"
    mark = "  <- planned" if _is_planned(option, planned) else ""
    return said, f"{option.predicted.accuracy:.1%}", _setting(option) + mark


def _thinned(planned: Planned) -> list[Option]:
    """Spread over the frontier, its ends and the planned setting among them."""
    options = planned.frontier
    if len(options) <= _ROWS:
        return list(options)
    places = {round(each * (len(options) - 1) / (_ROWS - 1)) for each in range(_ROWS)}
    places |= {place for place, each in enumerate(options) if _is_planned(each, planned)}
    return [options[place] for place in sorted(places)]


def _is_planned(option: Option, planned: Planned) -> bool:
    return option.variant is planned.best.variant and option.setting == planned.best.setting


def _rows(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns as wide as they need; a row of one cell stands by itself."""
    whole = [row for row in rows if len(row) > 1]
    widths = [max(len(row[i]) for row in whole) for i in range(len(whole[0]))] if whole else []
    lines = []
    for row in rows:
        if len(row) == 1:
            lines.append(row[0])
            continue
        cells = [
            cell.ljust(width) if i in (0, len(row)) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        if len(row) == 3:
            cells = [row[0].rjust(widths[0]), row[1].rjust(widths[1]), row[2]]
        lines.append("  " + "  ".join(cells))
    return lines


def _wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 96, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
