"""Confidence intervals for what is sampled in clusters: samples of one input are alike, inputs are independent.

A rate's interval is Wilson's (1927) with the number of samples divided by the design effect (Kish 1965), the factor by
which clustering raises the variance; a mean's is Student's over the inputs. Quantiles of Student's t with as many
degrees of freedom as there are inputs less one, by Hill's expansion (Abramowitz and Stegun, 26.7.5).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """`estimate`, and where the true value lies with probability `LEVEL`. `samples` of `inputs` stand behind it."""

    estimate: float
    low: float
    high: float
    samples: int
    inputs: int

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    def enough(self, precision: float) -> int:
        """Inputs that would give an interval of plus and minus `precision`, with as many samples each as now: its width
        falls with the square root of their number.
        """
        return max(2, math.ceil(self.inputs * (self.half_width / precision) ** 2))


def rate(counts: Sequence[tuple[int, int]]) -> Interval | None:
    """Of `(hits, samples)` of each input. None without a sample."""
    counts = [(hits, size) for hits, size in counts if size]
    size, clusters = sum(each for _, each in counts), len(counts)
    if not size:
        return None
    p = sum(hits for hits, _ in counts) / size
    z = student(clusters - 1)
    n = size / _design_effect(counts, p, size)
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    spread = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Interval(p, max(0.0, center - spread), min(1.0, center + spread), size, clusters)


def mean(values: Mapping[int, Sequence[float]]) -> Interval | None:
    """Of the values of each input, every value counting alike. None without a value; with one input it has no bounds
    but infinity.
    """
    groups = [list(each) for each in values.values() if each]
    size, clusters = sum(map(len, groups)), len(groups)
    if not size:
        return None
    middle = math.fsum(each for group in groups for each in group) / size
    if clusters < 2:
        return Interval(middle, -math.inf, math.inf, size, clusters)
    residuals = [math.fsum(group) - len(group) * middle for group in groups]
    variance = clusters / (clusters - 1) * math.fsum(each * each for each in residuals) / size**2
    spread = student(clusters - 1) * math.sqrt(variance)
    return Interval(middle, middle - spread, middle + spread, size, clusters)


def student(freedom: int) -> float:
    """The quantile of Student's t that leaves (1 - LEVEL) / 2 above it; that of the first degree for none."""
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    v = max(1, freedom)
    if v == 1:
        return math.tan(math.pi * LEVEL / 2)
    if v == 2:
        return 2 * (LEVEL / 2) * math.sqrt(2 / (1 - LEVEL * LEVEL))
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / v**power for power, term in enumerate(terms, 1))


def _design_effect(counts: Sequence[tuple[int, int]], p: float, size: int) -> float:
    """How many times greater the rate's variance is than that of as many independent samples. At least 1. Where all
    samples are alike nothing tells, and an input counts as one sample.
    """
    clusters = len(counts)
    if p in (0.0, 1.0) or clusters < 2:
        return size / clusters
    residual = math.fsum((hits - p * each) ** 2 for hits, each in counts)
    clustered = clusters / (clusters - 1) * residual / size**2
    return max(1.0, clustered / (p * (1 - p) / size))
