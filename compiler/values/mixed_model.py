"""The mixed model of AB-MCTS-M (2503.04412): what a further score of each group, and of a new group, may be.

Score i of group j is y = alpha_j + sigma_y * e, alpha_j = mu + sigma_a * z_j, with e and z_j standard normal and the
priors mu ~ N(0.5, 0.2), sigma_a ~ HalfNormal(0.2), sigma_y ~ HalfNormal(0.3): each group has a mean of its own.

The posterior is integrated, not sampled by a Markov chain: mu and all alpha_j analytically (they are normal given the
two scales), the scales on a grid in their logarithms. Scales below 0.001 count as 0.001: if all scores of each group
are equal, the density has no finite integral without such a bound.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from ttsc.compiler.values.trees import Moments

CENTRE, SPREAD = 0.5, 0.2
"""Prior mean and standard deviation of mu."""
BETWEEN, WITHIN = 0.2, 0.3
"""Scales of the half-normal priors of sigma_a and of sigma_y."""
_LEAST = 1e-3
_GREATEST = 5.0
"""In units of a prior's scale: what lies beyond has a probability below 1e-6."""
_COARSE = 0.25
"""Greatest distance of two points of the grid, in natural logarithms."""


@dataclass(frozen=True, slots=True)
class Group:
    """How many scores, their mean, and the sum of their squared distances from it."""

    count: int
    mean: float
    scatter: float


def group(values: Moments) -> Group:
    """The group of these scores."""
    n = values.count
    mean = values.total / n if n else 0.0
    return Group(n, mean, max(0.0, values.squares - n * mean * mean))


@dataclass(frozen=True, slots=True)
class Posterior:
    """`scales`: points (sigma_a, sigma_y); `ends`: the probabilities of the points up to each, not normalised."""

    groups: tuple[Group, ...]
    scales: tuple[tuple[float, float], ...]
    ends: tuple[float, ...]

    def weights(self) -> list[float]:
        """The probability of each point."""
        before = (0.0, *self.ends)
        return [(end - start) / self.ends[-1] for start, end in zip(before, self.ends, strict=False)]

    def draw(self, rng: Random) -> list[float]:
        """A further score of each group, and last of a new one: one draw of the posterior predictive distribution."""
        at = bisect_right(self.ends, rng.random() * self.ends[-1])
        between, within = self.scales[min(at, len(self.scales) - 1)]
        precision, pull = _of_mean(self.groups, between, within)
        mu = rng.normalvariate(CENTRE + pull / precision, 1 / math.sqrt(precision))
        found = []
        for each in (*self.groups, Group(0, 0.0, 0.0)):
            own, shared = each.count / within**2, 1 / between**2
            centre = (shared * mu + own * each.mean) / (shared + own)
            alpha = rng.normalvariate(centre, 1 / math.sqrt(shared + own))
            found.append(rng.normalvariate(alpha, within))
        return found


def posterior(groups: Sequence[Group]) -> Posterior:
    """The posterior given the scores. Work: points of the grid (some 700, more for many scores) times groups."""
    seen = [each for each in groups if each.count]
    total = sum(each.count for each in seen)
    scatter = math.fsum(each.scatter for each in seen)
    scales, logs = [], []
    for within in _points(WITHIN, total):
        rest = -(total - len(seen)) * math.log(within) - scatter / (2 * within**2) + _log_prior(within, WITHIN)
        for between in _points(BETWEEN, len(seen)):
            scales.append((between, within))
            logs.append(rest + _log_prior(between, BETWEEN) + _log_means(seen, between, within))
    top = max(logs)
    return Posterior(tuple(groups), tuple(scales), tuple(accumulate(math.exp(each - top) for each in logs)))


def _points(scale: float, count: int) -> list[float]:
    """Equally spaced in the logarithm; `count` values determine it to about 1 / sqrt(2 * count)."""
    length = math.log(_GREATEST * scale / _LEAST)
    steps = math.ceil(length / min(_COARSE, 1 / math.sqrt(2 * max(1, count))))
    return [_LEAST * math.exp(length * i / steps) for i in range(steps + 1)]


def _log_prior(sigma: float, scale: float) -> float:
    """Half-normal, as a density of log(sigma)."""
    return math.log(sigma) - sigma**2 / (2 * scale**2)


def _of_mean(groups: Sequence[Group], between: float, within: float) -> tuple[float, float]:
    """The posterior precision of mu given the scales, and precision times (mean - CENTRE)."""
    precision, pull = 1 / SPREAD**2, 0.0
    for each in groups:
        if each.count:
            variance = between**2 + within**2 / each.count
            precision += 1 / variance
            pull += (each.mean - CENTRE) / variance
    return precision, pull


def _log_means(groups: Sequence[Group], between: float, within: float) -> float:
    """Log-density of the groups' means given the scales, mu integrated out; up to a constant."""
    found = 0.0
    for each in groups:
        variance = between**2 + within**2 / each.count
        found -= math.log(variance) + (each.mean - CENTRE) ** 2 / variance
    precision, pull = _of_mean(groups, between, within)
    return (found + pull**2 / precision - math.log(precision)) / 2
