"""When a failed request is sent again, and how long to wait before."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ttsc.backends.protocol import EngineError, EngineUnavailable


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with jitter. An engine that is gone is tried only `unavailable_attempts` times.

    Jitter spreads requests that failed together; it changes when a request is sent, never what it gives.
    """

    attempts: int = 4
    unavailable_attempts: int = 2
    first_delay_s: float = 0.25
    factor: float = 2.0
    longest_delay_s: float = 20.0
    jitter: float = 0.25

    def delay_s(self, error: EngineError, attempt: int) -> float | None:
        """Seconds until attempt number `attempt + 1` (the first is 1), or None to give up."""
        gone = isinstance(error, EngineUnavailable)
        if not (error.retryable or gone):
            return None
        if attempt >= (self.unavailable_attempts if gone else self.attempts):
            return None
        delay = min(self.longest_delay_s, self.first_delay_s * self.factor ** (attempt - 1))
        delay *= 1 + random.uniform(-self.jitter, self.jitter)
        return max(delay, error.retry_after_s or 0.0)
