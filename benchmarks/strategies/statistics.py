"""Intervals and tests of figures that belong together problem by problem.

Shares have Wilson's interval, differences of right answers McNemar's exact test; everything else is resampled: problems
are drawn with replacement, 5,000 times from a fixed seed, and the interval is what the middle 95 % of the draws say
(Efron's percentile bootstrap, 1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy

from benchmarks.testbed.comparing import mcnemar

DRAWS = 5000
_SEED = 20261122

Figures = Sequence[float] | numpy.ndarray


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


@cache
def _draws(problems: int) -> numpy.ndarray:
    """DRAWS × problems indices of problems."""
    return numpy.random.default_rng(_SEED).integers(0, problems, (DRAWS, problems))


def _estimate(value: float, values: numpy.ndarray) -> Estimate:
    low, high = numpy.quantile(values, [0.025, 0.975])
    return Estimate(value, float(low), float(high))


def mean(values: Figures) -> Estimate:
    """Of a figure of each problem."""
    row = numpy.asarray(values, dtype=float)
    return _estimate(float(row.mean()), row[_draws(len(row))].mean(axis=1))


def difference(ours: Figures, theirs: Figures) -> Estimate:
    """Of the means of two figures of the same problems, ours less theirs."""
    return mean(numpy.asarray(ours, dtype=float) - numpy.asarray(theirs, dtype=float))


def ratio(ours: Figures, theirs: Figures) -> Estimate:
    """Of the sums of two figures of the same problems, of which the second is above 0."""
    above, below = numpy.asarray(ours, dtype=float), numpy.asarray(theirs, dtype=float)
    chosen = _draws(len(above))
    sums = above[chosen].sum(axis=1), numpy.maximum(1e-12, below[chosen].sum(axis=1))
    return _estimate(float(above.sum() / below.sum()), sums[0] / sums[1])


def better(ours: Sequence[int], theirs: Sequence[int]) -> float:
    """McNemar's exact p for right answers of the same problems, two-sided."""
    more = sum(a and not b for a, b in zip(ours, theirs, strict=True))
    fewer = sum(b and not a for a, b in zip(ours, theirs, strict=True))
    return mcnemar(more, fewer)


def p_text(p: float) -> str:
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"
