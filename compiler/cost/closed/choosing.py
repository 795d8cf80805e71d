"""How often the best of n candidates is right, by a score that tells right from wrong candidates imperfectly.

Scores come in levels: those of right and of wrong candidates are two distributions over the same ascending levels. Of
the candidates at the highest level that is there, each is as likely to be chosen (the first of them is: the order says
nothing), so the best is right with the share that right ones have at that level:

    P(right) = sum over levels g of (C_g^n - C_(g-1)^n) * p r_g / (p r_g + (1 - p) w_g),

with C the cumulative distribution of all candidates. Continuous scores are cut into levels so fine that ties don't
matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ttsc.compiler.cost.workload import Rewards

_LEVELS = 2000


def best_of_n(p: float, n: int, right: Sequence[float], wrong: Sequence[float]) -> float:
    """P(the best of n is right): each is right with chance `p`; `right`, `wrong`: chances of the ascending levels.

    What their sums lack of 1 is the chance of no score at all, which loses to every score; without any score at all
    none is chosen.
    """
    return best_of_each([p], n, right, wrong)[0]


def best_of_each(chances: Sequence[float], n: int, right: Sequence[float], wrong: Sequence[float]) -> tuple[float, ...]:
    """`best_of_n` for several inputs, each with its chance that a candidate is right."""
    p = np.asarray(chances, dtype=float)[:, None]
    rights, wrongs = p * np.asarray(right, dtype=float), (1 - p) * np.asarray(wrong, dtype=float)
    masses = rights + wrongs
    none = np.maximum(0.0, 1.0 - masses.sum(axis=1, keepdims=True))
    reached = np.minimum(1.0, none + np.cumsum(masses, axis=1)) ** n
    won = np.diff(np.concatenate((none**n, reached), axis=1), axis=1)
    share = np.divide(rights, masses, out=np.zeros_like(masses), where=masses > 0)
    return tuple(float(each) for each in (won * share).sum(axis=1))


@lru_cache(maxsize=64)
def score_levels(rewards: Rewards) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The two distributions of a reward model's outputs, or a judge's grades, within one input, cut into levels. What
    is common to all candidates of an input changes no choice among them, unless scores end at a border.
    """
    low = min(rewards.right_mean - 8 * rewards.right_sd, rewards.wrong_mean - 8 * rewards.wrong_sd)
    high = max(rewards.right_mean + 8 * rewards.right_sd, rewards.wrong_mean + 8 * rewards.wrong_sd)
    low = low if rewards.low is None else max(low, rewards.low)
    high = high if rewards.high is None else min(high, rewards.high)
    if rewards.whole:
        edges = [each - 0.5 for each in range(math.floor(low + 0.5), math.floor(high + 0.5) + 2)]
    elif high > low:
        edges = [low + (high - low) * each / _LEVELS for each in range(_LEVELS + 1)]
        # What lies beyond a border is at it: a level of its own.
        edges = [edges[0], *([low + 1e-12] if rewards.low is not None else []), *edges[1:]]
        edges = [*edges[:-1], *([high - 1e-12] if rewards.high is not None else []), edges[-1]]
    else:
        edges = [low, low + 1.0]
    return _cut(edges, rewards.right_mean, rewards.right_sd), _cut(edges, rewards.wrong_mean, rewards.wrong_sd)


def yes_levels(accepts: float, verdicts: int, no_verdict: float = 0.0) -> tuple[float, ...]:
    """The share of "yes" among so many verdicts on one candidate, each "yes" with chance `accepts`, by the number of
    them. A reply that is no verdict counts as "no".
    """
    yes = accepts * (1 - no_verdict)
    return tuple(math.comb(verdicts, each) * yes**each * (1 - yes) ** (verdicts - each) for each in range(verdicts + 1))


def _cut(edges: Sequence[float], mean: float, sd: float) -> tuple[float, ...]:
    if sd <= 0:
        reached = [1.0 if edge >= mean else 0.0 for edge in edges]
    else:
        reached = [0.5 * (1 + math.erf((edge - mean) / (sd * math.sqrt(2)))) for edge in edges]
    reached[0], reached[-1] = 0.0, 1.0
    return tuple(b - a for a, b in zip(reached, reached[1:], strict=False))
