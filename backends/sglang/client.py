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
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ttsc.backends.protocol import (
    Completion,
    Embedded,
    EmbedRequest,
    EngineError,
    EngineInfo,
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
from ttsc.backends.sglang.abilities import require
from ttsc.backends.sglang.answers import (
    Asked,
    aborted_while_compiling,
    completion,
    error_text,
    refusal,
    request_body,
    size_of,
)
from ttsc.backends.sglang.connection import Connection, Explain, json_object
from ttsc.backends.sglang.metrics import parse_metrics, totals
from ttsc.backends.sglang.prefill_answers import (
    PrefillRequest,
    check_span,
    embedded,
    pool_body,
    rewarded,
    score_body,
    scored,
    was_aborted,
)
from ttsc.backends.sglang.serverinfo import engine_info
from ttsc.backends.sglang.stream import Decoded, EventParser

# When to repeat an abort, in seconds after the first: quickly at first, for one that overtook its request. One whose
# tokens have been seen can't be overtaken, and a server that is about to stop it has other things to do.
_ABORT_AGAIN_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
_ABORT_SEEN_AGAIN_S = _ABORT_AGAIN_S[4:]

Answer = TypeVar("Answer")
Prefill = TypeVar("Prefill", bound=PrefillRequest)

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
        self._check(request)
        async with self._flight(request.request_id) as flight:
            try:
                if request.stream:
                    decoded = await self._stream(request, flight, on_progress)
                else:
                    body = request_body(request, self._tokenizer.eos_ids)
                    decoded = Decoded()
                    _add(decoded, await self._answer("/generate", body, size_of(request)))
                return completion(request, decoded, self._tokenizer.eos_ids, aborted=flight.aborted)
            except RequestRefused as error:
                if not (flight.aborted and aborted_while_compiling(error)):
                    raise
                logprobs = () if request.logprobs else None
                return Completion(request.request_id, (), "abort", None, 0, 0, 0, logprobs=logprobs)

    async def score(self, request: ScoreRequest) -> Scored:
        """Log-probabilities of given tokens; see `Engine.score`. The prefix cache holds the sequence afterwards."""
        require(self._info, self.url, "score")
        check_span(request)
        if request.start == len(request.input_ids):
            return Scored(request.request_id, (), 0, 0)
        body = score_body(request, self._tokenizer.eos_ids)
        return await self._prefill("/generate", body, request, scored)

    async def reward(self, request: RewardRequest) -> Rewarded:
        """A reward model's outputs; see `Engine.reward`."""
        require(self._info, self.url, "reward")
        return await self._prefill("/classify", pool_body(request), request, rewarded)

    async def embed(self, request: EmbedRequest) -> Embedded:
        """An embedding; see `Engine.embed`."""
        require(self._info, self.url, "embed")
        return await self._prefill("/encode", pool_body(request), request, embedded)

    async def abort(self, request_ids: Sequence[str]) -> None:
        """Ask the server to stop working on these; returns once it has been told. Repeated until they have ended."""
        flights = [(rid, self._flights[rid]) for rid in request_ids if rid in self._flights]
        fresh = [(rid, flight) for rid, flight in flights if not flight.aborted]
        for _rid, flight in fresh:
            flight.aborted = True
        told = await asyncio.gather(*(self._send_abort(rid) for rid, _flight in fresh))
        for (rid, flight), arrived in zip(fresh, told, strict=True):
            if not flight.ended.is_set():
                again = _ABORT_SEEN_AGAIN_S if arrived and flight.seen else _ABORT_AGAIN_S
                self._spawn(self._insist(rid, flight, again))

    async def load(self) -> Load | None:
        """What the server is doing now; see `Engine.load`."""
        return None

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

    def _check_ids(self, ids: Sequence[int]) -> None:
        """Refuse ids that the model does not have: SGLang 0.5.23 dies of them."""
        limit = getattr(self._tokenizer, "vocabulary_tokens", None)
        if not ids:
            raise RequestRefused("there are no tokens to compute on", "an empty prompt has no continuation")
        if limit is not None and max(ids) >= limit:
            raise RequestRefused(
                f"{self._info.model} has no token {max(ids)}; its vocabulary has {limit}",
                "ids of one model mean nothing to another: encode the text with this model's own tokenizer",
            )

    def _check(self, request: GenerateRequest) -> None:
        """Refuse what this server cannot do."""
        require(self._info, self.url, "generate")
        self._check_ids(request.input_ids)
        if request.images:
            require(self._info, self.url, "images")
        if request.sampling.schema is not None:
            require(self._info, self.url, "schema")
            if request.sampling.ignore_eos:
                raise RequestRefused(
                    "a schema ends what is decoded, and ignore_eos forbids it to end", "leave out one of them"
                )

    @asynccontextmanager
    async def _flight(self, request_id: str) -> AsyncIterator[_Flight]:
        """A request while the server works on it. One that nobody waits for any more is aborted."""
        if request_id in self._flights:
            raise EngineError(f"request id {request_id!r} is already in flight")
        flight = self._flights[request_id] = _Flight()
        try:
            yield flight
        except EngineError:
            raise
        except BaseException:
            # Cancelled, or the caller's own `on_progress` failed. Nobody waits any more: the server would go on
            # for seconds after the connection closed.
            self._spawn(self._abort_unseen(request_id))
            raise
        finally:
            if self._flights.get(request_id) is flight:
                del self._flights[request_id]
            flight.ended.set()

    async def _prefill(
        self, path: str, body: dict[str, Any], request: Prefill, read: Callable[[Prefill, dict[str, Any]], Answer]
    ) -> Answer:
        self._check_ids(request.input_ids)
        async with self._flight(request.request_id) as flight:
            try:
                answer = await self._answer(path, body, Asked(len(request.input_ids)))
                return read(request, answer)
            except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
                raise RequestFailed(f"the server's answer lacks what SGLang sends: {error!r}") from error
            except RequestFailed as error:
                # A server may answer an abort with an error of its own.
                if flight.aborted:
                    raise was_aborted(request.request_id) from error
                raise

    async def _answer(self, path: str, body: dict[str, Any], asked: Asked) -> dict[str, Any]:
        async with contextlib.aclosing(self._connection.compute(path, body, asked)) as chunks:
            return json_object(b"".join([data async for data in chunks]))

    async def _stream(
        self, request: GenerateRequest, flight: _Flight, on_progress: Callable[[Progress], None] | None
    ) -> Decoded:
        parser, decoded = EventParser(), Decoded()
        body = request_body(request, self._tokenizer.eos_ids)
        async with contextlib.aclosing(self._connection.compute("/generate", body, size_of(request))) as chunks:
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
        return refusal(code if isinstance(code, int) else 500, str(facts.get("message", "")), size_of(request))

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
