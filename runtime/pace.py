"""How many sequences an engine decodes at once before each of them gets slower.

Decoding one more sequence costs little as long as a step is spent on reading the weights, and its share of the
arithmetic from the point on where that takes longer. Where that point is depends on the machine: about the ratio of
its arithmetic to its memory speed, hundreds on a data centre's GPU and around ten on a CPU. It is begun with that and
then observed: seconds per token of requests that ended, in classes by how many were in flight (1, 2-3, 4-7, 8-15, …).
"""

from __future__ import annotations

PRIOR_CPU = 8
PRIOR_GPU = 128
GROWTH = 1.25
"""A class whose time per token is so many times that of the fastest smaller one is beyond the point."""
_ENOUGH = 4
"""Requests of a class before it says something."""
_WEIGHT = 0.2
"""Of the latest request in the running mean of its class."""
SHORTEST = 8
"""Tokens below which a request's time is mostly not decoding."""


class Pace:
    """Seconds per token by the number of sequences in flight."""

    def __init__(self, device: str) -> None:
        self._prior = PRIOR_CPU if device.startswith("cpu") else PRIOR_GPU
        self._mean: dict[int, float] = {}
        self._count: dict[int, int] = {}

    def observe(self, in_flight: int, tokens: int, seconds: float) -> None:
        """A request decoded so many tokens in so many seconds, and so many were in flight when it ended."""
        if tokens < SHORTEST or seconds <= 0:
            return
        size, each = in_flight.bit_length(), seconds / tokens
        mean = self._mean.get(size, each)
        self._mean[size] = mean + _WEIGHT * (each - mean)
        self._count[size] = self._count.get(size, 0) + 1

    @property
    def room(self) -> int:
        """Sequences up to which one more costs the others next to nothing: the end of the last class before the time
        per token grows. As long as it has not grown: twice the largest class that was seen to be no slower than a
        smaller one, or what such a machine begins with if that is more.
        """
        seen = [size for size in sorted(self._mean) if self._count[size] >= _ENOUGH]
        if len(seen) < 2:
            return self._prior
        fastest = self._mean[seen[0]]
        for size in seen[1:]:
            if self._mean[size] > GROWTH * fastest:
                return (1 << (size - 1)) - 1
            fastest = min(fastest, self._mean[size])
        return max(self._prior, 2 * ((1 << seen[-1]) - 1))
