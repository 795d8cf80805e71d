"""Constraints on values: what a tunable or a record's field may be, and what a budget may say."""

from __future__ import annotations

from typing import Literal, cast

from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.literals import literal_type
from ttsc.compiler.semantics.reporter import Reporter
from ttsc.compiler.values.types import FLOAT, INT, Allowed, Interval, OptionalOf, Type, assignable
from ttsc.grammar import ast
from ttsc.grammar.source import Span
from ttsc.grammar.spelling import did_you_mean, with_article

Resource = Literal["tokens", "calls", "latency", "flops", "eflops", "cost"]

UNITS: dict[str, dict[str, float]] = {
    "tokens": {"": 1},
    "calls": {"": 1},
    "latency": {"ms": 0.001, "s": 1, "min": 60, "h": 3600},
    "flops": {"": 1},
    "eflops": {"": 1},
    "cost": {"$": 1},
}
"""What a limit is counted in, by resource; the number is the unit's size in tokens, calls, seconds, FLOPs, dollars."""
_EXAMPLES = {"tokens": "20k", "calls": "100", "latency": "30s", "flops": "1e15", "eflops": "1e15", "cost": "$0.05"}


def allowed_values(reporter: Reporter, name: str, given: ast.Range | ast.Choices | None, type_: Type) -> Allowed | None:
    """What `in low..high` or `in [a, b]` allows for `name: type_`; reported where it can't be."""
    type_ = type_.item if isinstance(type_, OptionalOf) else type_
    match given:
        case None:
            return None
        case ast.Range(low, high, span=span):
            if type_ not in (INT, FLOAT):
                reporter.error("E0304", f"a range needs an int or a float, and '{name}' is {type_}", span, "range")
            elif low > high:
                reporter.error(
                    "E0304", f"the range {low}..{high} is empty", span, "low is above high", f"{high}..{low}?"
                )
            elif type_ == INT and not (isinstance(low, int) and isinstance(high, int)):
                reporter.error("E0304", f"'{name}' is an int, and its range has fractions", span, "range")
            return Interval(low, high)
        case ast.Choices(values, span=span):
            for v in values:
                if not assignable(literal_type(v.value), type_):
                    reporter.error(
                        "E0304", f"'{v.span.text}' is not {with_article(type_)}", v.span, f"expected {type_}"
                    )
            return tuple(v.value for v in values)


def check_default(
    reporter: Reporter, name: str, allowed: Allowed | None, default: typed.Constant, given: bool, span: Span
) -> None:
    """A default must be one of the values a tunable may take."""
    if isinstance(allowed, Interval):
        if isinstance(default, (int, float)) and not allowed.low <= default <= allowed.high:
            message = f"the default {default} is outside {allowed.low}..{allowed.high}"
            reporter.error("E0304", message, span, "default and range")
    elif allowed is not None and given and default not in allowed:
        reporter.error("E0304", f"the default of '{name}' is not one of its choices", span, "default and choices")


def budget(reporter: Reporter, limits: tuple[ast.Limit, ...]) -> tuple[typed.Limit, ...]:
    """The clauses of a budget, each in the unit of its resource."""
    result: dict[str, typed.Limit] = {}
    for limit in limits:
        name = limit.resource.id
        units = UNITS.get(name)
        if units is None:
            hint = did_you_mean(name, UNITS) or f"a budget limits {', '.join(UNITS)}"
            reporter.error("E0350", f"a budget can't limit '{name}'", limit.resource.span, "not a resource", hint)
        elif limit.unit not in units:
            has = f"'{limit.unit}'" if limit.unit else "no unit"
            message = f"{name} has {has} here"
            reporter.error("E0351", message, limit.span, "wrong unit", f"write {name} <= {_EXAMPLES[name]}")
        elif name in result:
            reporter.error("E0352", f"'{name}' is limited twice", limit.span, "second limit")
        elif limit.amount <= 0:
            reporter.error("E0353", f"a budget of no {name} lets nothing run", limit.span, "not above 0")
        else:
            result[name] = typed.Limit(cast("Resource", name), float(limit.amount * units[limit.unit]), limit.span)
    return tuple(result.values())
