"""How much may be in flight on one engine: an estimate that begins with what it says of itself, and follows its queue.

Two things are limited: how many requests are in flight, and the tokens of KV memory that they may come to hold (prompt
tokens that no other request has, and max_tokens). What requests really decode is less than max_tokens, as a rule, so
the second limit is a multiple of the memory, the `stretch`, that grows like the first as long as nothing waits in
the engine and memory is free.

What waits in the engine has been sent too early: it can't be overtaken by something more urgent any more. But while
prompts are computed requests wait there, too. So only a queue that lasts from one look to the next while no more
requests get to run counts as one.
"""

from __future__ import annotations

from ttsc.backends.protocol import EngineInfo, Load

FALLBACK = 64
"""Requests in flight on an engine that does not say what it can do."""
NEARLY_FULL = 0.95
"""The part of the KV memory from which on an engine is about to take sequences back and compute them again."""
FREE = 0.85
GROWTH = 1.25
MOST_STRETCH = 10.0
"""SGLang itself reserves no less than about a tenth of max_tokens of a running request (reference: its scheduler's
new-token ratio).
"""


class Capacity:
    """What is in flight, and whether one more may be. `cap`: never more requests than that."""

    def __init__(self, info: EngineInfo, cap: int | None) -> None:
        if cap is not None and cap < 1:
            raise ValueError("the concurrency limit must be at least 1")
        says = info.max_running
        most = [each for each in (says, cap) if each is not None]
        self._most = min(most) if most else None
        self.limit = self._most or FALLBACK
        self.stretch = 1.0
        self._kv = info.kv_tokens
        self.in_flight = 0
        self.tokens = 0
        self._last: Load | None = None

    def fits(self, tokens: int, room: int | None = None) -> bool:
        """Whether a request that may hold so many tokens may go. `room`: at most so many in flight with it."""
        limit = self.limit if room is None else min(self.limit, room)
        if self.in_flight >= limit:
            return False
        return self._kv is None or self.in_flight == 0 or self.tokens + tokens <= self._kv * self.stretch

    def take(self, tokens: int) -> None:
        self.in_flight += 1
        self.tokens += tokens

    def give(self, tokens: int) -> None:
        self.in_flight -= 1
        self.tokens -= tokens

    def follow(self, load: Load) -> None:
        """Adjust the limits to what the engine says, while requests wait here."""
        last, self._last = self._last, load
        stuck = load.waiting > 0 and last is not None and last.waiting > 0 and load.running <= last.running
        if stuck or load.kv_used >= NEARLY_FULL:
            self.limit = max(1, min(self.limit, load.running))
            self.stretch = max(1.0, self.stretch / GROWTH)
            return
        grown = max(self.limit, load.running)  # what it runs, it can run
        if load.waiting == 0 and load.kv_used < FREE:
            if self.in_flight >= self.limit:
                grown += max(1, int(grown * (GROWTH - 1)))
            else:
                self.stretch = min(MOST_STRETCH, self.stretch * GROWTH)
        self.limit = grown if self._most is None else min(self._most, grown)

    def reset(self) -> None:
        """The engine was restarted: what it said of its load was said of another process."""
        self._last = None
