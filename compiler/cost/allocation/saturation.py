"""From which number of samples on another one adds next to nothing: the saturation point (TTSPM, "Scaling over
Scaling", 2025).

F(N) = F_max (1 - (1 - p)^N) is the chance that one of N samples (or of N rounds of rethinking) is right; the next one
adds F_max p (1 - p)^N. It is of hits: a vote saturates elsewhere. p belongs to one input: the mean p overstates the
decay, so the point of a workload is where the mean of the gains falls below the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

MOST = 1_000_000


def gain(p: float, n: int, highest: float = 1.0) -> float:
    """What the sample after n adds to the chance of a hit."""
    return highest * p * (1 - p) ** n


def saturation_point(p: float, threshold: float, highest: float = 1.0) -> int:
    """The least N whose gain is at most `threshold`: ceil(ln(threshold / (F_max p)) / ln(1 - p)), 0 if none is more."""
    if threshold <= 0:
        raise ValueError("a threshold of no gain is never reached")
    if highest * p <= threshold:
        return 0
    if p >= 1:
        return 1
    return max(0, math.ceil(math.log(threshold / (highest * p)) / math.log1p(-p) - 1e-9))


def saturation_of(chances: Sequence[float], threshold: float, highest: float = 1.0, most: int = MOST) -> int:
    """The least N at which the mean gain over inputs is at most `threshold`. It falls with N, so halving finds it."""

    def mean(n: int) -> float:
        return math.fsum(gain(p, n, highest) for p in chances) / len(chances)

    if mean(0) <= threshold:
        return 0
    low, high = 0, 1
    while high < most and mean(high) > threshold:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if mean(middle) > threshold else (low, middle)
    return high
