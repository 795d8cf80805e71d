"""Races: n generations begin together and advance in lock step; when k have finished, the others are stopped.

The k-th finishes at the k-th smallest length, L_(k). The tokens of all are sum over i of min(L_i, L_(k)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ttsc.compiler.cost.distributions import Lengths


@dataclass(frozen=True, slots=True)
class Race:
    """decoded: tokens of all n generations until the race is over. steps: tokens of the one that ends it."""

    decoded: float
    steps: float


@lru_cache(maxsize=4096)
def order_statistics(lengths: Lengths, n: int) -> tuple[float, ...]:
    """E[L_(1)], ..., E[L_(n)] of n independent draws: `Lengths.order_statistic`, all at once."""
    values, counts = np.unique(np.array(lengths.values, dtype=float), return_counts=True)
    reached = np.cumsum(counts) / len(lengths.values)
    below = np.clip(reached, 1e-300, 1 - 1e-16)[:, None]
    k = np.arange(n + 1)
    logs = np.array([math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in k])
    masses = np.exp(logs[None, :] + k[None, :] * np.log(below) + (n - k)[None, :] * np.log1p(-below))
    masses[reached >= 1] = (k == n).astype(float)
    at_least = np.minimum(1.0, np.cumsum(masses[:, ::-1], axis=1)[:, ::-1])[:, 1:]
    steps = np.diff(np.vstack([np.zeros((1, n)), at_least]), axis=0)
    return tuple(float(each) for each in values @ steps)


def first_finished(lengths: Lengths, k: int, n: int) -> Race:
    """The race that ends when k have finished. k = n waits for all."""
    ordered = order_statistics(lengths, n)
    k = min(k, n)
    return Race(math.fsum(ordered[:k]) + (n - k) * ordered[k - 1], ordered[k - 1])


def last_finished(lengths: Lengths, n: int) -> Race:
    """All of them are waited for, whichever of the longest are then chosen."""
    return first_finished(lengths, n, n)


def right_at(length: int, right: float, of_right: Lengths, of_wrong: Lengths) -> float:
    """P(right | L = length): `right` samples are as long as `of_right`, the others as `of_wrong`. First to finish is
    better than any only where right ones are shorter.
    """
    here = right * of_right.values.count(length) / len(of_right.values)
    there = (1 - right) * of_wrong.values.count(length) / len(of_wrong.values)
    if here + there == 0:
        raise ValueError(f"nothing has the length {length}")
    return here / (here + there)
