"""Plans by difficulty: the first few samples tell how hard an input is, and a table what to spend on it.

For programs that take a majority of n samples. The probe is a run of the program with few samples; its own answer
stands where more would not pay, else the program runs once more with the table's setting. Both are charged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from ttsc.compiler.cost.allocation.agreement import by_agreement
from ttsc.compiler.cost.search.evaluating import Evaluator, Objective, Predicted
from ttsc.compiler.cost.search.forecasting import ClosedForm
from ttsc.compiler.cost.search.space import axes_of
from ttsc.compiler.ir.nodes import Majority, Select
from ttsc.compiler.ir.rewrite import walk

if TYPE_CHECKING:
    from ttsc.planning.planner import Option
    from ttsc.planning.variants import Variant

_PROBES = (3, 4, 5)
_CHOICES = 8
"""Numbers of samples to choose among for each row."""


@dataclass(frozen=True)
class TableRow:
    """From this share of agreeing probe votes on. `share` of the inputs; setting: {} takes the probe's answer."""

    agreement: float
    share: float
    setting: Mapping[str, Any]
    predicted: Predicted


@dataclass(frozen=True)
class Table:
    """`predicted`: of an input on average, the probe included. `node`: of the vote."""

    probe: Mapping[str, Any]
    node: str
    rows: tuple[TableRow, ...]
    predicted: Predicted


def table_of(
    variant: Variant, evaluator: Evaluator, option: Option, objective: Objective
) -> tuple[Table | None, tuple[str, ...]]:
    """The best table that keeps the objective, or None and why there is none."""
    from ttsc.planning.evaluators import pattern_of

    if variant.program.ir.budget:
        return None, (f"{variant.program.name} has a budget for one run: one setting for all inputs",)
    pattern = pattern_of(variant.program)
    if (
        pattern is None
        or not isinstance(evaluator, ClosedForm)
        or pattern.choice != "vote"
        or not isinstance(pattern.rule, Majority)
        or not pattern.pool.count.parameter
    ):
        return None, (f"{variant.program.name} takes no majority of n samples: one setting for all inputs",)
    name = pattern.pool.count.parameter
    axis = next((each for each in axes_of(variant.program.parameters, {}) if each.name == name), None)
    if axis is None or name not in option.setting:
        return None, (f"'{name}' is fixed: one setting for all inputs",)
    counts = [each for each in axis.values if each > max(_PROBES)]
    stride = max(1, len(counts) // _CHOICES)
    wanted = sorted({*_spread(counts), *counts[::-stride][:1]})
    node = next(
        each.result.id for each in walk(variant.program.ir.body) if isinstance(each, Select) and each.op == "vote"
    )
    tables = [
        _best(evaluator, option.setting, name, probe, wanted, objective, pattern.early, node)
        for probe in _PROBES
        if probe in axis.values
    ]
    if not tables:
        return None, (f"'{name}' can't be as small as a probe: one setting for all inputs",)
    best = max(tables, key=lambda each: objective.rank(each.predicted))
    if objective.rank(best.predicted) <= objective.rank(option.predicted):
        return None, ("a table by difficulty is not better than one setting for all inputs: the probe costs more",)
    return best, ()


def _spread(counts: Sequence[int]) -> list[int]:
    """A few of them, evenly by their logarithm."""
    if len(counts) <= _CHOICES:
        return list(counts)
    low, high = counts[0], counts[-1]
    marks = [low * (high / low) ** (each / (_CHOICES - 1)) for each in range(_CHOICES)]
    return sorted({min(counts, key=lambda count: abs(count - mark)) for mark in marks})


def _best(
    evaluator: ClosedForm,
    setting: Mapping[str, Any],
    name: str,
    probe: int,
    counts: Sequence[int],
    objective: Objective,
    early: bool,
    node: str,
) -> Table:
    """Every way to give each number of agreeing votes a number of samples."""
    forecast, probing = evaluator.forecast, {**setting, name: probe}
    standings = forecast.standings(evaluator.whole(setting))
    alone = evaluator(probing, evaluator.efforts[-1])
    options: list[list[tuple[dict[str, Any], float, Predicted]]] = []
    shares: list[tuple[int, float]] = []
    for given in by_agreement(standings, probe, probe, early):
        shares.append((given.votes, given.share))
        options.append([({}, given.right, _nothing(given.right))])
    for count in counts:
        larger = {**setting, name: count}
        found = {each.votes: each for each in by_agreement(standings, probe, count, early)}
        for place, (votes, _) in enumerate(shares):
            given = found[votes]
            expected = forecast.ended(evaluator.whole(larger), given.finished, given.right, warm=True)
            options[place].append((larger, given.right, evaluator.predicted(expected)))
    best: tuple[Predicted, tuple[tuple[dict[str, Any], float, Predicted], ...]] | None = None
    for chosen in product(*options):
        whole = _sum(alone, [(share, each[2]) for (_, share), each in zip(shares, chosen, strict=True)])
        if best is None or objective.rank(whole) > objective.rank(best[0]):
            best = whole, chosen
    assert best is not None
    rows = [
        TableRow(0.0 if not place else votes / probe, share, row[0], row[2])
        for place, ((votes, share), row) in enumerate(zip(shares, best[1], strict=True))
    ]
    return Table(probing, node, tuple(_merged(rows)), best[0])


def _merged(rows: Sequence[TableRow]) -> list[TableRow]:
    """Neighbours with one setting as one row."""
    found: list[TableRow] = []
    for row in rows:
        if found and found[-1].setting == row.setting:
            last = found.pop()
            both = last.share + row.share
            mixed = _mean([(last.share / both, last.predicted), (row.share / both, row.predicted)])
            found.append(TableRow(last.agreement, both, last.setting, mixed))
        else:
            found.append(row)
    return found


def _nothing(right: float) -> Predicted:
    return Predicted(right, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, source="closed form")


def _sum(alone: Predicted, rows: Sequence[tuple[float, Predicted]]) -> Predicted:
    """The probe, and then what the rows take; the accuracy is the rows'."""
    then = _mean(rows)
    return Predicted(
        then.accuracy,
        alone.tokens + then.tokens,
        alone.calls + then.calls,
        alone.latency + then.latency,
        _plus(alone.flops, then.flops),
        _plus(alone.eflops, then.eflops),
        _plus(alone.cost, then.cost),
        alone.error,
        "closed form",
    )


def _mean(rows: Sequence[tuple[float, Predicted]]) -> Predicted:
    def of(name: str) -> float | None:
        values = [(share, each.of(name)) for share, each in rows]
        return None if any(value is None for _, value in values) else sum(share * (v or 0.0) for share, v in values)

    return Predicted(
        of("accuracy"),
        of("tokens") or 0.0,
        of("calls") or 0.0,
        of("latency") or 0.0,
        of("flops"),
        of("eflops"),
        of("cost"),
        source="closed form",
    )


def _plus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other
