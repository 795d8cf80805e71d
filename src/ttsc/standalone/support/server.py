"""An SGLang server, asked by its native interface: token ids in, token ids out."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx

from ttsc.backends.protocol import (
    Completion,
    ContextTooLong,
    EngineError,
    EngineUnavailable,
    GenerateRequest,
    ModelNotFound,
    RequestFailed,
)
from ttsc.backends.sglang.answers import completion, error_text, refusal, request_body
from ttsc.backends.sglang.stream import Decoded, EventParser
from ttsc.backends.sglang.tokenizer import ModelTokenizer, load_tokenizer
from ttsc.runtime.failures import engine_failure
from ttsc.runtime.prefix_trie import shared_length

Ids = tuple[int, ...]


class Server:
    """One server. `await connect` first, `await close` last."""

    def __init__(self, url: str, tokenizer_path: str | None = None, concurrency: int = 64) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self.tokenizer: ModelTokenizer
        self.model = ""
        self.context_tokens = 0
        self._tokenizer_path = tokenizer_path
        self._places = asyncio.Semaphore(concurrency)
        self._http = httpx.AsyncClient(
            base_url=self.url,
            trust_env=urlsplit(self.url).hostname not in ("127.0.0.1", "localhost", "::1"),
            timeout=httpx.Timeout(30.0, read=None, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=256, keepalive_expiry=4.0),
        )
        self._numbers = itertools.count(1)
        self._name = uuid.uuid4().hex[:8]
        self._aborts: set[asyncio.Task[None]] = set()
        self._warm = WarmPrefixes(32)
        self.figures: Any = None

    async def connect(self) -> None:
        """Ask what is served, and load that model's tokenizer."""
        try:
            model = await self._get("/model_info") or await self._get("/get_model_info")
            facts = await self._get("/server_info") or await self._get("/get_server_info")
            cards = (await self._get("/v1/models")).get("data") or ()
        except httpx.HTTPError as error:
            raise engine_failure(EngineUnavailable(f"no engine answers at {self.url}: {error}")) from error
        self.model = str(model.get("model_path") or facts.get("model_path") or "")
        limits = [facts.get("context_length"), facts.get("max_total_num_tokens")]
        limits += [card.get("max_model_len") for card in cards]
        self.context_tokens = min(int(limit) for limit in limits if limit)
        if str(facts.get("device") or "").startswith("cpu"):
            self._warm.least = 4
        try:
            self.tokenizer = load_tokenizer(self._folder(str(model.get("tokenizer_path") or self.model)))
        except EngineError as error:
            raise engine_failure(error) from error

    def _folder(self, served: str) -> str:
        """The folder with the served model's tokenizer: given, as the server says, or of the Hugging Face hub."""
        if self._tokenizer_path is not None:
            return self._tokenizer_path
        if os.path.isdir(served):
            return served
        try:
            from huggingface_hub import snapshot_download

            return str(snapshot_download(served, allow_patterns=["*.json", "*.jinja"]))
        except Exception as error:  # no such package, no network, no such model: all the same here
            raise ModelNotFound(
                f"no tokenizer of {served} was found ({error})", "name its folder: --tokenizer"
            ) from error

    async def close(self) -> None:
        """Wait for aborts under way, then close the connections."""
        if self._aborts:
            await asyncio.wait(self._aborts, timeout=2.0)
        await self._http.aclose()

    async def generate(
        self,
        make: Callable[[str], GenerateRequest],
        warm_first: bool,
        on_tokens: Callable[[int], None],
        confident: Any = None,
    ) -> Completion:
        """Decode one sequence. With `warm_first` it waits for another request that warms a prefix they share.

        Cancelling aborts on the server.
        """
        ids = make("").input_ids
        leads = warm_first and await self._warm.enter(ids)

        def first_tokens(tokens: int) -> None:
            if leads:
                self._warm.leave(ids, warm=True)
            on_tokens(tokens)

        async def once(rid: str) -> Completion:
            request = make(rid)
            watched = await confident.watched(self, request) if confident else None
            eos_ids = self.tokenizer.eos_ids
            body = {**request_body(request, eos_ids), "stream": request.stream or leads}

            def arrived(decoded: Decoded) -> None:
                first_tokens(len(decoded.ids))
                if watched and watched.falls(decoded):
                    self._abort(rid)

            decoded = await self._decoded(body, arrived)
            answer = completion(request, decoded, eos_ids, aborted=watched is not None and watched.fell)
            return watched.ended(answer) if watched else answer

        try:
            answer: Completion = await self._tried(once)
            self._warm.known((*ids, *answer.output_ids))
            return answer
        finally:
            if leads:
                self._warm.leave(ids, warm=False)

    async def ask(self, path: str, body: dict[str, Any], read: Callable[[dict[str, Any]], Any]) -> Any:
        """What is computed without decoding: scores, rewards, vectors. `read` makes sense of the answer."""

        async def once(rid: str) -> Any:
            return read(await self._post(path, {"rid": rid, **body}))

        return await self._tried(once)

    async def _tried(self, once: Callable[[str], Any]) -> Any:
        """Try a few times what may succeed the next time, each time under an id of its own."""
        number = next(self._numbers)
        for attempt in itertools.count(1):
            rid = f"ttsc-{self._name}-{number:08x}-{attempt:02d}"
            try:
                async with self._places:
                    return await once(rid)
            except httpx.ConnectError as error:
                raise engine_failure(EngineUnavailable(f"no engine answers at {self.url}: {error}")) from error
            except (EngineError, httpx.HTTPError) as error:
                failure = error if isinstance(error, EngineError) else RequestFailed(f"the connection broke: {error!r}")
                if not failure.retryable or attempt >= 4:
                    raise engine_failure(failure) from error
                pause = min(20.0, 0.25 * 2 ** (attempt - 1)) * random.uniform(0.75, 1.25)
                await asyncio.sleep(max(pause, failure.retry_after_s or 0.0))
            except asyncio.CancelledError:
                self._abort(rid)
                raise

    async def _decoded(self, body: dict[str, Any], arrived: Callable[[Decoded], None]) -> Decoded:
        decoded, parser = Decoded(), EventParser()
        if not body["stream"]:
            decoded.add(await self._post("/generate", body))
            return decoded
        async with self._http.stream("POST", "/generate", json=body) as reply:
            if reply.status_code != 200:
                raise self._refused(reply, await reply.aread())
            async for data in reply.aiter_bytes():
                for event in parser.feed(data):
                    if event == b"[DONE]":
                        continue
                    found = json.loads(event)
                    if "error" in found:
                        raise RequestFailed(f"the server answered {found['error']}")
                    if decoded.add(found):
                        arrived(decoded)
        if not decoded.finished:
            raise RequestFailed("the server's stream ended without saying why")
        return decoded

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        reply = await self._http.post(path, json=body)
        if reply.status_code != 200:
            raise self._refused(reply, reply.content)
        found: dict[str, Any] = reply.json()
        return found

    def _refused(self, reply: httpx.Response, body: bytes) -> EngineError:
        return refusal(reply.status_code, error_text(body), None, reply.headers.get("retry-after"))

    async def _get(self, path: str) -> dict[str, Any]:
        reply = await self._http.get(path)
        found: dict[str, Any] = reply.json() if reply.status_code == 200 else {}
        return found

    def _abort(self, rid: str) -> None:
        """Ask the server to stop: several times, since an abort that overtakes its request is ignored."""

        async def tell() -> None:
            for pause in (0.0, 0.05, 0.1, 0.2):
                await asyncio.sleep(pause)
                try:
                    await self._http.post("/abort_request", json={"rid": rid})
                except httpx.HTTPError:
                    return

        task = asyncio.get_running_loop().create_task(tell())
        self._aborts.add(task)
        task.add_done_callback(self._aborts.discard)

    def room_for(self, prompt_tokens: int, max_tokens: int) -> None:
        """Raise what says that prompt and answer are too long together."""
        if prompt_tokens + max_tokens > self.context_tokens:
            raise engine_failure(
                ContextTooLong(
                    f"a prompt of {prompt_tokens} tokens and max_tokens={max_tokens} exceed the context of "
                    f"{self.context_tokens} tokens of {self.model}",
                    "lower max_tokens or shorten the prompt",
                )
            )


class WarmPrefixes:
    """Which prompts the server has in its cache. Of requests that share a cold prefix one goes first."""

    def __init__(self, least: int, most: int = 256) -> None:
        """`least`: fewest shared tokens worth the wait. `most`: prompts that are remembered."""
        self.least = least
        self._most = most
        self._known: dict[Ids, None] = {}
        self._leading: dict[Ids, asyncio.Event] = {}

    async def enter(self, ids: Ids) -> bool:
        """Wait while a request in flight computes a prefix of these ids; whether this one is such a request itself."""
        while True:
            warm = max((shared_length(other, ids, 0) for other in self._known), default=0)
            leader = max(self._leading, key=lambda other: shared_length(other, ids, 0), default=None)
            if leader is None or shared_length(leader, ids, 0) - warm < self.least:
                break
            await self._leading[leader].wait()
        leads = len(ids) - warm >= self.least and ids not in self._leading
        if leads:
            self._leading[ids] = asyncio.Event()
        return leads

    def leave(self, ids: Ids, warm: bool) -> None:
        """The first token is there (`warm`), or the request has ended."""
        event = self._leading.pop(ids, None)
        if event is not None:
            event.set()
        if warm:
            self.known(ids)

    def known(self, ids: Ids) -> None:
        """The server has computed these ids."""
        self._known[ids] = None
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]
