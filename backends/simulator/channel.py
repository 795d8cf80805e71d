"""The way between a program and a simulated server: work that is done one request after the other, and distance."""

from __future__ import annotations

from ttsc.compiler.cost.steps import Overheads


class Channel:
    """Times in seconds of the event loop's clock. One worker does all serial work in the order in which it comes up."""

    def __init__(self, overheads: Overheads) -> None:
        self._overheads = overheads
        self._half = overheads.round_trip_s / 2
        self._busy = 0.0
        self.work_s = 0.0

    def reset(self) -> None:
        """Nothing is under way, and the clock may be another one."""
        self._busy = 0.0

    def sent(self, now: float, requests: int = 1) -> float:
        """When the scheduler has a message of requests that is sent now: all of them when the last is dealt with."""
        costs = self._overheads
        return self._worked(now, costs.post_s + requests * costs.request_s) + self._half

    def aborted(self, now: float) -> float:
        """When the scheduler hears of an abort."""
        return now + self._half

    def reported(self, now: float) -> float:
        """When the program hears of a token that was decoded now. The work for it is a part of the step."""
        return now + self._half

    def answered(self, now: float, requests: int = 1) -> float:
        """When the program has the answers of requests whose last tokens came now."""
        return self._worked(now, requests * self._overheads.answer_s) + self._half

    def _worked(self, now: float, work: float) -> float:
        if work:
            self._busy = max(self._busy, now) + work
            self.work_s += work
            return self._busy
        return max(self._busy, now) if self._busy > now else now
