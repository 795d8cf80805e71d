"""Intervals and tests of figures that belong together problem by problem.

Shares have Wilson's interval, differences of right answers McNemar's exact test; everything else is resampled: problems
are drawn with replacement, 5,000 times from a fixed seed, and the interval is what the middle 95 % of the draws say
(Efron's percentile bootstrap, 1979).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy

from benchmarks.testbed.comparing import mcnemar

DRAWS = 5000
_SEED = 20261122


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and where it lies with 95 %."""

    value: float
    low: float
    high: float

    def percent(self, sign: bool = False) -> str:
        """`6.5 % (2.0 to 11.0)`; with `sign`, `+6.5 % …`."""
        form = "+.1f" if sign else ".1f"
        return f"{100 * self.value:{form}} % ({100 * self.low:{form}} to {100 * self.high:{form}})"

    def number(self, digits: int = 2) -> str:
        return f"{self.value:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


def resampled(
    statistic: Callable[[numpy.ndarray], numpy.ndarray | float], problems: int, draws: int = DRAWS
) -> Estimate:
    """`statistic` takes indices of problems (any number of them) and gives a number."""
    numbers = numpy.random.default_rng(_SEED)
    values = numpy.array([statistic(numbers.integers(0, problems, problems)) for _ in range(draws)])
    values = values[~numpy.isnan(values)]
    low, high = numpy.quantile(values, [0.025, 0.975]) if len(values) else (numpy.nan, numpy.nan)
    return Estimate(float(statistic(numpy.arange(problems))), float(low), float(high))


def mean(values: Sequence[float]) -> Estimate:
    row = numpy.asarray(values, dtype=float)
    return resampled(lambda chosen: row[chosen].mean(), len(row))


def difference(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Of the means of two figures of the same problems, ours less theirs."""
    return mean(numpy.asarray(ours, dtype=float) - numpy.asarray(theirs, dtype=float))  # type: ignore[arg-type]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Of the sums of two figures of the same problems."""
    above, below = numpy.asarray(ours, dtype=float), numpy.asarray(theirs, dtype=float)
    return resampled(lambda chosen: above[chosen].sum() / max(1e-12, below[chosen].sum()), len(above))


def better(ours: Sequence[int], theirs: Sequence[int]) -> float:
    """McNemar's exact p for right answers of the same problems, two-sided."""
    more = sum(a and not b for a, b in zip(ours, theirs, strict=True))
    fewer = sum(b and not a for a, b in zip(ours, theirs, strict=True))
    return mcnemar(more, fewer)


def p_text(p: float) -> str:
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"
