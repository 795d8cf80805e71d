"""What formulas say beside the simulation, as rows of a table."""

from __future__ import annotations

from ttsc.estimates.figures import Closed, Estimate
from ttsc.explaining.quantities import amount, seconds, share


def closed_rows(estimate: Estimate) -> list[tuple[str, str, str, str]]:
    """Name, by formula, simulated, whose formula."""
    return [
        (
            each.name,
            _shown(each, each.value),
            "" if each.simulated is None else _shown(each, each.simulated),
            each.formula,
        )
        for each in estimate.closed
    ]


def _shown(each: Closed, value: float) -> str:
    match each.name:
        case "seconds":
            return seconds(value)
        case "right answers":
            return share(value)
    return amount(value)
