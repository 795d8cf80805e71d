"""Distributions of lengths: moments, survival, order statistics, draws.

A cost model that knows only the mean is wrong: attention costs depend on E[L²], waiting on the survival curve.
"""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

POINTS = 512
"""Values of equal weight that stand for a named distribution: each is the mean of its part, so the mean is kept."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """A distribution over whole numbers from 0, as sorted `values` of equal weight: empirical, or the quantiles of a
    named one (`lognormal`, `constant`).
    """

    values: tuple[int, ...]

    def __post_init__(self) -> None:
        if (
            not self.values
            or self.values[0] < 0
            or any(a > b for a, b in zip(self.values, self.values[1:], strict=False))
        ):
            raise ValueError("lengths are at least one number, none negative, in ascending order")

    @staticmethod
    def constant(value: int) -> Lengths:
        return Lengths((value,))

    @staticmethod
    def lognormal(mean: float, cv: float, points: int = POINTS) -> Lengths:
        """With this mean and coefficient of variation (standard deviation over mean). Rounding to whole numbers, and
        the variance within each of the `points` parts, are lost.
        """
        if mean <= 0 or cv < 0:
            raise ValueError(f"no lognormal distribution has the mean {mean} and the coefficient of variation {cv}")
        if cv == 0:
            return Lengths.constant(round(mean))
        sd = math.sqrt(math.log1p(cv * cv))
        normal = NormalDist()
        edges = [0.0, *(normal.cdf(normal.inv_cdf(i / points) - sd) for i in range(1, points)), 1.0]
        return Lengths(tuple(sorted(round(mean * points * (b - a)) for a, b in zip(edges, edges[1:], strict=False))))

    @staticmethod
    def from_quantiles(quantiles: Sequence[tuple[float, float]], points: int = POINTS) -> Lengths:
        """Linear between (share, value) pairs, which ascend in both from the share 0 to 1."""
        shares = [share for share, _ in quantiles]
        values = [value for _, value in quantiles]
        if (
            len(quantiles) < 2
            or (shares[0], shares[-1]) != (0, 1)
            or shares != sorted(set(shares))
            or values != sorted(values)
            or values[0] < 0
        ):
            raise ValueError("quantiles are (share, value) pairs that ascend, from the share 0 to 1")
        return Lengths(tuple(round(_interpolated(quantiles, (i + 0.5) / points)) for i in range(points)))

    @property
    def mean(self) -> float:
        return math.fsum(self.values) / len(self.values)

    @property
    def second_moment(self) -> float:
        """E[L²]."""
        return math.fsum(each * each for each in self.values) / len(self.values)

    def survival(self, length: float) -> float:
        """P(L > length)."""
        return 1 - bisect.bisect_right(self.values, length) / len(self.values)

    def capped(self, most: int) -> Lengths:
        """Of min(L, most): what max_tokens makes of it."""
        return Lengths(tuple(min(each, most) for each in self.values))

    def order_statistic(self, k: int, n: int) -> float:
        """E of the k-th smallest (from 1) of n independent draws.

        P(L_(k) <= v) = P(Binomial(n, F(v)) >= k), summed over the steps of F.
        """
        if not 1 <= k <= n:
            raise ValueError(f"there is no {k}-th of {n}")
        total, size = 0.0, len(self.values)
        previous = 0.0
        for rank, value in enumerate(self.values, 1):
            if rank < size and self.values[rank] == value:
                continue
            reached = _at_least(k, n, rank / size)
            total += value * (reached - previous)
            previous = reached
        return total

    def draw(self, source: random.Random) -> int:
        return self.values[int(source.random() * len(self.values))]

    def draw_beyond(self, length: int, source: random.Random) -> int | None:
        """Of those greater than `length`; None if there are none."""
        first = bisect.bisect_right(self.values, length)
        left = len(self.values) - first
        return self.values[first + int(source.random() * left)] if left else None


def _at_least(k: int, n: int, p: float) -> float:
    """P(Binomial(n, p) >= k)."""
    if p >= 1:
        return 1.0
    if p <= 0:
        return 0.0
    low = min(k, n + 1)
    if low <= n // 2:
        return 1 - math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(low))
    return math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(low, n + 1))


def _interpolated(pairs: Sequence[tuple[float, float]], share: float) -> float:
    for (low, value), (high, following) in zip(pairs, pairs[1:], strict=False):
        if share <= high:
            return value + (following - value) * (share - low) / (high - low)
    return pairs[-1][1]


def beta_means(a: float, b: float, count: int) -> tuple[float, ...]:
    """`count` values of equal weight for a beta distribution: each the mean of its part, ascending."""
    if a <= 0 or b <= 0 or count < 1:
        raise ValueError("a beta distribution has two parameters above 0, and at least one value stands for it")
    edges = [0.0, *(_root(lambda x: beta_cdf(x, a, b), i / count) for i in range(1, count)), 1.0]
    reached = [beta_cdf(x, a + 1, b) for x in edges]
    return tuple(count * a / (a + b) * (high - low) for low, high in zip(reached, reached[1:], strict=False))


def beta_cdf(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    value = 0.0
    for m in range(200, 0, -1):  # from the inside out; the fraction converges in far fewer terms for x below its mean
        odd = -(a + m - 1) * (a + b + m - 1) * x / ((a + 2 * m - 2) * (a + 2 * m - 1))
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        value = odd / (1 + even / (1 + value))
    return front / (1 + value)


def _root(rising: Callable[[float], float], target: float) -> float:
    """Where a rising function of [0, 1] reaches `target`."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < target else (low, middle)
    return (low + high) / 2
