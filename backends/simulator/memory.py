"""The KV memory of a simulated server: what requests hold, what the prefix cache keeps, what is free.

A token is held by a request until it is put into the cache; there it is kept as long as a request stands on it, and
evicted when memory is needed afterwards. Requests hold whole pages.
"""

from __future__ import annotations

from ttsc.backends.simulator.job import Job
from ttsc.backends.simulator.radix import RadixCache
from ttsc.backends.simulator.rows import Rows
from ttsc.compiler.cost.steps import Limits


class Memory:
    """Everything is in tokens. `held`: by requests, outside of the cache."""

    def __init__(self, limits: Limits) -> None:
        self.cache = RadixCache(limits.page_tokens)
        self.held = 0
        self._size = limits.kv_tokens
        self._page = limits.page_tokens

    @property
    def free(self) -> int:
        return self._size - self.held - self.cache.size

    @property
    def room(self) -> int:
        """Free, or cached and evictable."""
        return self.free + self.cache.evictable

    @property
    def used(self) -> int:
        """Held by requests, or cached where one stands on it."""
        return self._size - self.room

    def paged(self, tokens: int) -> int:
        """So many tokens, and the rest of the last page."""
        return -(-tokens // self._page) * self._page

    def hold(self, job: Job, new: int) -> None:
        """So many more tokens of a job."""
        self.held += self.paged(job.computed + new) - self.paged(job.computed)

    def keep(self, job: Job) -> None:
        """Put into the cache what a job has computed, and stand on it there."""
        assert job.node is not None
        whole = job.computed - job.computed % self._page
        node = self.cache.insert(job.sequence(whole))
        self.cache.lock(node)
        self.cache.unlock(job.node)
        self.held -= whole - job.owned
        job.node, job.owned = node, whole

    def release(self, job: Job, tokens: int) -> None:
        """Put so many tokens of a job into the cache, and hold nothing for it any more."""
        self.cache.insert(job.sequence(tokens - tokens % self._page))
        self.take_back(job, tokens)

    def take_back(self, job: Job, tokens: int) -> None:
        """Hold nothing for a job any more that has so many tokens."""
        assert job.node is not None
        self.cache.unlock(job.node)
        self.held -= self.paged(tokens) - job.owned
        job.node, job.owned, job.computed = None, 0, 0

    def growth(self, rows: Rows, steps: int) -> int:
        """What so many decode steps take."""
        if self._page == 1:
            return len(rows) * steps
        lengths = [job.prompt + rows.produced(job) - 1 for job in rows]
        return sum(self.paged(length + steps) - self.paged(length) for length in lengths)

    def affordable(self, rows: Rows, most: int) -> int:
        """Decode steps, at most so many, until memory is full: at least one."""
        room = self.room
        if self._page == 1:
            return max(1, min(most, room // len(rows)))
        if len(rows) * (most + self._page) <= room or self.growth(rows, most) <= room:
            return most
        low, high = 1, most
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.growth(rows, middle) <= room else (low, middle)
        return low

    def settle(self) -> int:
        """Evict until what requests hold fits; how many tokens went."""
        return self.cache.evict(-self.free) if self.free < 0 else 0
