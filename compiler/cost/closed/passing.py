"""pass@k: whether at least one of k samples is right. An oracle's metric, never what a program answers."""

from __future__ import annotations

import math


def pass_at_k(trials: int, right: int, k: int) -> float:
    """The unbiased estimate from `right` of `trials`: 1 - C(trials - right, k) / C(trials, k).

    Raises `ValueError` for a k that there are not enough trials for.
    """
    if not 0 <= right <= trials or not 1 <= k <= trials:
        raise ValueError(f"pass@{k} can't be told from {right} of {trials}")
    return 1 - math.comb(trials - right, k) / math.comb(trials, k)


def hit_rate(right: float, k: int) -> float:
    """The chance that one of k independent samples is right, of which each is with chance `right`."""
    return 1 - (1 - right) ** k
