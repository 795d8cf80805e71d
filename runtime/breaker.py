"""The circuit breaker of one engine: when nothing answers, nothing is sent until something does, or the time is over.

    closed --a request finds nobody--> open --a probe is answered--> closed
                                       |  ^
               nothing for `wait_s`    v  |   a request, after a pause
                                       dead

The first request that finds the engine gone opens the breaker. From then on requests wait in the queue, those that
were in flight and failed among them, and one probe after the other asks the engine whether it is there, with growing
pauses. An engine that answers again may be another process: nothing counts as cached any more. If it does not answer
for `wait_s` seconds, whatever waits for it, or is in flight, ends with its error. From then on a request ends with it
at once, but for one probe now and then, so that a session outlives an engine's absence.

An engine that is known not to come back ends them at once, and so does one that answers and is not the one that the
requests were made for (another model).
"""

from __future__ import annotations

import asyncio
import random
from typing import Literal

from ttsc.backends.protocol import Engine, EngineError, EngineUnavailable
from ttsc.runtime.admission import Admission
from ttsc.runtime.prefix import PrefixGate

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
FACTOR = 2.0
JITTER = 0.25
PROBE_S = 5.0
"""A probe that takes longer counts as not answered."""


class Breaker:
    """`wait_s`: how long an engine may be gone before what waits for it ends."""

    def __init__(self, engine: Engine, admission: Admission, gate: PrefixGate, wait_s: float) -> None:
        self.state: Literal["closed", "open", "dead"] = "closed"
        self._engine = engine
        self._admission = admission
        self._gate = gate
        self._wait_s = wait_s
        self._error: EngineError = EngineUnavailable("the engine is gone")
        self._probing: asyncio.Task[None] | None = None
        self._again_s = 0.0
        admission.joining = self._joining

    def gone(self, error: EngineUnavailable) -> None:
        """A request found nobody there."""
        if self.state != "closed":
            return
        if error.retryable:
            self._open(error, self._wait_s)
        else:
            self._end(error)

    async def close(self) -> None:
        probing, self._probing = self._probing, None
        if probing is not None:
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)

    def _joining(self) -> EngineError | None:
        """Why a request can't be sent: of a dead engine, unless it is time to ask it again."""
        if self.state == "dead":
            if asyncio.get_running_loop().time() < self._again_s:
                return self._error
            self._open(self._error, 0.0)
        return None

    def _open(self, error: EngineError, wait_s: float) -> None:
        self.state = "open"
        self._error = error
        self._admission.hold(self)
        self._probing = asyncio.get_running_loop().create_task(self._probe_until(wait_s), name="probe")

    async def _probe_until(self, wait_s: float) -> None:
        loop = asyncio.get_running_loop()
        begun, pause = loop.time(), FIRST_PAUSE_S
        while True:
            try:
                async with asyncio.timeout(PROBE_S):  # wait_for may swallow a cancellation
                    await self._engine.probe()
            except EngineError as error:
                if not error.retryable:
                    self._end(error)
                    return
                self._error = error if isinstance(error, EngineUnavailable) else self._error
            except TimeoutError:
                pass
            else:
                self._recover()
                return
            left = begun + wait_s - loop.time()
            if left <= 0:
                self._end(self._given_up(wait_s))
                return
            await asyncio.sleep(min(left, pause * (1 + random.uniform(-JITTER, JITTER))))
            pause = min(LONGEST_PAUSE_S, pause * FACTOR)

    def _recover(self) -> None:
        self.state = "closed"
        self._probing = None
        self._gate.forget()
        self._admission.capacity.reset()
        self._admission.resume(self)

    def _end(self, error: EngineError) -> None:
        self.state = "dead"
        self._probing = None
        self._error = error
        self._again_s = asyncio.get_running_loop().time() + LONGEST_PAUSE_S
        self._admission.refuse_all(error)
        self._admission.resume(self)

    def _given_up(self, wait_s: float) -> EngineError:
        error = self._error
        if wait_s <= 0 or not isinstance(error, EngineUnavailable):
            return error
        hint = error.hint or "start it again, or allow it more time with --engine-wait"
        return EngineUnavailable(f"{error.message} (waited {wait_s:g} s for it to come back)", hint)
