"""Samples over a grid of temperatures ("On the Role of Temperature Sampling", 2025): what is gained is coverage, the
chance that one of all samples is right. Mean accuracy is about the same at each temperature.

A temperature gives each input its own chance p_(q, T) of a right sample; with K_T samples at T an input is missed with
chance prod over T of (1 - p_(q, T))^K_T. Each further sample of a temperature gains less, so that taking the one that
gains most is the best there is for one input, and within 1 - 1/e of it for the mean over inputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

PUBLISHED = tuple(each / 10 for each in range(13))
"""The grid of the paper: 0 to 1.2."""

Chances = Mapping[float, Sequence[float]]
"""By temperature: for each input, the chance that a sample is right."""


def coverage(chances: Chances, samples: Mapping[float, int]) -> float:
    """The mean chance that one of the samples is right. At temperature 0 all samples are one."""
    inputs = len(next(iter(chances.values())))
    total = 0.0
    for question in range(inputs):
        missed = 1.0
        for temperature, count in samples.items():
            missed *= (1 - chances[temperature][question]) ** _different(temperature, count)
        total += 1 - missed
    return total / inputs


def best_grid(chances: Chances, budget: int) -> dict[float, int]:
    """How to spread `budget` samples: one after the other goes where coverage grows most, the lower temperature if
    there is no difference.
    """
    samples = dict.fromkeys(sorted(chances), 0)
    missed = [1.0] * len(next(iter(chances.values())))
    for _ in range(budget):
        best, most = None, 0.0
        for temperature, count in samples.items():
            if temperature == 0 and count:
                continue
            gain = math.fsum(left * p for left, p in zip(missed, chances[temperature], strict=True))
            if best is None or gain > most + 1e-12:
                best, most = temperature, gain
        if best is None:
            break
        samples[best] += 1
        missed = [left * (1 - p) for left, p in zip(missed, chances[best], strict=True)]
    return samples


def expected_samples(temperatures: int, samples: int, leaves: float, at_exit: int) -> float:
    """(1 - e) |T| K + e |T| k: the share `leaves` of inputs ends after `at_exit` samples per temperature since all
    temperatures agree by then; the others take `samples` each.
    """
    return (1 - leaves) * temperatures * samples + leaves * temperatures * at_exit


def _different(temperature: float, count: int) -> int:
    return min(count, 1) if temperature == 0 else count
