"""Requests that are sent together to an engine, and when its server says that it did what.

They go the way that every request of a program goes, through the engine's client. A server with `--enable-metrics`
puts times into each answer, by a clock of its own: when the request came in, when the scheduler put it into a batch,
when its first token was there, when it was answered. `skew_s` is what that clock is ahead of ours.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ttsc.backends.protocol import EngineInfo, GenerateRequest, Sampling, Tokenizer
from ttsc.backends.sglang.cancellation import Outstanding
from ttsc.backends.sglang.client import SGLangEngine
from ttsc.backends.sglang.connection import Connection
from ttsc.backends.sglang.decoding import Decodings
from ttsc.compiler.cost.steps import Chunk

Ids = tuple[int, ...]
_SAME_BATCH_S = 1e-5
_TIMES = ("request_received_ts", "forward_entry_time", "prefill_finished_time", "request_finished_ts")


class SaysNoTimes(Exception):
    """The server's answers do not say when it did what."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a server says of one request; seconds by its own clock since 1970.

    received_s: by its HTTP side. dispatched_s: sent on to the scheduler. begun_s: put into a prefill batch. first_s:
    its first token was there. finished_s: its last token had come back to the HTTP side.
    """

    prompt: int
    cached: int
    decoded: int
    received_s: float
    dispatched_s: float
    begun_s: float
    first_s: float
    finished_s: float

    @property
    def chunk(self) -> Chunk:
        return Chunk(self.prompt - self.cached, self.cached)


@dataclass(frozen=True, slots=True)
class Burst:
    """Requests that were asked for at `began_s`, all answered at `ended_s`: seconds by our clock since 1970."""

    began_s: float
    ended_s: float
    served: tuple[Served, ...]

    @property
    def seconds(self) -> float:
        return self.ended_s - self.began_s

    @property
    def received_s(self) -> float:
        return min(each.received_s for each in self.served)

    @property
    def dispatched_s(self) -> float:
        return max(each.dispatched_s for each in self.served)

    @property
    def begun_s(self) -> float:
        """When the last of them was put into a batch."""
        return max(each.begun_s for each in self.served)

    @property
    def first_s(self) -> float:
        """When all had their first token."""
        return max(each.first_s for each in self.served)

    def batches(self) -> list[tuple[tuple[Chunk, ...], float]]:
        """The prefill batches, and the seconds of each until its last first token."""
        found: list[tuple[tuple[Chunk, ...], float]] = []
        ordered = sorted(self.served, key=lambda each: each.begun_s)
        while ordered:
            begun = ordered[0].begun_s
            batch = [each for each in ordered if each.begun_s - begun < _SAME_BATCH_S]
            ordered = ordered[len(batch) :]
            found.append((tuple(each.chunk for each in batch), max(each.first_s for each in batch) - begun))
        return found


class WatchedEngine(SGLangEngine):
    """An engine's client that keeps what the server says of each request that has ended."""

    def __init__(self, connection: Connection, info: EngineInfo, tokenizer: Tokenizer) -> None:
        super().__init__(connection, info, tokenizer)
        self.ended: list[dict[str, Any]] = []
        self._decodings = _Watched(connection, tokenizer.eos_ids, info, self.ended)
        self._numbers = itertools.count()
        self._run = f"{time.time_ns():x}"

    async def burst(self, prompts: Sequence[Ids], tokens: int, *, stream: bool = False, apart: bool = False) -> Burst:
        """Ask for `tokens` tokens after each of the prompts at once; in one message, or each in its own (`apart`)."""
        sampling = Sampling(max_tokens=tokens, temperature=1.0, ignore_eos=True, seed=1)
        requests = [
            GenerateRequest(f"profile-{self._run}-{next(self._numbers):08}", ids, sampling, stream) for ids in prompts
        ]

        async def ask(place: int, request: GenerateRequest) -> None:
            for _turn in range(place if apart else 0):
                await asyncio.sleep(0)
            await self.generate(request)

        async def work() -> None:
            await asyncio.gather(*(ask(place, request) for place, request in enumerate(requests)))

        return await self.watched(work)

    async def watched(self, work: Callable[[], Awaitable[object]]) -> Burst:
        """What the server says of the requests of some work. Raises `SaysNoTimes`."""
        self.ended.clear()
        began = time.time()
        await work()
        ended = time.time()
        return Burst(began, ended, tuple(_served(meta) for meta in self.ended))


class _Watched(Decodings):
    """Requests that decode; `ended` is given the last `meta_info` of each."""

    def __init__(self, connection: Connection, eos_ids: Any, info: EngineInfo, ended: list[dict[str, Any]]) -> None:
        super().__init__(connection, eos_ids, info)
        self._ended = ended

    async def ask(
        self, request: GenerateRequest, outstanding: Outstanding, arrived: Callable[[dict[str, Any]], None]
    ) -> None:
        def watched(event: dict[str, Any]) -> None:
            meta = event["meta_info"]
            if meta.get("finish_reason") is not None:
                self._ended.append(meta)
            arrived(event)

        await super().ask(request, outstanding, watched)


def _served(meta: dict[str, Any]) -> Served:
    if not all(isinstance(meta.get(name), float) for name in _TIMES):
        raise SaysNoTimes
    received, begun, first, finished = (float(meta[name]) for name in _TIMES)
    return Served(
        prompt=int(meta["prompt_tokens"]),
        cached=int(meta["cached_tokens"]),
        decoded=int(meta["completion_tokens"]),
        received_s=received,
        dispatched_s=float(meta.get("api_server_dispatch_finish_ts") or received),
        begun_s=begun,
        first_s=first,
        finished_s=finished,
    )
