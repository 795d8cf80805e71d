"""Sliding windows over a list of numbers, its lowest part, and its quantiles.

What DeepConf (Fu et al. 2025) reads from the confidences of tokens is said with these: the mean of the least window, of
the lowest tenth of the windows, of the last one. A `SlidingMean` gives the same means token by token, to the last bit.
"""

from __future__ import annotations

import math
from collections import deque

from ttsc.compiler.values.evaluation import EvaluationFailed, Operation, filled, integer, number, numbers
from ttsc.compiler.values.types import FLOAT, ListOf

_SHIFT = 1074
"""Every finite float is a whole multiple of 2^-1074: sums of these multiples are exact."""


class SlidingMean:
    """The mean of the last `size` numbers that were pushed, each correctly rounded: it depends on these numbers alone,
    and not on those before them.
    """

    __slots__ = ("_odd", "_sum", "_values", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self._values: deque[float] = deque()
        self._sum = 0
        self._odd = 0
        """How many of the values are infinite or no number."""

    def push(self, value: float) -> float | None:
        """The mean of the window that ends with this number; None while there are fewer than `size`."""
        self._values.append(value)
        self._count(value, 1)
        if len(self._values) > self.size:
            self._count(self._values.popleft(), -1)
        return self.mean() if len(self._values) == self.size else None

    def mean(self) -> float:
        """Of what there is; there must be something."""
        if self._odd:
            return sum(self._values) / len(self._values)
        return self._sum / (len(self._values) << _SHIFT)

    def _count(self, value: float, sign: int) -> None:
        if math.isfinite(value):
            numerator, denominator = float(value).as_integer_ratio()
            self._sum += sign * (numerator << (_SHIFT + 1 - denominator.bit_length()))
        else:
            self._odd += sign


def windows(values: list[float], size: int) -> list[float]:
    """The mean of each window of `size` numbers in a row, in order: as many as there are numbers, less size - 1. Of
    fewer numbers than `size` one mean, of all; of none, none.
    """
    sliding, found = SlidingMean(size), []
    for value in values:
        mean = sliding.push(value)
        if mean is not None:
            found.append(mean)
    return found if found or not values else [sliding.mean()]


def quantile(values: list[float], q: float) -> float:
    """The number at the place q · (n - 1) of the sorted numbers, counted from 0, and between two places on the straight
    line between them: `numpy.quantile` with its default method, "linear".
    """
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    below = math.floor(place)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    part = place - below
    if part == 0:
        return float(low)
    # From the nearer end, as numpy has it.
    return float(low + (high - low) * part if part < 0.5 else high - (high - low) * (1 - part))


def _windows(values: object, size: object) -> list[float]:
    if integer(size) < 1:
        raise EvaluationFailed(f"`windows` of {size} numbers: a window holds at least 1")
    return windows(numbers(values), integer(size))


def _lowest(values: object, share: object) -> list[float]:
    """The lowest share of the numbers, lowest first: so many, rounded down, but at least one; of none, none."""
    found, part = numbers(values), number(share)
    if not 0 < part <= 1:
        raise EvaluationFailed(f"`lowest` with a share of {share}: it is above 0 and at most 1")
    return [float(value) for value in sorted(found)[: max(1, math.floor(part * len(found)))]]


def _quantile(values: object, q: object) -> float:
    found, part = numbers(filled(values, "quantile")), number(q)
    if not 0 <= part <= 1:
        raise EvaluationFailed(f"`quantile` at {q}: it takes a share, from 0 to 1")
    return quantile(found, part)


WINDOWS = (
    Operation("windows", _windows, 2, 2, ListOf(FLOAT)),
    Operation("lowest", _lowest, 2, 2, ListOf(FLOAT)),
    Operation("quantile", _quantile, 2, 2, FLOAT),
)
