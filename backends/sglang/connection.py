"""One server over HTTP: questions, computations, and errors told apart.

Is only this connection broken, has the server gone, has it hung, or does another model answer in its place? Thousands
of requests break at once when a server dies: they share one look.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ttsc.backends.protocol import EngineError, EngineUnavailable, RequestFailed, RequestRefused
from ttsc.backends.sglang.answers import Asked, error_text, refusal
from ttsc.backends.sglang.death import Death
from ttsc.backends.sglang.http1 import HttpConnection, HttpError, OnBody, Reply
from ttsc.backends.sglang.http_client import HttpClient
from ttsc.backends.sglang.router import Workers, workers_of
from ttsc.backends.sglang.routes import Route, base_url
from ttsc.backends.sglang.silence import DEFAULT_SILENCE_S, SilenceWatch
from ttsc.backends.sglang.wire import encoded, json_object

_WANTED_FILES = 16384
_LOOK_AGAIN_S = 1.0
_CONTROL_S = 30.0
_PROBE_S = 5.0
_PAST_ROUTER = ("/classify", "/encode")

Explain = Callable[[], Death | None]


@dataclass(frozen=True, slots=True)
class _Gone:
    """Why a server can't be used. `final`: asking again will not help."""

    message: str
    hint: str
    explained: bool
    final: bool = False


class Connection:
    """The HTTP side of one server."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        explain: Explain | None = None,
        silence_s: float = DEFAULT_SILENCE_S,
    ) -> None:
        """`explain` says why the server ended, if it did and if this machine knows; it may wait a moment.

        `silence_s`: how long a request may be silent before the server's health is asked. Raises `RequestRefused` for
        an address that can't be used.
        """
        self.url = base_url(url)
        self.api_key = api_key
        self.model = ""
        """The model that must answer; empty before it is known."""
        self.tells_load = True
        """False once the server has turned out not to say what it is doing."""
        self.workers: Workers | None = None
        """Behind a router, its workers."""
        route = Route(self.url, api_key)
        _allow_open_files()
        self._explain = explain
        self._compute = HttpClient(route)
        self._control = HttpClient(route)
        self._silence = SilenceWatch(self._busy, self.url, silence_s, self._healthy)
        self._look: asyncio.Task[_Gone | None] | None = None
        self._gone = False
        self._gone_until_s = 0.0
        self._doubted = False

    @property
    def connections(self) -> int:
        """Open connections, in use or idle."""
        behind = self.workers.connections if self.workers is not None else 0
        return self._compute.connections + self._control.connections + behind

    async def close(self) -> None:
        """Close every connection."""
        self._silence.close()
        if self._look is not None:
            self._look.cancel()
        await self._compute.close()
        await self._control.close()
        if self.workers is not None:
            await self.workers.close()

    def _busy(self) -> Iterator[HttpConnection]:
        yield from self._compute.busy
        if self.workers is not None:
            yield from self.workers.busy()

    async def look_behind(self) -> None:
        """Find the workers, if this is a router. Raises `EngineError`."""
        self.workers = await workers_of(self.get_json, self.api_key)

    async def tell_abort(self, request_id: str) -> bool:
        """Ask for an abort; whether it was taken note of (also by a server that does not know the request).

        A server that can't be reached decodes for nobody, and who waits for the request learns of it.
        """
        body = encoded({"rid": request_id})
        if self.workers is not None:
            return await self.workers.tell("/abort_request", body)
        with contextlib.suppress(EngineError):
            return (await self._ask("POST", "/abort_request", body)).status == 200
        return False

    async def get_json(self, path: str) -> dict[str, Any] | None:
        """A GET's JSON object; None when the server has no such path. Raises `EngineError`."""
        reply = await self._ask("GET", path, None)
        if reply.status in (404, 405):
            return None
        if reply.status != 200:
            raise refusal(reply.status, error_text(reply.body), None)
        return json_object(reply.body)

    async def get_text(self, path: str) -> str | None:
        """A GET's text; None when the server has no such path. Raises `EngineError`."""
        reply = await self._ask("GET", path, None)
        return reply.body.decode("utf-8", "replace") if reply.status == 200 else None

    async def post_control(self, path: str, body: dict[str, Any]) -> Reply:
        """A short POST that computes nothing. Raises `EngineError` when nothing answers."""
        return await self._ask("POST", path, encoded(body))

    async def compute(self, path: str, body: dict[str, Any], asked: Asked, on_body: OnBody | None = None) -> bytes:
        """POST what the model computes on; the answer, or what of it `on_body` was not given as it arrived.

        Raises `EngineError`, and what `on_body` raises.
        """
        if self._doubted or self._silence.hung:
            await self.probe()
        self._silence.begin()
        try:
            client = self._compute
            if self.workers is not None and path in _PAST_ROUTER:
                client = await self.workers.next()
            reply = await client.request("POST", path, encoded(body), on_body)
        except HttpError as error:
            raise await self.broken(error) from error
        if reply.status != 200:
            raise refusal(reply.status, error_text(reply.body), asked, reply.headers.get("retry-after"))
        return reply.body

    async def probe(self) -> None:
        """Whether the server answers, with the model that it was attached to for, and, if it had hung, is well again.

        Raises `EngineError`.
        """
        self._doubted = bool(self.model)
        gone = await self._autopsy(False, fresh=True)
        if gone is not None:
            raise self._error(gone)
        await self._silence.recovered(_PROBE_S)
        self._doubted = False

    async def broken(self, error: HttpError) -> EngineError:
        """The error for a connection that failed: has the server gone, or only this connection?"""
        # Whoever answers next may be another server at the same address.
        self._doubted = bool(self.model)
        gone = await self._autopsy(error.refused)
        if gone is None:
            return RequestFailed(f"the connection to {self.url} broke: {error}")
        return self._error(gone, str(error))

    @staticmethod
    def _error(gone: _Gone, what: str = "") -> EngineError:
        if gone.final:
            return RequestRefused(gone.message, gone.hint)
        message = gone.message if gone.explained or not what else f"{gone.message}: {what}"
        unavailable = EngineUnavailable(message, gone.hint)
        unavailable.retryable = not gone.explained
        return unavailable

    async def _autopsy(self, refused: bool, *, fresh: bool = False) -> _Gone | None:
        """What to say of a server that has gone; None while it answers. A look under way will do, and unless a `fresh`
        one is wanted, a recent one that found it gone.
        """
        loop = asyncio.get_running_loop()
        look = self._look
        if look is None or look.done() and (fresh or not self._gone or loop.time() > self._gone_until_s):
            look = self._look = loop.create_task(self._look_closer(refused))
            look.add_done_callback(self._looked)
        return await asyncio.shield(look)

    def _looked(self, look: asyncio.Task[_Gone | None]) -> None:
        self._gone = not look.cancelled() and look.exception() is None and look.result() is not None
        self._gone_until_s = look.get_loop().time() + _LOOK_AGAIN_S

    async def _look_closer(self, refused: bool) -> _Gone | None:
        served = None if refused else await self._served_model()
        if served is not None:
            if self.model and served and served != self.model:
                return _Gone(
                    f"{self.url} now serves {served}, and was attached to for {self.model}",
                    "start the run again, or put the first model back",
                    explained=True,
                    final=True,
                )
            return None
        end = await asyncio.to_thread(self._explain) if self._explain is not None else None
        if end is not None:
            return _Gone(end.message(), end.way_out, explained=True)
        return _Gone(
            f"no engine answers at {self.url}",
            "`ttsc engine status` shows the engines kept on this machine; `ttsc doctor --engine URL` looks closer",
            explained=False,
        )

    async def _served_model(self) -> str | None:
        """The model of whoever answers now, "" if it does not say; None when nobody answers."""
        if self.workers is not None:
            return await self._served_behind(self.workers)
        for attempt in range(2):
            reply = await self._reply("/model_info", _PROBE_S)
            if reply is not None and reply.status in (404, 405):  # a router
                reply = await self._reply("/get_model_info", _PROBE_S)
            if reply is not None and reply.status < 500:
                with contextlib.suppress(EngineError):
                    return str(json_object(reply.body).get("model_path") or "")
                return ""
            await asyncio.sleep(0.2 * attempt)
        return None

    async def _served_behind(self, workers: Workers) -> str | None:
        """The same of a router, which asks one worker for its model, also one that is dead; another may be well."""
        if await self._reply("/health", _PROBE_S) is None:
            return None
        with contextlib.suppress(EngineError):
            models = [str(answer.get("model_path") or "") for answer in await workers.known("/model_info")]
            return next((model for model in models if model != self.model), self.model) if models else None
        return ""

    async def _healthy(self, timeout_s: float) -> bool:
        """Whether the server says that it is well. SGLang's /health has its model compute, or looks that it does."""
        reply = await self._reply("/health", timeout_s)
        return reply is not None and (reply.status < 400 or reply.status in (404, 405))

    async def _reply(self, path: str, timeout_s: float) -> Reply | None:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._control.request("GET", path)
        except (HttpError, TimeoutError):
            return None

    async def _ask(self, method: str, path: str, body: bytes | None) -> Reply:
        try:
            async with asyncio.timeout(_CONTROL_S):
                return await self._control.request(method, path, body)
        except HttpError as error:
            raise await self.broken(error) from error
        except TimeoutError:
            raise await self.broken(HttpError(f"{path} was not answered within {_CONTROL_S:.0f} s")) from None


def _allow_open_files() -> None:
    """Raise this process's soft limit on open files: every request in flight holds a socket."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(_WANTED_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
