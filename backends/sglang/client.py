"""The engine protocol over SGLang's native HTTP interface.

Token ids go in and come out; text never does. What a client of SGLang 0.5.23 must know is settled in the files that
this one puts together: how aborts get through (`cancellation`), what a batch of scores costs (`batching`), when a
silent server has hung (`silence`), what a router in front changes (`router`), whether seeds are honoured
(`serverinfo`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ttsc.backends.protocol import (
    Completion,
    Embedded,
    EmbedRequest,
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
)
from ttsc.backends.sglang.batching import Batches
from ttsc.backends.sglang.cancellation import Aborts, Outstanding
from ttsc.backends.sglang.confidence import OriginalFigures
from ttsc.backends.sglang.connection import Connection, Explain
from ttsc.backends.sglang.decoding import Decodings
from ttsc.backends.sglang.loads import load_of
from ttsc.backends.sglang.metrics import parse_metrics, totals
from ttsc.backends.sglang.prefill_answers import PrefillRequest, check_span, embedded, rewarded, scored, was_aborted
from ttsc.backends.sglang.serverinfo import engine_info
from ttsc.backends.sglang.silence import DEFAULT_SILENCE_S
from ttsc.backends.sglang.stream import Decoded
from ttsc.backends.sglang.wire import json_object

Answer = TypeVar("Answer")
Prefill = TypeVar("Prefill", bound=PrefillRequest)


class SGLangEngine:
    """One SGLang server (or a router before several). Use from one event loop; `connect` makes it."""

    def __init__(self, connection: Connection, info: EngineInfo, tokenizer: Tokenizer) -> None:
        self._connection = connection
        self._info = info
        self._tokenizer = tokenizer
        self._aborts = Aborts(connection.tell_abort)
        self._checked: tuple[int, ...] | None = None
        """The prompt whose ids were looked at last."""
        self._batches = Batches(connection, tokenizer.eos_ids, info)
        self._decodings = Decodings(connection, tokenizer.eos_ids, info)
        self._figures = OriginalFigures(connection.url, self._figures_of, getattr(tokenizer, "vocabulary_tokens", None))

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        tokenizer_path: str | Path | None = None,
        api_key: str | None = None,
        explain: Explain | None = None,
        silence_s: float = DEFAULT_SILENCE_S,
    ) -> SGLangEngine:
        """Attach to the server at `url`: ask what it serves, and load that model's tokenizer.

        `tokenizer_path` names a folder with the model's tokenizer.json, where the server's own answer leads nowhere.
        `explain` is asked why the server ended, should it end. `silence_s`: how long a request may be silent before the
        server is asked whether it is well. Raises `EngineError`.
        """
        connection = Connection(url, api_key=api_key, explain=explain, silence_s=silence_s)
        try:
            facts = await engine_info(connection)
            from ttsc.backends.sglang.tokenizer import tokenizer_for_server

            tokenizer = await asyncio.to_thread(
                tokenizer_for_server, facts.tokenizer, connection.url, tokenizer_path, api_key
            )
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
        if request.confidences:
            await self._figures.require(request)
        with self._aborts.begin(request.request_id) as outstanding:
            try:
                decoded = await self._decode(request, outstanding, on_progress)
                return completion(request, decoded, self._tokenizer.eos_ids, aborted=outstanding.aborted)
            except RequestRefused as error:
                if not (outstanding.aborted and aborted_while_compiling(error)):
                    raise
                logprobs, sure = () if request.logprobs else None, () if request.confidences else None
                return Completion(request.request_id, (), "abort", None, 0, 0, 0, logprobs=logprobs, confidences=sure)

    async def score(self, request: ScoreRequest) -> Scored:
        """Log-probabilities of given tokens; see `Engine.score`. The prefix cache holds the sequence afterwards."""
        require(self._info, self.url, "score")
        check_span(request)
        if request.start == len(request.input_ids):
            return Scored(request.request_id, (), 0, 0)
        return await self._prefill(request, scored)

    async def reward(self, request: RewardRequest) -> Rewarded:
        """A reward model's outputs; see `Engine.reward`."""
        require(self._info, self.url, "reward")
        return await self._prefill(request, rewarded)

    async def embed(self, request: EmbedRequest) -> Embedded:
        """An embedding; see `Engine.embed`."""
        require(self._info, self.url, "embed")
        return await self._prefill(request, embedded)

    async def abort(self, request_ids: Sequence[str]) -> None:
        """Ask the server to stop working on these; returns once it has been told. Repeated until they have ended."""
        await self._aborts.abort(request_ids)

    async def load(self) -> Load | None:
        """What the server is doing now; see `Engine.load`. A router's workers are asked one by one."""
        return await load_of(self._connection)

    async def probe(self) -> None:
        """See `Engine.probe`."""
        await self._connection.probe()

    async def close(self) -> None:
        """Wait for aborts under way, then close the connections. The server goes on."""
        await self._batches.close()
        await self._decodings.close()
        await self._aborts.close()
        await self._connection.close()

    async def flush_cache(self) -> None:
        """Empty the server's prefix cache. Refused by the server while requests run; never do it to a shared server."""
        reply = await self._connection.post_control("/flush_cache", {})
        if reply.status != 200:
            raise refusal(reply.status, error_text(reply.body), None)

    async def counters(self) -> dict[str, float]:
        """The server's metrics by name, each summed over its labels; empty without --enable-metrics."""
        text = await self._connection.get_text("/metrics")
        return totals(parse_metrics(text)) if text else {}

    async def server_info(self) -> dict[str, Any]:
        """The server's whole description of itself; empty where it gives none."""
        return await self._connection.get_json("/server_info") or {}

    def _check_ids(self, ids: tuple[int, ...]) -> None:
        """Refuse ids that the model does not have: SGLang 0.5.23 dies of them."""
        if ids is self._checked:  # siblings share their prompt
            return
        limit = getattr(self._tokenizer, "vocabulary_tokens", None)
        if not ids:
            raise RequestRefused("there are no tokens to compute on", "an empty prompt has no continuation")
        if limit is not None and max(ids) >= limit:
            raise RequestRefused(
                f"{self._info.model} has no token {max(ids)}; its vocabulary has {limit}",
                "ids of one model mean nothing to another: encode the text with this model's own tokenizer",
            )
        self._checked = ids

    def _check(self, request: GenerateRequest) -> None:
        """Refuse what this server cannot do."""
        require(self._info, self.url, "generate")
        self._check_ids(request.input_ids)
        if request.images:
            require(self._info, self.url, "images")
        if request.sampling.extra and self._connection.workers is not None:
            names = ", ".join(name for name, _value in request.sampling.extra)
            raise RequestRefused(
                f"the router at {self.url} does not hand on options of the engine's own ({names})",
                "leave them out, or name one server instead of a router",
            )
        if request.sampling.schema is not None:
            require(self._info, self.url, "schema")
            if request.sampling.ignore_eos:
                raise RequestRefused(
                    "a schema ends what is decoded, and ignore_eos forbids it to end", "leave out one of them"
                )

    async def _figures_of(self, body: dict[str, Any]) -> dict[str, Any]:
        return json_object(await self._connection.compute("/generate", body, Asked(1, 1)))

    async def _prefill(self, request: Prefill, read: Callable[[Prefill, dict[str, Any]], Answer]) -> Answer:
        self._check_ids(request.input_ids)
        with self._aborts.begin(request.request_id) as outstanding:
            try:
                return read(request, await self._batches.ask(request, outstanding))
            except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
                raise RequestFailed(f"the server's answer lacks what SGLang sends: {error!r}") from error
            except RequestFailed as error:
                # A server may answer an abort with an error of its own.
                if outstanding.aborted:
                    raise was_aborted(request.request_id) from error
                raise

    async def _decode(
        self, request: GenerateRequest, outstanding: Outstanding, on_progress: Callable[[Progress], None] | None
    ) -> Decoded:
        decoded = Decoded()

        def arrived(event: dict[str, Any]) -> None:
            fresh = _add(decoded, event)
            if fresh:
                outstanding.seen = True
                if on_progress is not None and (request.stream or request.first_token):
                    known = tuple(decoded.confidences[-len(fresh) :])
                    on_progress(Progress(request.request_id, len(decoded.ids), fresh, known))

        await self._decodings.ask(request, outstanding, arrived)
        if not decoded.finished:
            raise RequestFailed(f"the server's stream ended after {len(decoded.ids)} tokens without saying why")
        return decoded


def _add(decoded: Decoded, event: dict[str, Any]) -> tuple[int, ...]:
    try:
        return decoded.add(event)
    except (KeyError, TypeError, ValueError) as error:
        raise RequestFailed(f"the server's answer lacks what SGLang sends: {error!r}") from error
