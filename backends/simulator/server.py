"""One simulated SGLang server: a queue, a batch, a prefix cache, and a clock that moves from step to step.

What it does, as SGLang's scheduler does it: requests are served first come, first served; as long as one waits that
fits, a prefill batch runs and decoding stands still; a prompt that is longer than a batch is computed in chunks; what
may be admitted follows from the memory that is free or evictable, less what running requests may still take; an abort
takes one more step; when memory runs out the sequences that decoded least are taken back and computed again.

Between two events a batch does not change, so its steps are summed in closed form. An arrival or an abort takes
effect at the end of the step that it comes in.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from typing import Literal

from ttsc.backends.protocol import EngineError
from ttsc.backends.simulator.job import Job
from ttsc.backends.simulator.memory import Memory
from ttsc.backends.simulator.radix import ID_BYTES
from ttsc.backends.simulator.rows import CLIPPED, Rows
from ttsc.backends.simulator.served import Served
from ttsc.compiler.cost.steps import Chunk, DecodeStep, Machine

MOMENT_S = 1e-7
"""Longer than the clock's resolution. What a step's end sets off in the program happens before the next step is
decided upon; the step begins when the one before it ended, all the same.
"""
INITIAL_RATIO = 0.7
LEAST_RATIO = 0.14 * INITIAL_RATIO
RATIO_DECAY = (INITIAL_RATIO - LEAST_RATIO) / 600
"""The part of max_tokens that is kept free for running requests, and what it loses with each decode step."""
RETRACT_STEPS = 20
_ROUNDING = 1e-9


class Server:
    """`machine` says how long steps take and what fits."""

    def __init__(self, machine: Machine) -> None:
        self.served = Served()
        self._steps = machine.steps
        self._token_s = machine.overheads.token_s
        self._limits = machine.limits
        self._memory = Memory(machine.limits)
        self._waiting: OrderedDict[Job, None] = OrderedDict()
        self._rows = Rows()
        self._chunked: Job | None = None
        self._aborts: list[Job] = []
        self._prefilling: list[tuple[Job, int]] = []
        self._state: Literal["idle", "deciding", "prefill", "decode"] = "idle"
        self._timer: asyncio.TimerHandle | None = None
        self._begun = 0.0
        self._span: tuple[int, DecodeStep, int] = (0, DecodeStep(0.0, 0.0), 0)
        self._full = False
        self._ratio = INITIAL_RATIO
        self._told = False

    @property
    def running(self) -> int:
        return len(self._rows) + len(self._prefilling)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def kv_used(self) -> int:
        """Tokens of memory that requests hold; the rest is free, or cached and evictable."""
        return self._memory.used

    # --- from outside ---

    def submit(self, job: Job) -> None:
        """The scheduler has a request."""
        self.served.requests += 1
        if job.aborting:
            self._end(job, "abort")
            return
        self._waiting[job] = None
        if self._state == "idle":
            self._decide_soon(asyncio.get_running_loop().time())
        elif self._state == "decode" and not self._full:
            self._shorten()

    def abort(self, job: Job) -> None:
        """The scheduler hears that nobody needs the job any more; it may not have it yet."""
        if job.over or job.aborting:
            return
        job.aborting = True
        self._aborts.append(job)
        if self._state == "decode":
            self._shorten()

    def die(self, error: EngineError) -> None:
        """Everything it has fails, and its memory is gone."""
        lost = [*self._rows, *(job for job, _ in self._prefilling), *self._waiting]
        if self._chunked is not None:
            lost.append(self._chunked)
        self._forget()
        self._memory = Memory(self._limits)
        for job in dict.fromkeys(lost):
            if not job.over:
                self._end(job, error)

    def drop(self) -> None:
        """Its event loop is gone, and whatever was under way with it. What is cached stays."""
        rows, memory = self._rows, self._memory
        for job in tuple(rows):
            rows.remove(job)
            memory.release(job, job.length - 1)
        for job, new in self._prefilling:
            memory.take_back(job, job.computed + new)
        if self._chunked is not None and self._chunked.node is not None:
            memory.release(self._chunked, self._chunked.computed)
        self._forget()

    def _forget(self) -> None:
        """It is idle, with nothing under way."""
        if self._timer is not None:
            self._timer.cancel()
        self._rows = Rows()
        self._waiting.clear()
        self._aborts.clear()
        self._prefilling = []
        self._chunked = None
        self._timer = None
        self._told = False
        self._state, self._full, self._ratio = "idle", False, INITIAL_RATIO

    # --- steps ---

    def _decide_soon(self, begun: float) -> None:
        self._begun = begun
        self._state = "deciding"
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(max(begun, loop.time()) + MOMENT_S, self._decide)

    def _stepped(self, ended: float) -> None:
        """A step has ended. If the program was told of anything, it may want something before the next begins."""
        if self._told:
            self._told = False
            self._decide_soon(ended)
        else:
            self._begun = ended
            self._decide()

    def _decide(self) -> None:
        self._told = False
        if self._aborts:
            self._take_aborts()
        batch = self._admit()
        if batch:
            self._begin_prefill(batch)
        elif self._rows:
            self._begin_decode()
        elif self._told:
            self._told = False
            self._decide_soon(self._begun)
        else:
            self._state, self._timer, self._ratio = "idle", None, INITIAL_RATIO

    def _take_aborts(self) -> None:
        aborts, self._aborts = self._aborts, []
        for job in aborts:
            if job.over:
                continue
            if job in self._rows:
                job.aborted = True
                self._rows.end(job, self._rows.step + 1)
            elif job is self._chunked:
                self._chunked = None
                self._memory.release(job, job.computed)
                self._end(job, "abort")
            elif job in self._waiting:
                del self._waiting[job]
                self._end(job, "abort")

    def _begin_prefill(self, batch: list[tuple[Job, int]]) -> None:
        self._state = "prefill"
        self._prefilling = batch
        self._filled()
        seconds = self._steps.prefill([Chunk(new, job.computed) for job, new in batch])
        self.served.prefill_batches += 1
        self.served.prefill_s += seconds
        self._timer = asyncio.get_running_loop().call_at(self._begun + seconds, self._end_prefill, seconds)

    def _end_prefill(self, seconds: float) -> None:
        self._state = "deciding"
        batch, self._prefilling = self._prefilling, []
        ended, before = self._begun + seconds, len(self._rows)
        for job, new in batch:
            job.computed += new
            self.served.computed_tokens += new
            if job.retracted:
                self.served.recomputed_tokens += new
            else:
                self.served.prompt_tokens += job.computed - job.prefilled
                job.prefilled = job.computed
            if job.computed < job.length:
                self._memory.keep(job)
                continue
            job.produced += job.output > 0
            if job.output:
                self.served.decoded_tokens += 1
                self._tell(job, job.produced)
            if job.produced >= job.output:
                self._memory.release(job, job.computed)
                self._end(job, None)
            else:
                self._memory.keep(job)
                self._rows.add(job)
        if before == 0 or len(self._rows) < before + len(batch):
            self._full = False
        self._stepped(ended)

    def _begin_decode(self) -> None:
        self._state = "decode"
        rows = self._rows
        self._retract_if_needed()
        steps = self._memory.affordable(rows, rows.next_end - rows.step)
        if rows.streaming:
            steps = 1
        step = self._steps.decode(len(rows))
        if rows.streaming and self._token_s:
            step = DecodeStep(step.fixed_s + self._token_s * rows.streaming, step.per_context_s)
        self._span = (steps, step, rows.context)
        self.served.peak_rows = max(self.served.peak_rows, len(rows))
        seconds = step.span(len(rows), rows.context, steps)
        self._timer = asyncio.get_running_loop().call_at(self._begun + seconds, self._end_decode)

    def _shorten(self) -> None:
        """Let the span under way end with the step that is being computed now."""
        steps, step, context = self._span
        rows, loop = len(self._rows), asyncio.get_running_loop()
        elapsed = loop.time() - self._begun
        done = steps_within(step, rows, context, elapsed - _ROUNDING, steps)
        if done < steps:
            assert self._timer is not None
            self._timer.cancel()
            self._span = (done, step, context)
            self._timer = loop.call_at(self._begun + step.span(rows, context, done), self._end_decode)

    def _end_decode(self) -> None:
        self._state = "deciding"
        steps, step, context = self._span
        rows, served = self._rows, self.served
        count = len(rows)
        seconds = step.span(count, context, steps)
        self._memory.held += self._memory.growth(rows, steps)
        rows.step += steps
        self._ratio = max(LEAST_RATIO, self._ratio - RATIO_DECAY * steps)
        served.decode_steps += steps
        served.decode_s += seconds
        served.rows += count * steps
        served.context += steps * context + count * steps * (steps - 1) // 2
        served.decoded_tokens += count * steps
        self._filled()
        if rows.streaming:
            for job in rows:
                if job.streams:
                    self._tell(job, rows.produced(job))
        for job in rows.due():
            self._full = False
            self._memory.release(job, job.length - 1)
            self._end(job, "abort" if job.aborted else None)
        self._stepped(self._begun + seconds)

    # --- admission ---

    def _admit(self) -> list[tuple[Job, int]]:
        """A prefill batch: jobs, and how many tokens of each are computed."""
        if not self._rows:
            self._full = False
        if (self._full or not self._waiting) and self._chunked is None:
            return []
        limits, memory, cache = self._limits, self._memory, self._memory.cache
        page, places = limits.page_tokens, limits.running - len(self._rows)
        budget, chunk = limits.prefill_tokens, limits.chunk_tokens
        free = memory.free
        reserved = self._rows.reserved(self._ratio)
        batch: list[tuple[Job, int]] = []
        if self._chunked is not None:
            job = self._chunked
            rest = int(free + cache.evictable - reserved)
            new = min(job.length - job.computed, min(chunk, rest) if rest > 0 else chunk)
            whole = new == job.length - job.computed
            self._chunked = None if whole else job
            memory.hold(job, new)
            batch.append((job, new))
            taken = memory.paged(new)
            reserved += taken + page + (min(job.most - job.produced, CLIPPED) if whole else 0)
            budget, chunk = budget - taken, chunk - taken
        while self._waiting and budget > 0 and chunk > 0:
            if len(batch) >= places:
                self._full = True
                break
            job = next(iter(self._waiting))
            cacheable = job.length - 1 if job.retracted else job.cacheable
            node, found = cache.match(job.sequence(job.length)[: ID_BYTES * cacheable])
            rest = job.length - found
            most = max(0, job.most - job.produced)
            cache.lock(node)
            if rest + min(most, CLIPPED) + page >= free + cache.evictable - reserved:
                cache.unlock(node)
                self._full = True
                break
            new = rest
            if memory.paged(rest) > chunk:
                new = (found + chunk) // page * page - found
                if new <= 0:
                    cache.unlock(node)
                    break
                self._chunked = job
            del self._waiting[job]
            self._take_up(job, found)
            job.node, job.owned, job.computed = node, found, found
            memory.hold(job, new)
            batch.append((job, new))
            taken = memory.paged(new)
            reserved += taken + page + (min(most, CLIPPED) if new == rest else 0)
            budget, chunk = budget - taken, chunk - taken
        return batch

    def _take_up(self, job: Job, found: int) -> None:
        if not job.retracted:
            job.cached = job.prefilled = found
            self.served.prompt_tokens += found
            self.served.cached_tokens += found

    # --- memory ---

    def _retract_if_needed(self) -> None:
        """Take sequences back until the others have memory for a step."""
        rows, memory = self._rows, self._memory
        if memory.growth(rows, 1) <= memory.room:
            return
        order = sorted(rows, key=lambda job: (-rows.produced(job), job.prompt))
        while len(order) > 1 and memory.growth(rows, 1) > memory.room:
            job = order.pop()
            rows.remove(job)
            memory.take_back(job, job.length - 1)
            job.retracted += 1
            self.served.retractions += 1
            self._waiting[job] = None
            if job.aborted:
                self._aborts.append(job)
        self._full = False
        produced, most = sum(map(rows.produced, rows)), sum(job.most for job in rows)
        self._ratio = min(1.0, (produced + RETRACT_STEPS * len(rows)) / (most + 1))

    def _filled(self) -> None:
        """Memory was taken."""
        self.served.evicted_tokens += self._memory.settle()
        self.served.peak_kv = max(self.served.peak_kv, self._memory.used)

    # --- what the program hears ---

    def _tell(self, job: Job, tokens: int) -> None:
        if job.progressed is not None:
            self._told = True
            job.progressed(tokens)

    def _end(self, job: Job, how: EngineError | Literal["abort"] | None) -> None:
        job.over = True
        self._told = True
        self.served.ended += 1
        if how == "abort":
            self.served.aborted += 1
            job.aborted = True
        self.served.failed += isinstance(how, EngineError)
        job.ended(job, how if isinstance(how, EngineError) else None)


def steps_within(step: DecodeStep, rows: int, context: int, seconds: float, most: int) -> int:
    """The least number of steps, 1 to `most`, whose span is not shorter than so many seconds."""
    square = step.per_context_s * rows / 2
    linear = step.fixed_s + step.per_context_s * context - square
    if seconds <= 0:
        return 1
    if square > 0:
        guess = (math.sqrt(linear * linear + 4 * square * seconds) - linear) / (2 * square)
    else:
        guess = seconds / linear if linear > 0 else 1.0
    guess = min(guess, most)  # infinite where steps take next to no time
    steps = max(1, min(most, math.ceil(guess)))
    while steps > 1 and step.span(rows, context, steps - 1) >= seconds:
        steps -= 1
    while steps < most and step.span(rows, context, steps) < seconds:
        steps += 1
    return steps
