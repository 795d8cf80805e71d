"""The sequences that a simulated server decodes, and their sums, without touching each of them at every step.

A step gives every row one token. So what a row has is the step count less a number of its own, and sums over rows are
linear in the step count.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from ttsc.backends.simulator.job import Job

CLIPPED = 4096
"""SGLang reserves memory for at most so many tokens that a request may still decode."""


class Rows:
    """`step`: decode steps so far. `streaming`: rows that want to hear of every token."""

    def __init__(self) -> None:
        self.step = 0
        self.streaming = 0
        self._jobs: dict[Job, None] = {}
        self._ends: list[tuple[int, int, Job]] = []
        self._order = 0
        self._offset = 0
        self._reserving = (_Reserving(), _Reserving())

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job: Job) -> bool:
        return job in self._jobs

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs)

    @property
    def context(self) -> int:
        """The sum of the rows' lengths: prompts, and what is decoded."""
        return self._offset + len(self._jobs) * self.step

    def produced(self, job: Job) -> int:
        return self.step - job.base

    def add(self, job: Job) -> None:
        """A job whose prefill has given it a token, which counts in `produced`."""
        job.base = self.step - job.produced
        self._jobs[job] = None
        self._offset += job.prompt - job.base
        self.streaming += job.streams
        self._reserving[job.ignore_eos].add(job, self.step)
        self.end(job, job.base + job.output)

    def end(self, job: Job, step: int) -> None:
        """It ends with that step."""
        job.end = step
        self._order += 1
        heapq.heappush(self._ends, (step, self._order, job))

    def remove(self, job: Job) -> None:
        job.produced = self.produced(job)
        del self._jobs[job]
        self._offset -= job.prompt - job.base
        self.streaming -= job.streams
        self._reserving[job.ignore_eos].remove(job, self.step)

    @property
    def next_end(self) -> int:
        """The step with which the first row ends."""
        while True:
            step, _, job = self._ends[0]
            if job in self._jobs and job.end == step:
                return step
            heapq.heappop(self._ends)

    def due(self) -> list[Job]:
        """Rows that have ended, removed."""
        found = []
        while self._ends and self._ends[0][0] <= self.step:
            step, _, job = heapq.heappop(self._ends)
            if job in self._jobs and job.end == step:
                self.remove(job)
                found.append(job)
        if not self._jobs:
            self._ends.clear()
        return found

    def reserved(self, ratio: float) -> float:
        """Tokens of memory that are kept free for what rows may still decode: that part of it, and all of it for those
        that can't end early.
        """
        plain, whole = self._reserving
        return ratio * plain.tokens(self.step) + whole.tokens(self.step)


class _Reserving:
    """The sum of min(tokens that a row may still decode, CLIPPED)."""

    def __init__(self) -> None:
        self._linear: dict[Job, int] = {}
        self._sum = 0
        self._clipped: dict[Job, int] = {}
        self._crossings: list[tuple[int, int, Job]] = []
        self._order = 0

    def add(self, job: Job, step: int) -> None:
        limit = job.base + job.most
        if limit - step > CLIPPED:
            self._clipped[job] = limit
            self._order += 1
            heapq.heappush(self._crossings, (limit - CLIPPED, self._order, job))
        else:
            self._linear[job] = limit
            self._sum += limit

    def remove(self, job: Job, step: int) -> None:
        if self._clipped.pop(job, None) is None:
            self._sum -= self._linear.pop(job)

    def tokens(self, step: int) -> int:
        while self._crossings and self._crossings[0][0] <= step:
            crossing, _, job = heapq.heappop(self._crossings)
            if self._clipped.get(job) == crossing + CLIPPED:
                limit = self._clipped.pop(job)
                self._linear[job] = limit
                self._sum += limit
        return self._sum - len(self._linear) * step + CLIPPED * len(self._clipped)
