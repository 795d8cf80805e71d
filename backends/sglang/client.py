"""The engine protocol over SGLang's native HTTP interface.

Token ids go in and come out; text never does. Three things a client of SGLang 0.5.23 must know are settled here:

- An abort that overtakes its request is ignored by the server, silently, and so is one that gets lost: it is repeated
  until the request has ended.
- A closed connection is no abort (the server notices after seconds): a cancelled task aborts by id, too.
- Whether seeds are honoured is a property of the server's flags and, on a CPU, of its number format.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ttsc.backends.protocol import (
    Completion,
    EngineError,
    EngineInfo,
    GenerateRequest,
    Progress,
    RequestFailed,
    Tokenizer,
)
from ttsc.backends.sglang.answers import completion, error_text, refusal
from ttsc.backends.sglang.connection import Connection, Explain, json_object
from ttsc.backends.sglang.metrics import parse_metrics, totals
from ttsc.backends.sglang.serverinfo import engine_info
from ttsc.backends.sglang.stream import Decoded, EventParser

# When to repeat an abort, in seconds after the first: quickly at first, for one that overtook its request. One whose
# tokens have been seen can't be overtaken, and a server that is about to stop it has other things to do.
_ABORT_AGAIN_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
_ABORT_SEEN_AGAIN_S = _ABORT_AGAIN_S[4:]

# An abort is a round trip of a millisecond: a few connections, kept open, carry more of them than one for each would.
_ABORTS_AT_ONCE = 16


@dataclass(slots=True)
class _Flight:
    """A request that the server has not ended yet."""

    aborted: bool = False
    seen: bool = False
    """Whether a token of it has arrived."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class SGLangEngine:
    """One SGLang server (or a router before several). Use from one event loop; `connect` makes it."""

    def __init__(self, connection: Connection, info: EngineInfo, tokenizer: Tokenizer) -> None:
        self._connection = connection
        self._info = info
        self._tokenizer = tokenizer
        self._flights: dict[str, _Flight] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._abort_slots = asyncio.Semaphore(_ABORTS_AT_ONCE)

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        tokenizer_path: str | Path | None = None,
        api_key: str | None = None,
        explain: Explain | None = None,
    ) -> SGLangEngine:
        """Attach to the server at `url`: ask what it serves, and load that model's tokenizer.

        `tokenizer_path` names a folder with the model's tokenizer.json, where the server's own answer leads nowhere.
        `explain` is asked why the server ended, should it end. Raises `EngineError`.
        """
        connection = Connection(url, api_key=api_key, explain=explain)
        try:
            facts = await engine_info(connection)
            from ttsc.backends.sglang.tokenizer import tokenizer_for_server

            tokenizer = await asyncio.to_thread(tokenizer_for_server, facts.tokenizer, connection.url, tokenizer_path)
        except BaseException:
            await connection.close()
            raise
        return cls(connection, facts.info, tokenizer)

    @property
    def url(self) -> str:
        """The server's address."""
        return self._connection.url

    @property
    def info(self) -> EngineInfo:
        """What the server said of itself when it was attached to."""
        return self._info

    @property
    def tokenizer(self) -> Tokenizer:
        """The served model's own tokenizer."""
        return self._tokenizer

    async def generate(
        self, request: GenerateRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> Completion:
        """Decode one request to its end; see `Engine.generate`. Nothing is retried here."""
        if request.request_id in self._flights:
            raise EngineError(f"request id {request.request_id!r} is already in flight")
        flight = self._flights[request.request_id] = _Flight()
        try:
            if request.stream:
                decoded = await self._stream(request, flight, on_progress)
            else:
                decoded = await self._await(request)
            return completion(request, decoded, self._tokenizer.eos_ids, aborted=flight.aborted)
        except EngineError:
            raise
        except BaseException:
            # Cancelled, or the caller's own `on_progress` failed. Nobody waits any more: the server would go on
            # decoding for seconds after the connection closed.
            self._spawn(self._abort_unseen(request.request_id))
            raise
        finally:
            if self._flights.get(request.request_id) is flight:
                del self._flights[request.request_id]
            flight.ended.set()

    async def abort(self, request_ids: Sequence[str]) -> None:
        """Ask the server to stop decoding these; returns once it has been told. Repeated until they have ended."""
        flights = [(rid, self._flights[rid]) for rid in request_ids if rid in self._flights]
        fresh = [(rid, flight) for rid, flight in flights if not flight.aborted]
        for _rid, flight in fresh:
            flight.aborted = True
        told = await asyncio.gather(*(self._send_abort(rid) for rid, _flight in fresh))
        for (rid, flight), arrived in zip(fresh, told, strict=True):
            if not flight.ended.is_set():
                again = _ABORT_SEEN_AGAIN_S if arrived and flight.seen else _ABORT_AGAIN_S
                self._spawn(self._insist(rid, flight, again))

    async def close(self) -> None:
        """Wait for aborts under way, then close the connections. The server goes on."""
        if self._background:
            await asyncio.wait(self._background, timeout=2.0)
        for task in tuple(self._background):
            task.cancel()
        await self._connection.close()

    async def flush_cache(self) -> None:
        """Empty the server's prefix cache. Refused by the server while requests run; never do it to a shared server."""
        reply = await self._connection.post_control("/flush_cache", {})
        if reply.status_code != 200:
            raise refusal(reply.status_code, error_text(reply.content), None)

    async def counters(self) -> dict[str, float]:
        """The server's metrics by name, each summed over its labels; empty without --enable-metrics."""
        text = await self._connection.get_text("/metrics")
        return totals(parse_metrics(text)) if text else {}

    async def server_info(self) -> dict[str, Any]:
        """The server's whole description of itself; empty where it gives none."""
        return await self._connection.get_json("/server_info") or {}

    async def _await(self, request: GenerateRequest) -> Decoded:
        async with contextlib.aclosing(self._connection.decode(request, self._tokenizer.eos_ids)) as chunks:
            body = b"".join([data async for data in chunks])
        decoded = Decoded()
        _add(decoded, json_object(body))
        return decoded

    async def _stream(
        self, request: GenerateRequest, flight: _Flight, on_progress: Callable[[Progress], None] | None
    ) -> Decoded:
        parser, decoded = EventParser(), Decoded()
        async with contextlib.aclosing(self._connection.decode(request, self._tokenizer.eos_ids)) as chunks:
            async for data in chunks:
                for payload in parser.feed(data):
                    if payload == b"[DONE]":
                        continue
                    event = json_object(payload)
                    if "error" in event:
                        raise self._event_error(event["error"], request)
                    fresh = _add(decoded, event)
                    flight.seen = flight.seen or bool(fresh)
                    if fresh and on_progress is not None:
                        on_progress(Progress(request.request_id, len(decoded.ids), fresh))
        if not decoded.finished:
            raise RequestFailed(f"the server's stream ended after {len(decoded.ids)} tokens without saying why")
        return decoded

    @staticmethod
    def _event_error(error: Any, request: GenerateRequest) -> EngineError:
        facts = error if isinstance(error, dict) else {"message": str(error)}
        code = facts.get("code")
        return refusal(code if isinstance(code, int) else 500, str(facts.get("message", "")), request)

    async def _send_abort(self, request_id: str) -> bool:
        """Whether the server took note. One that can't be reached decodes for nobody; who waits for it learns of it."""
        with contextlib.suppress(EngineError):
            async with self._abort_slots:
                reply = await self._connection.post_control("/abort_request", {"rid": request_id})
                return reply.status_code == 200
        return False

    async def _insist(self, request_id: str, flight: _Flight, again_s: Sequence[float]) -> None:
        """Repeat an abort until the request has ended."""
        for delay_s in again_s:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(flight.ended.wait(), delay_s)
                return
            await self._send_abort(request_id)

    async def _abort_unseen(self, request_id: str) -> None:
        """Abort a request whose end nobody will see, because its connection is closed: a few times."""
        await self._send_abort(request_id)
        for delay_s in _ABORT_AGAIN_S[:3]:
            await asyncio.sleep(delay_s)
            await self._send_abort(request_id)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _add(decoded: Decoded, event: dict[str, Any]) -> tuple[int, ...]:
    try:
        return decoded.add(event)
    except (KeyError, TypeError, ValueError) as error:
        raise RequestFailed(f"the server's answer lacks what SGLang sends: {error!r}") from error
