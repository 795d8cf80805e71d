"""How often a majority vote of n samples is right, exactly.

Let p be the chance that a sample is right, q the distribution of wrong answers. With k right votes of n, the vote is
right if no wrong answer has more than k of the other n - k, and with chance 1 / (t + 1) if t of them have k as well:
the answer whose first vote comes first wins a tie, and given the counts every order of the votes is as likely. Ties
at random give the same number. So

    P(right) = sum over k of Binomial(k; n, p) * T(k, n - k),

where T(k, r) is the coefficient of x^r in r! * prod over j of (sum over i < k of (q_j x)^i / i! + y (q_j x)^k / k!),
integrated over y from 0 to 1, since the integral of y^t is 1 / (t + 1). T does not depend on p: one table serves all
inputs that err in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

Floats = Any
"""A numpy array of floats."""


@lru_cache(maxsize=64)
def wrong_answers(collision: float, least: float = 1e-4) -> tuple[float, ...]:
    """Chances of wrong answers, two of which agree with chance `collision`: geometric, since few wrong answers are
    common and many rare. Those after the remainder falls below `least` count as one.
    """
    if not 0 < collision <= 1:
        raise ValueError(f"two wrong answers can't agree with chance {collision}")
    ratio = (1 - collision) / (1 + collision)
    chances: list[float] = []
    rest = 1.0
    while rest > least and len(chances) < 200:
        chances.append(rest * (1 - ratio))
        rest *= ratio
    return (*chances, rest) if rest else tuple(chances)


_MOST_CURVES = 1000


class Votes:
    """Votes of at most `most` samples whose wrong answers are distributed as `wrong`, which sums up to 1."""

    def __init__(self, wrong: Sequence[float], most: int) -> None:
        self._wrong = np.array([each for each in wrong if each > 0], dtype=float)
        if most < 1 or (len(self._wrong) and abs(self._wrong.sum() - 1) > 1e-6):
            raise ValueError("wrong answers have chances that sum up to 1, and a vote has a sample")
        self.most = most
        self._carried = _carried(self._wrong, most)
        self._curves: dict[float, Floats] = {}
        self._logs = np.array([math.lgamma(each + 1) for each in range(most + 1)])

    def accuracy(self, right: float, n: int, valid: float = 1.0) -> float:
        """P(the vote is right) of n samples, each right with chance `right` if it gives an answer at all, which it does
        with chance `valid`; those that give none are no vote.
        """
        if not 1 <= n <= self.most:
            raise ValueError(f"these votes have 1 to {self.most} samples")
        if valid >= 1:
            return float(self._curve(right)[n])
        return float((self._binomial(n, valid) * self._curve(right)[: n + 1]).sum())

    def _curve(self, right: float) -> Floats:
        """The accuracy of each number of votes, from 0."""
        if right not in self._curves:
            if len(self._curves) >= _MOST_CURVES:
                self._curves.clear()
            self._curves[right] = self._all(right)
        return self._curves[right]

    def _all(self, p: float) -> Floats:
        n = np.arange(self.most + 1)[:, None]
        k = np.arange(self.most + 1)[None, :]
        rest = np.maximum(n - k, 0)
        if p <= 0 or p >= 1:
            return np.where(n[:, 0] > 0, float(p >= 1), 0.0)
        logs = self._logs
        masses = logs[n] - logs[k] - logs[rest] + k * math.log(p) + rest * math.log1p(-p)
        return np.where(k <= n, np.exp(np.minimum(masses, 0.0)) * self._carried[k, rest], 0.0).sum(axis=1)

    def _binomial(self, n: int, p: float) -> Floats:
        if p <= 0 or p >= 1:
            masses = np.zeros(n + 1)
            masses[n if p >= 1 else 0] = 1.0
            return masses
        k = np.arange(n + 1)
        logs = self._logs
        return np.exp(logs[n] - logs[k] - logs[n - k] + k * math.log(p) + (n - k) * math.log1p(-p))


def _carried(wrong: Floats, most: int) -> Floats:
    """T(k, r) of the module's text, for k and r from 0 with k + r at most `most`."""
    table = np.ones((most + 1, most + 1))
    if not len(wrong):
        return table
    scale = most / 2  # x = scale * z keeps numbers within floats: those of degree r are near scale^r / r!
    factorials = np.cumsum(np.log(np.maximum(np.arange(most + 1), 1)))
    for k in range(1, most // 2 + 1):
        highest = most - k
        degrees = np.arange(min(k, highest) + 1)
        terms = np.exp(degrees[None, :] * np.log(wrong * scale)[:, None] - factorials[degrees][None, :])
        ties = min(len(wrong), highest // k)
        nodes, weights = np.polynomial.legendre.leggauss((ties + 1) // 2 + 1)
        total = np.zeros(highest + 1)
        for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
            tied = terms.copy()
            tied[:, k] *= node
            product = tied[0]
            for row in tied[1:]:
                product = np.convolve(product, row)[: highest + 1]
            total[: len(product)] += weight * product
        r = np.arange(k, highest + 1)
        table[k, k : highest + 1] = total[r] * np.exp(factorials[r] - r * math.log(scale))
    table[0, :] = 0.0
    return table
