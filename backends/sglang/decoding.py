"""Requests that decode: those that are asked for in one turn of the event loop go as one POST, and each is answered
as soon as it has ended.

SGLang answers a list of requests with one event stream. With a `stream_interval` that none of them reaches it sends two
events for each: its first token, and its end. So n candidates cost one HTTP request, nobody waits for the slowest, and
whoever waits for a prompt's first token learns of it. Each request keeps its own id and sampling parameters, and is
aborted alone.

Alone go: requests that report every token, with pictures or with a schema (which the server may refuse for itself), and
all through a router, which takes no list of ids. A POST that the server refuses is sent again one by one, so that only
the wrong one fails.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from ttsc.backends.protocol import EngineError, EngineInfo, GenerateRequest, RequestFailed, RequestRefused, Sampling
from ttsc.backends.sglang.answers import SEED_MASK, priority, refusal, request_body, sampling_parameters, size_of
from ttsc.backends.sglang.cancellation import Outstanding
from ttsc.backends.sglang.connection import Connection
from ttsc.backends.sglang.stream import EventParser
from ttsc.backends.sglang.wire import encoded, json_object

_MOST = 64
"""Requests in one POST: the server looks through all of a POST's for each of its events."""

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Entry:
    request: GenerateRequest
    outstanding: Outstanding
    arrived: Callable[[Event], None]
    answer: asyncio.Future[None]

    def take(self, event: Event) -> None:
        """Take in an event; what it lacks is this request's failure."""
        if self.answer.done():
            return
        try:
            self.arrived(event)
        except Exception as error:
            self.answer.set_exception(error)
            return
        if event["meta_info"].get("finish_reason") is not None:
            self.answer.set_result(None)


class Decodings:
    """What one server is asked to decode."""

    def __init__(self, connection: Connection, eos_ids: Collection[int], info: EngineInfo) -> None:
        self._connection = connection
        self._eos_ids = eos_ids
        self._info = info
        self._waiting: list[_Entry] = []
        self._alike: tuple[object, ...] = ()
        self._parameters: dict[str, Any] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, request: GenerateRequest, outstanding: Outstanding, arrived: Callable[[Event], None]) -> None:
        """Until the request has ended. `arrived` is given each event of it, the last one included.

        Raises `EngineError`, and what `arrived` raises.
        """
        if request.stream or request.images or request.sampling.schema is not None or self._connection.workers:
            await self._alone(request, outstanding, arrived)
            return
        loop = asyncio.get_running_loop()
        entry = _Entry(request, outstanding, arrived, loop.create_future())
        if not self._waiting:
            loop.call_soon(self._send_all)
        self._waiting.append(entry)
        await entry.answer

    async def close(self) -> None:
        """Leave what is under way."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _send_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        alike: dict[tuple[bool, int, int], list[_Entry]] = {}
        for entry in waiting:
            if not entry.answer.done():
                asked = entry.request
                alike.setdefault((asked.logprobs, asked.confidences, asked.priority), []).append(entry)
        for entries in alike.values():
            for begin in range(0, len(entries), _MOST):
                self._spawn(entries[begin : begin + _MOST])

    def _spawn(self, batch: Sequence[_Entry]) -> None:
        task = asyncio.get_running_loop().create_task(self._send(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        left = len(batch)

        def given_up(answer: asyncio.Future[None]) -> None:
            """When nobody waits for any of it, the connection is closed."""
            nonlocal left
            left -= 1
            if not left and answer.cancelled():
                task.cancel()

        for entry in batch:
            entry.answer.add_done_callback(given_up)

    async def _send(self, batch: Sequence[_Entry]) -> None:
        try:
            if len(batch) == 1:
                entry = batch[0]
                await self._alone(entry.request, entry.outstanding, entry.take)
            else:
                await self._together(batch)
        except RequestRefused as error:
            await self._refused(batch, error)
        except EngineError as error:
            _fail(batch, error)
        except asyncio.CancelledError:
            _fail(batch, RequestFailed(f"the connection to {self._connection.url} was closed"))
            raise
        except Exception as error:
            _fail(batch, RequestFailed(f"the server's answer lacks what SGLang sends: {error!r}"))
        else:
            _fail(batch, RequestFailed("the server ended its answer before the request had ended"))

    async def _refused(self, batch: Sequence[_Entry], error: RequestRefused) -> None:
        unanswered = [entry for entry in batch if not entry.answer.done()]
        if len(batch) == 1:
            _fail(unanswered, error)
            return
        for entry in unanswered:
            # The server may have begun with those that stood before the wrong one, and refuses an id that it knows.
            await self._connection.tell_abort(entry.outstanding.wire_id)
            if entry.outstanding.seen:
                _fail([entry], RequestFailed(f"the server gave up a list of requests: {error.message}"))
                continue
            entry.outstanding.wire_id = f"{entry.request.request_id}-again"
            self._spawn([entry])

    async def _alone(
        self, request: GenerateRequest, outstanding: Outstanding, arrived: Callable[[Event], None]
    ) -> None:
        body = self._body(request, outstanding)
        if not (request.stream or request.first_token):
            arrived(json_object(await self._connection.compute("/generate", body, size_of(request))))
            return
        if not request.stream:
            body["sampling_params"]["stream_interval"] = request.sampling.max_tokens + 1
        body["stream"] = True
        events = _Events(lambda event: arrived(event), request)
        await self._connection.compute("/generate", body, size_of(request), events.feed)

    async def _together(self, batch: Sequence[_Entry]) -> None:
        head = self._body(batch[0].request, batch[0].outstanding)
        prompts: dict[int, orjson.Fragment] = {}
        for entry in batch:
            ids = entry.request.input_ids
            if id(ids) not in prompts:
                prompts[id(ids)] = orjson.Fragment(encoded(ids))
        lists = {
            "rid": [entry.outstanding.wire_id for entry in batch],
            "input_ids": [prompts[id(entry.request.input_ids)] for entry in batch],
            "sampling_params": [self._sampling(entry.request.sampling) for entry in batch],
        }
        by_id = {entry.outstanding.wire_id: entry for entry in batch}

        def dealt(event: Event) -> None:
            entry = by_id.get(event["meta_info"]["id"])
            if entry is not None:
                entry.take(event)

        largest = max(batch, key=lambda entry: len(entry.request.input_ids) + entry.request.sampling.max_tokens).request
        events = _Events(dealt, largest)
        await self._connection.compute("/generate", head | lists | {"stream": True}, size_of(largest), events.feed)

    def _sampling(self, sampling: Sampling) -> dict[str, Any]:
        """The parameters of one of a list. Siblings differ in their seeds only, so those of the last one are kept."""
        alike = _without_seed(sampling)
        if self._alike != alike:
            self._alike = alike
            self._parameters = sampling_parameters(replace(sampling, seed=None), self._eos_ids)
            self._parameters["stream_interval"] = sampling.max_tokens + 1
        seed = sampling.seed
        return self._parameters if seed is None else {**self._parameters, "sampling_seed": seed & SEED_MASK}

    def _body(self, request: GenerateRequest, outstanding: Outstanding) -> dict[str, Any]:
        body = request_body(request, self._eos_ids) | priority(request, self._info)
        return {**body, "rid": outstanding.wire_id}


class _Events:
    """Bytes of an event stream to events. An event of an error is raised."""

    def __init__(self, arrived: Callable[[Event], None], request: GenerateRequest) -> None:
        self._parser = EventParser()
        self._arrived = arrived
        self._request = request

    def feed(self, data: bytes) -> None:
        for payload in self._parser.feed(data):
            if payload == b"[DONE]":
                continue
            event = json_object(payload)
            if "error" in event:
                raise self._error(event["error"])
            self._arrived(event)

    def _error(self, error: Any) -> EngineError:
        facts = error if isinstance(error, dict) else {"message": str(error)}
        code = facts.get("code")
        return refusal(code if isinstance(code, int) else 500, str(facts.get("message", "")), size_of(self._request))


def _without_seed(sampling: Sampling) -> tuple[object, ...]:
    """All of it that siblings share; as text where 1 and True are equal and not the same."""
    return (
        sampling.max_tokens,
        sampling.temperature,
        sampling.top_p,
        sampling.top_k,
        sampling.min_p,
        sampling.stop,
        sampling.ignore_eos,
        sampling.schema,
        repr(sampling.extra) if sampling.extra else "",
    )


def _fail(batch: Sequence[_Entry], error: EngineError) -> None:
    for entry in batch:
        if not entry.answer.done():
            # Each waiter raises its own, with its own traceback.
            entry.answer.set_exception(copy.copy(error))
