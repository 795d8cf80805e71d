"""A scripted engine: a stub with the whole engine protocol and no model, for unit tests and `test` blocks.

Time is virtual. A step gives every running request one token and then lets the event loop run, so that what is
decided by one token takes effect before the next. With `jitter`, a seeded fraction of the requests is passed over in
each step: the order in which requests end varies with the jitter's seed, which is how tests show that results do not
depend on it.

It behaves like the real engine where the runtime can tell: a prefix cache filled after prefill and at the end
(`cached_tokens`, at most the prompt's length less one), an abort that takes one more step, ids that are honoured,
stop strings, max_tokens. Scores, rewards and embeddings take one step, and have every ability at once unless told
otherwise. A schema is not enforced: what the script says is what comes back, so that a test can break it
(`conforming` makes replies that keep it). Faults happen on demand. Every request is kept for assertions.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from ttsc.backends.protocol import (
    Ability,
    AbilityMissing,
    Completion,
    ContextTooLong,
    Embedded,
    EmbedRequest,
    EngineError,
    EngineInfo,
    EngineUnavailable,
    FinishKind,
    GenerateRequest,
    Load,
    Progress,
    RequestRefused,
    Rewarded,
    RewardRequest,
    Scored,
    ScoreRequest,
)
from ttsc.backends.scripted.cache import PrefixCache
from ttsc.backends.scripted.figures import (
    Confidences,
    Embed,
    Reward,
    Scores,
    bag_of_words,
    default_confidence,
    default_logprobs,
    default_reward,
)
from ttsc.backends.scripted.script import Reply, table
from ttsc.backends.scripted.tokenizer import END, ScriptedTokenizer

Answer = TypeVar("Answer")
Kind = Literal["generate", "score", "reward", "embed"]
Request = GenerateRequest | ScoreRequest | RewardRequest | EmbedRequest
Fault = Callable[[int, Any], EngineError | None]
"""`(how many requests came before, request of any kind) -> the error it ends with`, or None."""

ALL_ABILITIES: frozenset[Ability] = frozenset({"generate", "score", "schema", "reward", "embed", "images"})


@dataclass(slots=True)
class _Running:
    """A generation has what it will decode, `planned`, and how it ends; the other kinds have their `answer`, which
    only lacks how much of the prompt was cached.
    """

    record: Record
    done: asyncio.Future[Any]
    answer: Callable[[int], object] | None = None
    planned: list[int] = field(default_factory=list)
    logprobs: tuple[float, ...] | None = None
    confidences: tuple[float, ...] | None = None
    finish: FinishKind = "length"
    matched: str | int | None = None
    on_progress: Callable[[Progress], None] | None = None
    cached: int = 0
    produced: int = 0
    prefilled: bool = False
    aborting: bool = False

    @property
    def request(self) -> Any:
        return self.record.request


@dataclass(slots=True)
class Record:
    """One request as the engine saw it. `first_step`, `last_step`: virtual time of its prefill and its end.

    `request` is of the class that `kind` says, and `completion` its result (`Completion`, `Scored`, `Rewarded`,
    `Embedded`), None while it runs and when it failed.
    """

    request: Any
    kind: Kind = "generate"
    first_step: int | None = None
    last_step: int | None = None
    aborted: bool = False
    completion: Any = None


class ScriptedEngine:
    """A stub of `Engine`. `replies`: a function or a table of patterns.

    `scores`, `confidences`, `reward`, `embed`: what it answers, or figures that depend on the text only. `jitter`:
    probability that a running request is passed over in a step, drawn with `jitter_seed`. `settle`: turns of the event
    loop between steps. `slots`: how many requests run at once. `step_s`: real seconds per step, 0 for none.
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
        scores: Scores | None = None,
        confidences: Confidences | None = None,
        reward: Reward | None = None,
        embed: Embed | None = None,
        abilities: frozenset[Ability] = ALL_ABILITIES,
    ) -> None:
        self._reply: Reply = replies if callable(replies) else table(replies)
        self._tokenizer = tokenizer or ScriptedTokenizer()
        self._info = EngineInfo("scripted stub", model, context_tokens, True, 1, device, abilities)
        self._scores = scores
        self._confidences = confidences
        self._reward: Reward = reward or default_reward
        self._embed: Embed = embed or bag_of_words
        self._jitter = jitter
        self._random = random.Random(jitter_seed)
        self._fault = fault
        self._settle = settle
        self._slots = slots
        self._step_s = step_s
        self._live: dict[str, _Running] = {}
        self._cache = PrefixCache()
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

    def revive(self, *, cache: bool = True) -> None:
        """It answers again; without `cache` as a new process, that has nothing cached."""
        self._dead = ""
        if not cache:
            self._cache = PrefixCache()

    async def generate(
        self, request: GenerateRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> Completion:
        record = await self._begin(request, "generate")
        if request.images:
            self._require("images")
        if request.sampling.schema is not None:
            self._require("schema")
            if request.sampling.ignore_eos:
                raise RequestRefused("a schema ends what is decoded, and ignore_eos forbids it to end")
        planned, finish, matched = self._plan(request)
        done: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        live = _Running(record, done, planned=planned, finish=finish, matched=matched)
        live.on_progress = on_progress if request.stream or request.first_token else None
        live.logprobs = self._logprobs(request.input_ids, planned) if request.logprobs else None
        live.confidences = self._confident(request.input_ids, planned) if request.confidences else None
        return await self._finish(live, done)

    async def score(self, request: ScoreRequest) -> Scored:
        record = await self._begin(request, "score")
        name, ids, start = request.request_id, request.input_ids, request.start
        if not 1 <= start <= len(ids):
            raise RequestRefused(f"tokens from position {start} on of {len(ids)} cannot be scored")
        values = self._logprobs(ids[:start], ids[start:])
        if not values:
            return Scored(name, (), 0, 0)
        done: asyncio.Future[Scored] = asyncio.get_running_loop().create_future()
        return await self._finish(_Running(record, done, lambda cached: Scored(name, values, len(ids), cached)), done)

    async def reward(self, request: RewardRequest) -> Rewarded:
        record = await self._begin(request, "reward")
        value = self._reward(self._tokenizer.show(request.input_ids))
        values = (float(value),) if isinstance(value, int | float) else tuple(value)
        answer = Rewarded(request.request_id, values, len(request.input_ids))
        done: asyncio.Future[Rewarded] = asyncio.get_running_loop().create_future()
        return await self._finish(_Running(record, done, lambda cached: answer), done)

    async def embed(self, request: EmbedRequest) -> Embedded:
        record = await self._begin(request, "embed")
        vector = tuple(self._embed(self._tokenizer.decode(request.input_ids)))
        answer = Embedded(request.request_id, vector, len(request.input_ids))
        done: asyncio.Future[Embedded] = asyncio.get_running_loop().create_future()
        return await self._finish(_Running(record, done, lambda cached: answer), done)

    async def _begin(self, request: Request, kind: Kind) -> Record:
        """Keep a request, and raise the error that a fault, a missing ability or its length make of it."""
        record = Record(request, kind)
        self.records.append(record)
        error: EngineError | None = EngineUnavailable(self._dead) if self._dead else None
        if error is None and self._fault is not None:
            error = self._fault(len(self.records) - 1, request)
        if error is not None:
            await asyncio.sleep(0)
            raise error
        self._require(kind)
        length, most = len(request.input_ids), self._info.context_tokens
        if kind != "generate" and length >= most:
            raise ContextTooLong(f"a sequence of {length} tokens does not fit the model's context of {most} tokens")
        return record

    def _require(self, ability: Ability) -> None:
        if ability not in self._info.abilities:
            raise AbilityMissing(f"the scripted engine {self._info.model!r} was made without the ability {ability!r}")

    async def _finish(self, live: _Running, done: asyncio.Future[Answer]) -> Answer:
        request_id = live.request.request_id
        assert request_id not in self._live, "request ids must be unique"
        self._live[request_id] = live
        self.most_at_once = max(self.most_at_once, len(self._live))
        if self._clock is None or self._clock.done():
            self._clock = asyncio.get_running_loop().create_task(self._run())
        try:
            answer = live.record.completion = await done
            return answer
        finally:
            self._live.pop(request_id, None)

    async def abort(self, request_ids: Sequence[str]) -> None:
        self.abort_calls.append(tuple(request_ids))
        if self._dead:
            raise EngineUnavailable(self._dead)
        for request_id in request_ids:
            live = self._live.get(request_id)
            if live is not None:
                live.aborting = True
                live.record.aborted = True

    async def probe(self) -> None:
        if self._dead:
            raise EngineUnavailable(self._dead)

    async def load(self) -> Load | None:
        """What is decoding and what waits for a slot; its memory has no end."""
        await self.probe()
        running = len(self._live) if self._slots is None else min(self._slots, len(self._live))
        return Load(running, len(self._live) - running, 0.0)

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
            most = live.request.start - 1 if live.record.kind == "score" else len(prompt) - 1  # the span is computed
            live.cached = min(self._cache.shared(prompt), max(0, most))

    def _advance(self, live: _Running) -> None:
        if live.produced < len(live.planned):
            live.produced += 1
            if live.produced == 1:
                self._cache.remember(live.request.input_ids)
            if live.on_progress is not None:
                new, sure = live.planned[live.produced - 1], live.confidences
                known = () if sure is None else (sure[live.produced - 1],)
                live.on_progress(Progress(live.request.request_id, live.produced, (new,), known))
        if live.produced == len(live.planned):
            self._end(live, live.finish, live.matched)
        elif live.aborting:
            self._end(live, "abort", None)

    def _end(self, live: _Running, finish: FinishKind, matched: str | int | None) -> None:
        request = live.request
        output = tuple(live.planned[: live.produced])
        if live.prefilled:
            self._cache.remember((*request.input_ids, *output))
        live.record.last_step = self.step
        if live.answer is not None:
            if finish == "abort":
                self._fail(live, EngineError(f"request {request.request_id!r} was aborted before it had a result"))
            else:
                live.done.set_result(live.answer(live.cached))
            return
        prompt = len(request.input_ids) if live.prefilled else 0
        live.done.set_result(
            Completion(
                request.request_id,
                output,
                finish,
                matched,
                prompt,
                live.cached,
                live.produced,
                logprobs=None if live.logprobs is None else live.logprobs[: live.produced],
                confidences=None if live.confidences is None else live.confidences[: live.produced],
            )
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
            for end in range(1, len(ids) + (finish == "eos")):  # of two in one token the first that is named
                if stop in self._tokenizer.decode(ids[:end]):
                    ids, finish, matched = ids[:end], "stop", stop
                    break
        if len(ids) > sampling.max_tokens:
            return ids[: sampling.max_tokens], "length", None
        return ids, finish, matched

    def _logprobs(self, before: Sequence[int], span: Sequence[int]) -> tuple[float, ...]:
        show = self._tokenizer.show
        if self._scores is None:
            return default_logprobs([show((each,)) for each in (*before, *span)], len(before))
        given = self._scores(show(before), show(span))
        found = (float(given),) * len(span) if isinstance(given, int | float) else tuple(given)
        if len(found) != len(span):
            raise ValueError(f"scores= gave {len(found)} numbers for the {len(span)} tokens of {show(span)!r}")
        return found

    def _confident(self, before: Sequence[int], span: Sequence[int]) -> tuple[float, ...]:
        show = self._tokenizer.show
        if self._confidences is None:
            return tuple(default_confidence(show((each,))) for each in span)
        found = tuple(self._confidences(show(before), show(span)))
        if len(found) != len(span):
            raise ValueError(f"confidences= gave {len(found)} numbers for the {len(span)} tokens of {show(span)!r}")
        return found
