"""How many samples to draw until an imperfect verifier accepts one, where a wrong answer costs more than none.

Model of "Inference Scaling fLaws" (Stroebl et al. 2024). Inputs are of types i with prior p_i, chance r_i that a sample
is right; the verifier accepts a right one with chance c and rejects a wrong one with chance s. A right answer is worth
V_TP, a wrong one V_FP, none 0. With the chance of a rejection b_i = (1 - c) r_i + s (1 - r_i), the k-th draw adds

    EV_k = sum over i of p_i b_i^(k-1) (V_TP c r_i + V_FP (1 - r_i) (1 - s)).

The paper's notebook weighs it otherwise: it takes the posterior of the types, given k - 1 rejections, in the chance
that there is a k-th draw, too. `published=True` computes that, for comparison with its figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """Inputs of one type: `prior` sums up to 1 over the types; `right`: chance that a sample is right."""

    prior: float
    right: float


@dataclass(frozen=True, slots=True)
class Cap:
    """samples: the best number of draws at most, 0 for none at all; reward: expected, at that cap."""

    samples: int
    reward: float


def draw_value(
    kinds: Sequence[Kind],
    k: int,
    complete: float,
    sound: float,
    value_right: float,
    value_wrong: float,
    published: bool = False,
) -> float:
    """EV_k, the expected value that the k-th draw (from 1) adds."""
    reached = [each.prior * _rejected(each.right, complete, sound) ** (k - 1) for each in kinds]
    gains = [value_right * complete * each.right + value_wrong * (1 - each.right) * (1 - sound) for each in kinds]
    added = math.fsum(chance * gain for chance, gain in zip(reached, gains, strict=True))
    total = math.fsum(reached)
    if not published or total == 0:
        return added
    posterior = [chance / total for chance in reached]
    rejections = [_rejected(each.right, complete, sound) ** (k - 1) for each in kinds]
    return (added / total) * math.fsum(a * b for a, b in zip(posterior, rejections, strict=True))


def best_cap(
    kinds: Sequence[Kind],
    complete: float,
    sound: float,
    value_right: float = 1.0,
    value_wrong: float = -1.0,
    most: int = 1000,
    published: bool = False,
) -> Cap:
    """The cap, from 0 to `most`, at which the expected reward is greatest; the least of those that are as good."""
    best, total = Cap(0, 0.0), 0.0
    for k in range(1, most + 1):
        total += draw_value(kinds, k, complete, sound, value_right, value_wrong, published)
        if total > best.reward + 1e-15:
            best = Cap(k, total)
    return best


def _rejected(right: float, complete: float, sound: float) -> float:
    return (1 - complete) * right + sound * (1 - right)
