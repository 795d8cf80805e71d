"""Documents, shots or rounds: how to spend a context on retrieval (DRAG and IterDRAG, Yue et al. 2024).

For theta = (k documents, m shots, n rounds) and i = (gain of one document, gain of one shot, 0) of the task over
answering without any,

    logit(P(theta)) = (a + b * i) . log(theta + 0.01) + c,

with a, b in R^3 and c by ordinary least squares, P rescaled into the open unit interval. b_n stands beside a zero, so
it is 0. The best theta is the one with the greatest mean P whose length is within the limit for every input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

SHIFT = 0.01
"""So that no documents and no shots have a logarithm."""

EDGE = 0.005
"""P is rescaled into [EDGE, 1 - EDGE], where its logit is finite."""


@dataclass(frozen=True, slots=True)
class Spending:
    """Documents in the context, demonstrations in the context, rounds of generation."""

    documents: int
    shots: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Gains:
    """What one document, and one shot, adds to the accuracy of a task over none."""

    document: float
    shot: float


@dataclass(frozen=True, slots=True)
class Observation:
    spending: Spending
    gains: Gains
    accuracy: float


@dataclass(frozen=True, slots=True)
class Fit:
    """`a`, `b`, `c` of the model; `residual`: root of the mean square error of the logits."""

    a: tuple[float, float, float]
    b: tuple[float, float]
    c: float
    residual: float

    def accuracy(self, spending: Spending, gains: Gains) -> float:
        row = np.array(_row(spending, gains))
        value = float(row @ np.array([*self.a, *self.b, self.c]))
        share = 1 / (1 + math.exp(-value))
        return min(1.0, max(0.0, (share - EDGE) / (1 - 2 * EDGE)))


def fit(observations: Sequence[Observation]) -> Fit:
    """Ordinary least squares. Raises `ValueError` if they are too few, or too alike, to tell the six numbers apart."""
    rows = np.array([_row(each.spending, each.gains) for each in observations], dtype=float)
    logits = np.array([_logit(each.accuracy) for each in observations])
    if len(rows) < 6 or np.linalg.matrix_rank(rows) < 6:
        raise ValueError("six different settings and two different tasks are needed for this fit")
    found, _, _, _ = np.linalg.lstsq(rows, logits, rcond=None)
    error = float(np.sqrt(np.mean((rows @ found - logits) ** 2)))
    a0, a1, a2, b0, b1, c = (float(each) for each in found)
    return Fit((a0, a1, a2), (b0, b1), c, error)


def best_spending(
    model: Fit, tasks: Sequence[Gains], grid: Iterable[Spending], fits: Callable[[Spending], bool]
) -> Spending | None:
    """The setting of the grid with the greatest mean accuracy over the tasks among those that `fits` lets pass (whose
    context is within the limit for every input); None if none is.
    """

    def mean(each: Spending) -> float:
        return math.fsum(model.accuracy(each, gains) for gains in tasks) / len(tasks)

    return max((each for each in grid if fits(each)), key=mean, default=None)


def _row(spending: Spending, gains: Gains) -> tuple[float, ...]:
    logs = [math.log(each + SHIFT) for each in (spending.documents, spending.shots, spending.rounds)]
    return (*logs, gains.document * logs[0], gains.shot * logs[1], 1.0)


def _logit(accuracy: float) -> float:
    share = EDGE + (1 - 2 * EDGE) * accuracy
    return math.log(share / (1 - share))
