"""When a failed request is sent again, and how long to wait before.

What an engine refused is never sent again. A request that failed goes a few times more, after growing delays; where
the server says how long to wait, never before that. One that failed because nothing answered waits for the engine
(`breaker.py`), and is sent again when that is back: only how often is settled here.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from ttsc.backends.protocol import EngineError, EngineUnavailable


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with jitter, in at most so many `attempts`; `unavailable_attempts` of them where the engine
    was gone. `longest_wait_s`: a server that asks for more (Retry-After) is not waited for.

    Jitter spreads requests that failed together; it changes when a request is sent, never what it gives.
    """

    attempts: int = 4
    unavailable_attempts: int = 4
    first_delay_s: float = 0.25
    factor: float = 2.0
    longest_delay_s: float = 20.0
    jitter: float = 0.25
    longest_wait_s: float = 300.0

    def delay_s(self, error: EngineError, attempt: int) -> float | None:
        """Seconds until attempt number `attempt + 1` (the first is 1), or None to give up."""
        gone = isinstance(error, EngineUnavailable)
        if not error.retryable or attempt >= (self.unavailable_attempts if gone else self.attempts):
            return None
        if gone:
            return 0.0
        asked = error.retry_after_s or 0.0
        if asked > self.longest_wait_s:
            return None
        delay = min(self.longest_delay_s, self.first_delay_s * self.factor ** (attempt - 1))
        delay *= 1 + random.uniform(-self.jitter, self.jitter)
        return max(delay, asked * (1 + random.uniform(0.0, self.jitter)))
