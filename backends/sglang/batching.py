"""Scores, rewards and embeddings that are asked for in one turn of the event loop go as one POST.

A server answers a batch of rewards or embeddings only when all of it is done. So a batch holds no more tokens than the
server computes in one prefill step: what is in one step is done at the same time anyway, and nobody waits for another.
(Candidates end at different times, so what is asked for in one turn is most often the steps of one of them, which are
wanted together.) A batch of scores is streamed: each answer comes as soon as it is there.

Each request keeps its own id, by which it is aborted alone. A batch that the server refuses is sent again one by one,
so that only the wrong one fails. Through a router nothing is batched: it takes no
list of ids.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ttsc.backends.protocol import EngineError, EngineInfo, RequestFailed, RequestRefused
from ttsc.backends.sglang.answers import Asked, priority
from ttsc.backends.sglang.cancellation import Outstanding
from ttsc.backends.sglang.connection import Connection
from ttsc.backends.sglang.prefill_answers import PrefillRequest, path_of, prefill_body
from ttsc.backends.sglang.stream import EventParser
from ttsc.backends.sglang.wire import decoded, json_object

_MOST = 64
_STEP_TOKENS = 8192

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Entry:
    request: PrefillRequest
    outstanding: Outstanding
    answer: asyncio.Future[Answer]


class Batches:
    """What is asked of one server without decoding."""

    def __init__(self, connection: Connection, eos_ids: Collection[int], info: EngineInfo) -> None:
        self._connection = connection
        self._eos_ids = eos_ids
        self._info = info
        self._most_tokens = int(info.details.get("chunked_prefill_size", _STEP_TOKENS))
        self._waiting: list[_Entry] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, request: PrefillRequest, outstanding: Outstanding) -> Answer:
        """The server's answer to one request, as if it had been sent alone. Raises `EngineError`."""
        loop = asyncio.get_running_loop()
        entry = _Entry(request, outstanding, loop.create_future())
        if not self._waiting:
            loop.call_soon(self._send_all)
        self._waiting.append(entry)
        return await entry.answer

    async def close(self) -> None:
        """Leave what is under way."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _send_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        for batch in self._batches([entry for entry in waiting if not entry.answer.done()]):
            self._spawn(batch)

    def _spawn(self, batch: Sequence[_Entry]) -> None:
        task = asyncio.get_running_loop().create_task(self._send(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

        def left(_answer: asyncio.Future[Answer]) -> None:
            """When nobody waits for any of it, the connection is closed."""
            if not task.done() and all(entry.answer.cancelled() for entry in batch):
                task.cancel()

        for entry in batch:
            entry.answer.add_done_callback(left)

    def _batches(self, entries: Sequence[_Entry]) -> list[list[_Entry]]:
        """Requests of one kind and priority together, as many as the server computes in a step."""
        open_ones: dict[tuple[str, int], tuple[list[_Entry], int]] = {}
        found: list[list[_Entry]] = []
        for entry in entries:
            size = len(entry.request.input_ids)
            key = path_of(entry.request), entry.request.priority if self._info.priorities else 0
            batch, tokens = open_ones.get(key, ([], 0))
            fits = batch and len(batch) < _MOST and tokens + size <= self._most_tokens
            if not fits or self._connection.workers is not None or size >= self._info.context_tokens:
                batch, tokens = [], 0
                found.append(batch)
            batch.append(entry)
            open_ones[key] = batch, tokens + size
        return found

    async def _send(self, batch: Sequence[_Entry]) -> None:
        try:
            if len(batch) == 1:
                await self._alone(batch[0])
            else:
                await self._together(batch)
        except RequestRefused as error:
            unanswered = [entry for entry in batch if not entry.answer.done()]
            if len(batch) == 1:
                _fail(unanswered, error)
            for entry in unanswered if len(batch) > 1 else ():
                # The server may still know it by its first id, and refuses one that it knows.
                entry.outstanding.wire_id = f"{entry.request.request_id}-again"
                self._spawn([entry])
        except EngineError as error:
            _fail(batch, error)
        except asyncio.CancelledError:
            _fail(batch, RequestFailed(f"the connection to {self._connection.url} was closed"))
            raise
        except Exception as error:
            _fail(batch, RequestFailed(f"the server's answer lacks what SGLang sends: {error!r}"))

    async def _alone(self, entry: _Entry) -> None:
        body = self._body(entry)
        data = await self._connection.compute(path_of(entry.request), body, Asked(len(entry.request.input_ids)))
        _settle(entry, json_object(data))

    async def _together(self, batch: Sequence[_Entry]) -> None:
        path = path_of(batch[0].request)
        bodies = [self._body(entry) for entry in batch]
        body = {
            **bodies[0],
            "rid": [each["rid"] for each in bodies],
            "input_ids": [each["input_ids"] for each in bodies],
        }
        asked = Asked(sum(len(entry.request.input_ids) for entry in batch))
        if path == "/generate":
            body |= {"logprob_start_len": [each["logprob_start_len"] for each in bodies], "stream": True}
            await self._streamed(batch, body, asked)
            return
        answers = decoded(await self._connection.compute(path, body, asked))
        if not isinstance(answers, list) or len(answers) != len(batch):
            raise RequestFailed(f"the server did not answer a batch of {len(batch)} with as many answers")
        for entry, answer in zip(batch, answers, strict=True):
            _settle(entry, answer)

    async def _streamed(self, batch: Sequence[_Entry], body: dict[str, Any], asked: Asked) -> None:
        parser = EventParser()
        by_id = {entry.outstanding.wire_id: entry for entry in batch}

        def arrived(data: bytes) -> None:
            for payload in parser.feed(data):
                if payload == b"[DONE]":
                    continue
                event = json_object(payload)
                if "error" in event:
                    raise RequestRefused(f"the server refused a batch: {event['error']}")
                entry = by_id.get(event["meta_info"]["id"])
                if entry is not None and event["meta_info"].get("finish_reason") is not None:
                    _settle(entry, event)

        await self._connection.compute("/generate", body, asked, arrived)
        missing = sum(not entry.answer.done() for entry in batch)
        if missing:
            raise RequestFailed(f"the server left {missing} requests of a batch of {len(batch)} unanswered")

    def _body(self, entry: _Entry) -> dict[str, Any]:
        body = prefill_body(entry.request, self._eos_ids)
        return {**body, "rid": entry.outstanding.wire_id, **priority(entry.request, self._info)}


def _settle(entry: _Entry, answer: Answer) -> None:
    if not entry.answer.done():
        entry.answer.set_result(answer)


def _fail(batch: Sequence[_Entry], error: EngineError) -> None:
    for entry in batch:
        if not entry.answer.done():
            # Each waiter raises its own, with its own traceback.
            entry.answer.set_exception(copy.copy(error))
