"""A simulated engine: the whole engine protocol in virtual time, with no model behind it.

`Outcomes` says what requests say, a `Machine` how long it takes, and N servers behind a router do what SGLang's would
(`server.py`). Time is that of the running event loop: on a `VirtualTimeLoop` hours pass at once, on any other one it
takes as long as it says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import reduce
from operator import add
from typing import Any, TypeVar

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
    RequestFailed,
    RequestRefused,
    Rewarded,
    RewardRequest,
    Scored,
    ScoreRequest,
    Tokenizer,
)
from ttsc.backends.simulator.channel import Channel
from ttsc.backends.simulator.faults import NONE, Faults
from ttsc.backends.simulator.job import Job
from ttsc.backends.simulator.messages import Messages
from ttsc.backends.simulator.outcomes import Outcomes
from ttsc.backends.simulator.radix import packed
from ttsc.backends.simulator.router import Router
from ttsc.backends.simulator.served import Served
from ttsc.backends.simulator.server import Server
from ttsc.compiler.cost.steps import Machine

Request = GenerateRequest | ScoreRequest | RewardRequest | EmbedRequest
Answer = TypeVar("Answer")

ALL_ABILITIES: frozenset[Ability] = frozenset({"generate", "score", "schema", "reward", "embed", "images"})
GONE = "the simulated server is gone"


class SimulatedEngine:
    """`replicas` servers like `machine`. `tokenizer`: that of the outcomes. `device`, `parameters`: what the engine
    says of itself, where that is not the machine's name. `workload`: where its outcomes come from.
    """

    def __init__(
        self,
        machine: Machine,
        outcomes: Outcomes,
        tokenizer: Tokenizer,
        *,
        replicas: int = 1,
        faults: Faults | None = None,
        abilities: frozenset[Ability] = ALL_ABILITIES,
        device: str | None = None,
        parameters: int | None = None,
        workload: str = "",
    ) -> None:
        if replicas < 1:
            raise ValueError("there is at least one replica")
        limits = machine.limits
        self._machine = machine
        self._outcomes = outcomes
        self._tokenizer = tokenizer
        self._faults = faults
        self._info = EngineInfo(
            name="simulator",
            model=machine.model,
            context_tokens=limits.context_tokens,
            seeds_honoured=True,
            page_tokens=limits.page_tokens,
            device=machine.name if device is None else device,
            abilities=abilities,
            max_running=limits.running * replicas,
            kv_tokens=limits.kv_tokens * replicas,
            parameters=parameters,
            simulated=True,
            details={name: text for name, text in (("machine", machine.source), ("workload", workload)) if text},
        )
        self.servers = [Server(machine) for _ in range(replicas)]
        self._channels = [Channel(machine.overheads) for _ in range(replicas)]
        self._down: list[float | None] = [0.0] * replicas
        """When a server comes back; 0 for one that is there, None for one that does not."""
        self._router = Router(replicas)
        self._live: dict[str, Job] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._number = 0
        self._messages = Messages(self._channels, self._deliver, self._later)

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def tokenizer(self) -> Tokenizer:
        return self._tokenizer

    @property
    def machine(self) -> Machine:
        return self._machine

    @property
    def served(self) -> Served:
        """What all servers have done so far."""
        return reduce(add, (server.served for server in self.servers))

    async def generate(
        self, request: GenerateRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> Completion:
        sampling, ids = request.sampling, request.input_ids
        self._require("generate")
        if request.images:
            self._require("images")
        if sampling.schema is not None:
            self._require("schema")
            if sampling.ignore_eos:
                raise RequestRefused("a schema ends what is decoded, and ignore_eos forbids it to end")
        most = self._room(len(ids), sampling.max_tokens)
        said = self._outcomes.decode(request)
        output = min(len(said.ids), most)

        def answer(job: Job) -> Completion:
            finish: FinishKind = "abort" if job.aborted else said.finish
            matched = said.matched if finish in ("eos", "stop") else None
            if output < len(said.ids) and not job.aborted:
                finish, matched = "length", None
            return Completion(
                request.request_id,
                said.ids[: job.produced],
                finish,
                matched,
                job.prefilled,
                job.cached,
                job.produced,
                logprobs=None if said.logprobs is None else said.logprobs[: job.produced],
                confidences=None if said.confidences is None else said.confidences[: job.produced],
            )

        heard = 0

        def progressed(tokens: int) -> None:
            nonlocal heard
            new, sure = said.ids[heard:tokens], (said.confidences or ())[heard:tokens]
            heard = tokens
            assert on_progress is not None
            on_progress(Progress(request.request_id, tokens, new, sure))

        listens = on_progress is not None and (request.stream or request.first_token)
        job = self._job(
            packed(ids),
            len(ids),
            output=output,
            most=most,
            ignore_eos=sampling.ignore_eos,
            streams=listens and request.stream,
            packed_output=lambda tokens: packed(said.ids[:tokens]),
        )
        return await self._served(request, job, answer, progressed if listens else None)

    async def score(self, request: ScoreRequest) -> Scored:
        ids = request.input_ids
        self._require("score")
        if not 1 <= request.start <= len(ids):
            raise RequestRefused(f"tokens from position {request.start} on of {len(ids)} cannot be scored")
        if request.start == len(ids):
            return Scored(request.request_id, (), 0, 0)
        self._room(len(ids), 0)
        logprobs = self._outcomes.scores(request)
        job = self._job(packed(ids), len(ids), cacheable=request.start - 1)
        return await self._served(
            request, job, lambda job: Scored(request.request_id, logprobs, job.prefilled, job.cached)
        )

    async def reward(self, request: RewardRequest) -> Rewarded:
        self._require("reward")
        self._room(len(request.input_ids), 0)
        values = self._outcomes.rewards(request)
        job = self._job(packed(request.input_ids), len(request.input_ids))
        return await self._served(request, job, lambda job: Rewarded(request.request_id, values, job.prefilled))

    async def embed(self, request: EmbedRequest) -> Embedded:
        self._require("embed")
        self._room(len(request.input_ids), 0)
        vector = self._outcomes.embed(request)
        job = self._job(packed(request.input_ids), len(request.input_ids))
        return await self._served(request, job, lambda job: Embedded(request.request_id, vector, job.prefilled))

    async def abort(self, request_ids: Sequence[str]) -> None:
        self._answers()
        for request_id in request_ids:
            job = self._live.get(request_id)
            if job is not None:
                self._stop(job)

    async def load(self) -> Load | None:
        self._answers()
        up = [server for server, down in zip(self.servers, self._down, strict=True) if down == 0.0]
        used = sum(server.kv_used for server in up) / (self._machine.limits.kv_tokens * len(up))
        return Load(sum(server.running for server in up), sum(server.waiting for server in up), used)

    async def probe(self) -> None:
        self._answers()

    async def close(self) -> None:
        timers, self._timers = self._timers, []
        for timer in timers:
            timer.cancel()

    # --- before it is sent ---

    def _require(self, ability: Ability) -> None:
        if ability not in self._info.abilities:
            raise AbilityMissing(f"the simulated engine of {self._info.model} was made without the ability {ability!r}")

    def _room(self, prompt: int, most: int) -> int:
        """How many tokens may be decoded after so many: `most`, or what memory has room for.

        SGLang cuts max_tokens to its memory, too, since a request that never fits would wait forever.
        """
        limits = self._machine.limits
        if prompt + most > limits.context_tokens or (most == 0 and prompt >= limits.context_tokens):
            asked = f"a prompt of {prompt} tokens" + (f" and max_tokens {most}" if most else "")
            raise ContextTooLong(f"{asked} do not fit the model's context of {limits.context_tokens} tokens")
        room = limits.kv_tokens - prompt - limits.page_tokens - 1
        if room < min(most, 1):
            raise RequestRefused(
                f"a prompt of {prompt} tokens does not fit the engine's memory of {limits.kv_tokens} tokens"
            )
        return min(most, room)

    def _job(self, key: bytes, prompt: int, **given: Any) -> Job:
        return Job(key, prompt, ended=_unheard, **given)

    # --- on its way ---

    async def _served(
        self,
        request: Request,
        job: Job,
        answer: Callable[[Job], Answer],
        progressed: Callable[[int], None] | None = None,
    ) -> Answer:
        loop = self._begin(asyncio.get_running_loop())
        name = request.request_id
        assert name not in self._live, "request ids must be unique"
        fault = NONE if self._faults is None else self._faults.draw(self._number)
        self._number += 1
        self._answers()
        if fault.busy_s is not None:
            raise RequestFailed("the simulated server has no room for it now", retry_after_s=fault.busy_s)
        done: asyncio.Future[Answer] = loop.create_future()
        place = self._router.place(job.key)
        channel = self._channels[place]
        job.server = place

        def settle(error: EngineError | None) -> None:
            if done.done():
                return
            if error is not None:
                done.set_exception(error)
            elif job.aborted and not isinstance(request, GenerateRequest):
                done.set_exception(EngineError(f"request {name!r} was aborted before it had a result"))
            else:
                done.set_result(answer(job))

        def ended(job: Job, error: EngineError | None) -> None:
            self._messages.answer(place, lambda: settle(error))

        job.ended = ended

        def hear(tokens: int) -> None:
            assert progressed is not None
            try:
                progressed(tokens)
            except Exception as defect:
                if not done.done():
                    done.set_exception(defect)

        if progressed is not None:
            job.progressed = lambda tokens: self._later(channel.reported(loop.time()), hear, tokens)
        self._live[name] = job
        timers = [
            loop.call_later(after, what, job)
            for after, what in ((fault.failing_s, self._fail), (fault.aborting_s, self._stop))
            if after is not None
        ]
        try:
            self._messages.ask(job, self._kind(request, job), fault.slow_s)
            return await done
        except asyncio.CancelledError:
            self._stop(job)
            raise
        finally:
            for timer in timers:
                timer.cancel()
            self._router.leave(place)
            del self._live[name]
            job.ended, job.progressed = _unheard, None

    def _kind(self, request: Request, job: Job) -> object:
        """What it may share a message with, None for nothing: a request that reports every token or keeps to a schema,
        and all through a router.
        """
        alone = isinstance(request, GenerateRequest) and (request.sampling.schema is not None or bool(request.images))
        return None if alone or job.streams or len(self.servers) > 1 else type(request)

    def _deliver(self, job: Job, when: float) -> None:
        self._later(when, self._arrive, self.servers[job.server], job)

    def _arrive(self, server: Server, job: Job) -> None:
        if self._down[job.server] != 0.0:
            job.over = True
            job.ended(job, self._lost())
        elif not job.over:
            server.submit(job)

    def _stop(self, job: Job) -> None:
        loop = asyncio.get_running_loop()
        channel, server = self._channels[job.server], self.servers[job.server]
        self._later(channel.aborted(loop.time()), server.abort, job)

    def _fail(self, job: Job) -> None:
        """It fails, and what the server does for it is stopped."""
        if not job.over:
            ended, job.ended, job.progressed = job.ended, _unheard, None
            self.servers[job.server].abort(job)
            ended(job, RequestFailed("the simulated server failed on this request"))

    def _later(self, when: float, what: Callable[..., object], *arguments: Any) -> None:
        assert self._loop is not None
        if when > self._loop.time():
            self._loop.call_at(when, what, *arguments)
        else:
            what(*arguments)

    # --- time and deaths ---

    def _begin(self, loop: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
        """Servers may outlive an event loop, and its clock; what they have cached stays."""
        if loop is not self._loop:
            assert not self._live, "a simulated engine is used on one event loop at a time"
            self._loop = loop
            for channel in self._channels:
                channel.reset()
            self._messages.reset()
            for server in self.servers:
                server.drop()
            now = loop.time()
            for death in () if self._faults is None else self._faults.deaths:
                self._timers.append(loop.call_at(now + death.at_s, self._die, death.replica, death.for_s))
        return loop

    def _die(self, replica: int, for_s: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._down[replica] = None if for_s is None else loop.time() + for_s
        self._router.exclude(replica)
        self.servers[replica].die(self._lost())
        if for_s is not None:
            self._timers.append(loop.call_later(for_s, self._return, replica))

    def _return(self, replica: int) -> None:
        self._down[replica] = 0.0
        self._router.include(replica)

    def _lost(self) -> EngineError:
        """What a request on a server that died ends with: behind a router others are left."""
        if any(down == 0.0 for down in self._down):
            return RequestFailed("the simulated server that had this request is gone")
        return EngineUnavailable(GONE)

    def _answers(self) -> None:
        """Raise if no server is there."""
        if all(down != 0.0 for down in self._down):
            raise EngineUnavailable(GONE)


def _unheard(job: Job, error: EngineError | None) -> None:
    """Nobody waits for it any more."""
