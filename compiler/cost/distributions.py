"""Distributions of lengths: moments, survival, order statistics, draws.

A cost model that knows only the mean is wrong: attention costs depend on E[L²], waiting on the survival curve.
"""

from __future__ import annotations

import bisect
import math
import random
from dataclasses import dataclass


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
        return self.values[source.randrange(len(self.values))]


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
