"""A scripted engine: a stub with the whole engine protocol and no model, for unit tests and `test` blocks.

Time is virtual. A step gives every running request one token and then lets the event loop run, so that what is
decided by one token takes effect before the next. With `jitter`, a seeded fraction of the requests is passed over in
each step: the order in which requests end varies with the jitter's seed, which is how tests show that results do not
depend on it.

It behaves like the real engine where the runtime can tell: a prefix cache filled after prefill and at the end
(`cached_tokens`, at most the prompt's length less one), an abort that takes one more step, ids that are honoured,
stop strings, max_tokens. Faults happen on demand. Every request is kept for assertions.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ttsc.backends.protocol import (
    Completion,
    EngineError,
    EngineInfo,
    EngineUnavailable,
    FinishKind,
    GenerateRequest,
    Progress,
)
from ttsc.backends.scripted.script import Reply, table
from ttsc.backends.scripted.tokenizer import END, ScriptedTokenizer

Fault = Callable[[int, GenerateRequest], EngineError | None]
"""`(how many requests came before, request) -> the error it ends with`, or None."""


@dataclass(slots=True)
class _Running:
    request: GenerateRequest
    planned: list[int]
    finish: FinishKind
    matched: str | int | None
    cached: int
    on_progress: Callable[[Progress], None] | None
    done: asyncio.Future[Completion]
    record: Record
    produced: int = 0
    prefilled: bool = False
    aborting: bool = False


@dataclass(slots=True)
class Record:
    """One request as the engine saw it. `first_step`, `last_step`: virtual time of its prefill and its end."""

    request: GenerateRequest
    first_step: int | None = None
    last_step: int | None = None
    aborted: bool = False
    completion: Completion | None = None


@dataclass(slots=True)
class _CacheNode:
    children: dict[int, _CacheNode] = field(default_factory=dict)


class ScriptedEngine:
    """A stub of `Engine`. `replies`: a function or a table of patterns.

    `jitter`: probability that a running request is passed over in a step, drawn with `jitter_seed`. `settle`: turns
    of the event loop between steps. `slots`: how many requests run at once. `step_s`: real seconds per step, 0 for
    none.
    """

    def __init__(
        self,
        replies: Reply | Mapping[str, Sequence[str]],
        *,
        tokenizer: ScriptedTokenizer | None = None,
        model: str = "scripted",
        context_tokens: int = 8192,
        jitter: float = 0.0,
        jitter_seed: int = 0,
        fault: Fault | None = None,
        settle: int = 12,
        slots: int | None = None,
        step_s: float = 0.0,
        device: str = "cpu",
    ) -> None:
        self._reply: Reply = replies if callable(replies) else table(replies)
        self._tokenizer = tokenizer or ScriptedTokenizer()
        self._info = EngineInfo("scripted stub", model, context_tokens, True, 1, device)
        self._jitter = jitter
        self._random = random.Random(jitter_seed)
        self._fault = fault
        self._settle = settle
        self._slots = slots
        self._step_s = step_s
        self._live: dict[str, _Running] = {}
        self._cache = _CacheNode()
        self._clock: asyncio.Task[None] | None = None
        self._dead = ""
        self.step = 0
        self.records: list[Record] = []
        self.abort_calls: list[tuple[str, ...]] = []
        self.most_at_once = 0

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def tokenizer(self) -> ScriptedTokenizer:
        return self._tokenizer

    @property
    def running(self) -> int:
        """Requests that have not ended."""
        return len(self._live)

    def die(self, message: str = "the engine is gone") -> None:
        """Everything in flight fails, and nothing answers from now on."""
        self._dead = message
        for each in tuple(self._live.values()):
            self._fail(each, EngineUnavailable(message))

    def revive(self) -> None:
        self._dead = ""

    async def generate(
        self, request: GenerateRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> Completion:
        record = Record(request)
        self.records.append(record)
        error: EngineError | None = EngineUnavailable(self._dead) if self._dead else None
        if error is None and self._fault is not None:
            error = self._fault(len(self.records) - 1, request)
        if error is not None:
            await asyncio.sleep(0)
            raise error
        planned, finish, matched = self._plan(request)
        live = _Running(
            request,
            planned,
            finish,
            matched,
            0,
            on_progress if request.stream else None,
            asyncio.get_running_loop().create_future(),
            record,
        )
        assert request.request_id not in self._live, "request ids must be unique"
        self._live[request.request_id] = live
        self.most_at_once = max(self.most_at_once, len(self._live))
        if self._clock is None or self._clock.done():
            self._clock = asyncio.get_running_loop().create_task(self._run())
        try:
            record.completion = await live.done
            return record.completion
        finally:
            self._live.pop(request.request_id, None)

    async def abort(self, request_ids: Sequence[str]) -> None:
        self.abort_calls.append(tuple(request_ids))
        if self._dead:
            raise EngineUnavailable(self._dead)
        for request_id in request_ids:
            live = self._live.get(request_id)
            if live is not None:
                live.aborting = True
                live.record.aborted = True

    async def close(self) -> None:
        clock, self._clock = self._clock, None
        if clock is not None:
            clock.cancel()
            await asyncio.gather(clock, return_exceptions=True)

    # --- time ---

    async def _run(self) -> None:
        while self._live:
            for _ in range(self._settle):
                await asyncio.sleep(0)
            if self._step_s:
                await asyncio.sleep(self._step_s)
            self.step += 1
            batch = [
                live
                for live in list(self._live.values())[: self._slots]
                if not live.done.done() and not (self._jitter and self._random.random() < self._jitter)
            ]
            for live in batch:
                self._prefill(live)
            for live in batch:
                self._advance(live)
            self._drop_waiting()

    def _drop_waiting(self) -> None:
        for live in list(self._live.values())[self._slots :] if self._slots is not None else ():
            if live.aborting and not live.done.done():
                self._end(live, "abort", None)

    def _prefill(self, live: _Running) -> None:
        """What is cached before the step counts: requests of one step don't see each other's prompts."""
        if not live.prefilled:
            live.prefilled = True
            live.record.first_step = self.step
            prompt = live.request.input_ids
            live.cached = min(self._shared(prompt), max(0, len(prompt) - 1))

    def _advance(self, live: _Running) -> None:
        if live.produced < len(live.planned):
            live.produced += 1
            if live.produced == 1:
                self._remember(live.request.input_ids)
            if live.on_progress is not None:
                new = live.planned[live.produced - 1]
                live.on_progress(Progress(live.request.request_id, live.produced, (new,)))
        if live.produced == len(live.planned):
            self._end(live, live.finish, live.matched)
        elif live.aborting:
            self._end(live, "abort", None)

    def _end(self, live: _Running, finish: FinishKind, matched: str | int | None) -> None:
        request = live.request
        output = tuple(live.planned[: live.produced])
        if live.prefilled:
            self._remember((*request.input_ids, *output))
        live.record.last_step = self.step
        prompt = len(request.input_ids) if live.prefilled else 0
        live.done.set_result(
            Completion(request.request_id, output, finish, matched, prompt, live.cached, live.produced)
        )

    def _fail(self, live: _Running, error: EngineError) -> None:
        if not live.done.done():
            live.done.set_exception(error)

    # --- what is said ---

    def _plan(self, request: GenerateRequest) -> tuple[list[int], FinishKind, str | int | None]:
        """All tokens the request will get, and how it ends."""
        sampling = request.sampling
        text = self._reply(self._tokenizer.show(request.input_ids), sampling.seed or 0, sampling)
        ids = [*self._tokenizer.encode(text), END]
        finish: FinishKind = "eos"
        matched: str | int | None = END
        for stop in sampling.stop:
            for end in range(1, len(ids) + 1):
                if stop in self._tokenizer.decode(ids[:end]):
                    ids, finish, matched = ids[:end], "stop", stop
                    break
        if len(ids) > sampling.max_tokens:
            return ids[: sampling.max_tokens], "length", None
        return ids, finish, matched

    # --- the prefix cache ---

    def _shared(self, ids: Sequence[int]) -> int:
        node, length = self._cache, 0
        for each in ids:
            following = node.children.get(each)
            if following is None:
                break
            node, length = following, length + 1
        return length

    def _remember(self, ids: Sequence[int]) -> None:
        node = self._cache
        for each in ids:
            node = node.children.setdefault(each, _CacheNode())
