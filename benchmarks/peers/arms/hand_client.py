"""SGLang's native interface, as someone uses it who knows it: token ids in and out, nothing in between.

One session keeps its connections. Several requests that are wanted together go in one POST (a list of ids, parameters
and request ids), which saves the client and the server most of the work of HTTP. A prompt that is cold, long enough and
shared is led by one of its requests, streamed; the others follow when its first token has come, and find the prompt in
the server's prefix cache. Requests that nobody needs any more are aborted by id, and waited for.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

WORTH_LEADING = 33
"""Fewest tokens for which waiting for a leader's first token pays: below, computing them twice costs less."""


@dataclass(frozen=True, slots=True)
class Request:
    """One decode."""

    ids: tuple[int, ...]
    temperature: float
    max_tokens: int
    seed: int
    stop: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. `ended`: by itself, with the end token; `aborted`: it was given up."""

    ids: tuple[int, ...]
    text: str
    ended: bool
    aborted: bool


class Client:
    """Requests to one server. `eos_ids` end a turn."""

    def __init__(self, url: str, eos_ids: Sequence[int]) -> None:
        self.url = url
        self.calls = 0
        self._eos = sorted(eos_ids)
        self._numbers = itertools.count()
        # A decode may be silent for minutes, and thousands may be in flight. SGLang closes connections that were idle
        # for 5 s, and what is sent on one at that moment is lost.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4),
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=2**20,
        )
        self._prefix = f"hand{id(self):016x}"

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    def rid(self) -> str:
        """A request id of fixed width: no one is the beginning of another."""
        return f"{self._prefix}{next(self._numbers):010d}"

    async def one(self, request: Request, rid: str | None = None) -> Reply:
        """Decode one request."""
        self.calls += 1
        body = {
            "rid": rid or self.rid(),
            "input_ids": request.ids,
            "sampling_params": self._parameters(request),
            "stream": False,
        }
        return self._reply(await self._post("/generate", body))

    async def several(self, requests: Sequence[Request]) -> list[Reply]:
        """Decode requests that are needed together: one POST, answered when the last has ended."""
        if len(requests) < 2:
            return [await self.one(request) for request in requests]
        self.calls += len(requests)
        body = {
            "rid": [self.rid() for _ in requests],
            "input_ids": [request.ids for request in requests],
            "sampling_params": [self._parameters(request) for request in requests],
            "stream": False,
        }
        return [self._reply(answer) for answer in await self._post("/generate", body)]

    async def lead(self, request: Request, rid: str, first: asyncio.Event) -> Reply:
        """Decode one request, and set `first` when its first token has come: its prompt is cached then."""
        self.calls += 1
        body = {
            "rid": rid,
            "input_ids": request.ids,
            "sampling_params": self._parameters(request),
            "stream": True,
        }
        ids: list[int] = []
        text, answer = "", {}
        try:
            async with self._session.post(self.url + "/generate", data=orjson.dumps(body), headers=_JSON) as response:
                response.raise_for_status()
                async for line in response.content:
                    if not line.startswith(b"data: {"):
                        continue
                    first.set()
                    answer = orjson.loads(line[6:])
                    total = answer["meta_info"]["completion_tokens"]
                    fresh = answer["output_ids"]
                    # The server sends all ids so far, or with --incremental-streaming-output the new ones.
                    if len(fresh) >= total:
                        ids, text = list(fresh), answer["text"]
                    elif total > len(ids):
                        ids.extend(fresh[-(total - len(ids)) :])
                        text += answer["text"]
        finally:
            first.set()
        return self._reply({**answer, "output_ids": ids, "text": text})

    async def warm(self, ids: tuple[int, ...]) -> None:
        """Have a prompt computed, and nothing decoded."""
        await self.one(Request(ids, 0.0, 0, 0))

    async def reward(self, ids: tuple[int, ...]) -> float:
        """A reward model's output at the end of `ids`."""
        self.calls += 1
        answer = await self._post("/classify", {"rid": self.rid(), "input_ids": ids})
        return float(answer["embedding"][0])

    async def abort(self, rids: Sequence[str]) -> None:
        """Ask the server to stop working on these."""
        await asyncio.gather(*(self._post("/abort_request", {"rid": rid}, empty=True) for rid in rids))

    def _parameters(self, request: Request) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "temperature": request.temperature,
            "max_new_tokens": request.max_tokens,
            "top_p": 1.0,
            "top_k": -1,
            "min_p": 0.0,
            "no_stop_trim": True,
            "sampling_seed": request.seed,
            "stop_token_ids": self._eos,
        }
        if request.stop is not None:
            parameters["stop"] = [request.stop]
        return parameters

    async def _post(self, path: str, body: dict[str, Any], *, empty: bool = False) -> Any:
        async with self._session.post(self.url + path, data=orjson.dumps(body), headers=_JSON) as response:
            data = await response.read()
            if response.status != 200:
                raise RuntimeError(f"{path}: {response.status} {data[:300]!r}")
            return None if empty else orjson.loads(data)

    def _reply(self, answer: dict[str, Any]) -> Reply:
        finish = answer["meta_info"].get("finish_reason") or {}
        ended = finish.get("type") == "stop" and isinstance(finish.get("matched"), int)
        return Reply(tuple(answer["output_ids"]), answer["text"], ended, finish.get("type") == "abort")


_JSON = {"Content-Type": "application/json"}
