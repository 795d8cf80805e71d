"""What goes wrong on a simulated engine: servers that die and come back, requests that fail or hang, refusals for now.

Faults are drawn by the request's number with a seed of their own, so that a run can be had again; they never change
what a request says.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Death:
    """A server is gone from `at_s` on, counted from the engine's first request, for `for_s` seconds; None: for good.

    What it had in flight fails, and it comes back with an empty cache.
    """

    at_s: float
    for_s: float | None = None
    replica: int = 0


@dataclass(frozen=True, slots=True)
class Faults:
    """Probabilities per request. failing: it fails on the server, which lives on, after up to `fails_after_s` seconds.
    busy: it is refused at once and may come again after `retry_after_s`. slow: it reaches the scheduler `slow_s` later.
    aborting: the server aborts it, though nobody asked, after up to `fails_after_s`.
    """

    deaths: tuple[Death, ...] = ()
    failing: float = 0.0
    busy: float = 0.0
    slow: float = 0.0
    aborting: float = 0.0
    fails_after_s: float = 1.0
    retry_after_s: float = 1.0
    slow_s: float = 5.0
    seed: int = 0

    def draw(self, number: int) -> Fault:
        """What goes wrong with the engine's request of that number."""
        source = random.Random(f"{self.seed}/{number}")
        after = source.random() * self.fails_after_s
        return Fault(
            failing_s=after if source.random() < self.failing else None,
            busy_s=self.retry_after_s if source.random() < self.busy else None,
            slow_s=self.slow_s if source.random() < self.slow else 0.0,
            aborting_s=after if source.random() < self.aborting else None,
        )


@dataclass(frozen=True, slots=True)
class Fault:
    """Of one request. Seconds from when it is asked for; None: it does not happen."""

    failing_s: float | None = None
    busy_s: float | None = None
    slow_s: float = 0.0
    aborting_s: float | None = None


NONE = Fault()
