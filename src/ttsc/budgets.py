"""Budgets from outside: `tokens<=20k, latency<=30s, calls<=100`, in the units of a program's own `budget` clause."""

from __future__ import annotations

from collections.abc import Sequence

from ttsc.compiler.ir.nodes import Limit
from ttsc.errors import Problem, UsageError, did_you_mean
from ttsc.runtime.ledger import ENFORCED, clause

Budget = str | Sequence[Limit]
"""What `budget=` takes: the clauses as text, or limits in tokens, calls and seconds."""

_EXAMPLE = 'write it as in "tokens<=20k, latency<=30s, calls<=100"'


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
    """The limits of a run: what was given, else the program's own.

    Raises `UsageError`: E0516 for a clause that nothing at run time can count, E0510 for a text that says none.
    """
    limits = tuple(own) if given is None else read_budget(given) if isinstance(given, str) else tuple(given)
    problems = [
        Problem(
            "E0516",
            f"the budget `{clause(limit)}` can't be kept: {limit.resource} can only be told from a cost model,"
            " which ttsc does not have yet",
            f'limit {", ".join(ENFORCED)} instead: --budget "tokens<=20k" takes the place of the program\'s budget',
        )
        for limit in limits
        if limit.resource not in ENFORCED
    ]
    if problems:
        raise UsageError(*problems)
    return limits
