"""Budgets from outside: `tokens<=20k, latency<=30s, cost<=$0.05`, in the units of a program's own `budget` clause, and
the prices of engines that some of them need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ttsc.compiler.cost.units import UNITS
from ttsc.compiler.ir.nodes import Limit
from ttsc.errors import Problem, UsageError, did_you_mean
from ttsc.runtime.ledger import COUNTED, clause

if TYPE_CHECKING:
    from ttsc.backends.protocol import Engine
    from ttsc.compiler.cost.prices import Price

Budget = str | Sequence[Limit]
"""What `budget=` takes: the clauses as text, or limits in tokens, calls, seconds, FLOPs, eFLOPs, dollars."""
Hardwares = str | Mapping[str, str] | None
"""What `hardware=` takes: a name or a file for every model role, or one per role, "" standing for all others."""

_ANOTHER = f'limit {", ".join(COUNTED)} instead: --budget "tokens<=20k" takes the place of the program\'s budget'
_EXAMPLE = 'write it as in "tokens<=20k, latency<=30s, cost<=$0.05"'


def read_budget(text: str) -> tuple[Limit, ...]:
    """The clauses of a text. Raises `UsageError` (E0510) with everything that is wrong with them."""
    problems: list[Problem] = []
    limits: list[Limit] = []
    for part in text.split(","):
        name, less, amount = (each.strip() for each in part.partition("<="))
        if not less:
            problems.append(Problem("E0510", f"the budget clause '{part.strip()}' limits nothing", _EXAMPLE))
            continue
        found = _limit(name, amount, problems)
        if found is not None and any(limit.resource == found.resource for limit in limits):
            problems.append(Problem("E0510", f"the budget limits '{name}' twice", "leave one out"))
        elif found is not None:
            limits.append(found)
    if problems:
        raise UsageError(*problems)
    return tuple(limits)


def _limit(name: str, amount: str, problems: list[Problem]) -> Limit | None:
    from ttsc.compiler.semantics.constraints import UNITS
    from ttsc.grammar.numbers import read_number

    wrong: list[Problem] = []
    units = UNITS.get(name)
    if units is None:
        hint = did_you_mean(name, UNITS, f"a budget limits {', '.join(UNITS)}")
        problems.append(Problem("E0510", f"a budget can't limit '{name}'", hint))
        return None
    value = read_number(amount, lambda _, message, hint: wrong.append(Problem("E0510", f"{name}: {message}", hint)))
    number, unit = value if isinstance(value, tuple) else (value, "")
    if not wrong and unit not in units:
        wrong.append(Problem("E0510", f"{name} can't be limited to {amount}", _EXAMPLE))
    elif not wrong and number <= 0:
        wrong.append(Problem("E0510", f"a budget of no {name} lets nothing run", _EXAMPLE))
    problems.extend(wrong)
    return None if wrong else Limit(name, float(number * units[unit]))  # type: ignore[arg-type]


def budget_for(own: Sequence[Limit], given: Budget | None) -> tuple[Limit, ...]:
    """The limits of a run: what was given, else the program's own. Raises `UsageError` (E0510) for a text that says
    none.
    """
    return tuple(own) if given is None else read_budget(given) if isinstance(given, str) else tuple(given)


def refuse_priced(limits: Sequence[Limit], why: str) -> None:
    """Raise `UsageError` (E0516) for clauses that need a price, where there is none for some reason."""
    problems = [
        Problem("E0516", f"the budget `{clause(limit)}` can't be kept: {why}", _ANOTHER)
        for limit in limits
        if limit.resource in UNITS
    ]
    if problems:
        raise UsageError(*problems)


def prices_for(
    limits: Sequence[Limit],
    engines: Mapping[str, Engine],
    hardware: Hardwares = None,
    models: Mapping[str, str] | None = None,
) -> dict[str, Price]:
    """What requests cost on the engine of each role, if `limits` has anything that needs a price; else nothing.

    `hardware`: what engines run on that don't say so themselves, for all or by role; `models`: what they serve where
    their model's folder is not on this machine. Raises `UsageError`: E0516 for a clause without a known price, E0530
    and E0531 for names that stand for nothing, E0510 for a role that doesn't exist.
    """
    unknown = sorted(set(hardware) - {*engines, ""}) if isinstance(hardware, Mapping) else []
    if unknown:
        hint = did_you_mean(unknown[0], engines, f"roles: {', '.join(sorted(engines))}")
        raise UsageError(Problem("E0510", f"hardware is named for '{unknown[0]}', which is no model role here", hint))
    priced = [limit for limit in limits if limit.resource in UNITS]
    if not priced:
        return {}
    found: dict[str, Price] = {}
    problems: list[Problem] = []
    for role, engine in engines.items():
        named = hardware.get(role, hardware.get("")) if isinstance(hardware, Mapping) else hardware
        found[role] = price_of_engine(engine, named, (models or {}).get(role))
        problems += [
            _unpriced(limit, role, engine, found[role]) for limit in priced if limit.resource not in found[role].rates
        ]
    if problems:
        raise UsageError(*problems)
    return found


def price_of_engine(engine: Engine, hardware: str | None = None, model: str | None = None) -> Price:
    """All that is known of what an engine's requests cost: from what it says of itself, and what is named here."""
    from ttsc.compiler.cost.prices import Price, flop_rates, price_of, token_rates
    from ttsc.machines import costs_of_engine, costs_of_machine, hardware_named, shape_of_engine

    shape = shape_of_engine(engine.info, model)
    machine = getattr(engine, "machine", None)
    if machine is not None and hardware is None:
        costs = costs_of_machine(machine)
        return price_of(costs.machine, costs.shape or shape, costs.hardware)
    known = costs_of_engine(engine.info, hardware, model)
    if known is not None:
        return price_of(known.machine, known.shape, known.hardware)
    rates = {} if shape is None else {"flops": flop_rates(shape)}
    sold = None if hardware is None else hardware_named(hardware).token_prices
    if sold is not None:
        rates["cost"] = token_rates(sold)
    return Price(rates, "prices per token" if sold is not None else "the model's shape")


def _unpriced(limit: Limit, role: str, engine: Engine, price: Price) -> Problem:
    """Why a clause can't be kept, and what makes it possible."""
    info = engine.info
    hardware = "h100@2.50" if limit.resource == "cost" else "h100"
    if "flops" not in price.rates:
        why = f"the shape of the model '{info.model}' is not known here"
        way = f"name its folder or kind with --model {role}=…"
    elif "eflops" not in price.rates:
        why = f"what hardware it runs on is not known (it says '{info.device or 'nothing'}')"
        way = f"name it, as in --hardware {hardware}"
    else:
        why = "what its hardware costs is not known"
        way = f"say it in dollars an hour, as in --hardware {hardware}"
    message = f"the budget `{clause(limit)}` can't be kept for the model role '{role}': {why}"
    return Problem("E0516", message, f"{way}, or {_ANOTHER}")
