"""HTTP to one server: connections enough for thousands of requests in flight, and errors told apart.

A connection pool searches its connections for every request, so one pool with thousands of them costs more than the
requests do; they are spread over several pools instead. No pool has a limit: a limit on connections below the number of
streams in flight would keep aborts waiting behind the very streams that they are to end.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any
from urllib.parse import urlsplit

import httpx

from ttsc.backends.protocol import EngineError, EngineUnavailable, RequestFailed
from ttsc.backends.sglang.answers import Asked, error_text, refusal
from ttsc.backends.sglang.death import Death

_POOLS = 64
_WANTED_FILES = 16384
_LOOK_AGAIN_S = 1.0
_KEEPALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    ),
]

Explain = Callable[[], Death | None]


class Connection:
    """The HTTP side of one server."""

    def __init__(self, url: str, *, api_key: str | None = None, explain: Explain | None = None) -> None:
        """`explain` says why the server ended, if it did and if this machine knows; it may wait a moment."""
        self.url = base_url(url)
        self._explain = explain
        loopback = urlsplit(self.url).hostname in ("127.0.0.1", "localhost", "::1")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        _allow_open_files()

        # Reading the certificate store takes longer than a request: once for all pools, and never for this machine.
        certificates = httpx.create_ssl_context() if self.url.startswith("https:") else False

        def client(timeout: httpx.Timeout) -> httpx.AsyncClient:
            # Idle connections are dropped before the server does it (uvicorn: after 5 s): reusing one just then fails.
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=256, keepalive_expiry=4.0)
            # A transport of our own would disable the proxies of the environment, which a remote server may need.
            transport = None
            if loopback:
                transport = httpx.AsyncHTTPTransport(limits=limits, socket_options=_KEEPALIVE, verify=False)
            return httpx.AsyncClient(
                base_url=self.url,
                headers=headers,
                timeout=timeout,
                limits=limits,
                transport=transport,
                verify=certificates,
                trust_env=not loopback,
            )

        # A decode may be silent for minutes: a dead peer shows by TCP keep-alive, a hung one by SGLang's own watchdog.
        patient = httpx.Timeout(30.0, read=None, pool=None)
        self._decoders = [client(patient) for _ in range(_POOLS)]
        self._next = itertools.cycle(self._decoders)
        self._control = client(httpx.Timeout(30.0, pool=None))
        self._look: asyncio.Task[tuple[str, str, bool] | None] | None = None
        self._looked_at = 0.0

    async def close(self) -> None:
        """Close every connection."""
        for client in (*self._decoders, self._control):
            await client.aclose()

    async def get_json(self, path: str) -> dict[str, Any] | None:
        """A GET's JSON object; None when the server has no such path. Raises `EngineError`."""
        response = await self._ask("GET", path, None)
        if response.status_code in (404, 405):
            return None
        if response.status_code != 200:
            raise refusal(response.status_code, error_text(response.content), None)
        return json_object(response.content)

    async def get_text(self, path: str) -> str | None:
        """A GET's text; None when the server has no such path. Raises `EngineError`."""
        response = await self._ask("GET", path, None)
        return response.text if response.status_code == 200 else None

    async def post_control(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """A short POST that computes nothing. Raises `EngineError` when nothing answers."""
        return await self._ask("POST", path, body)

    async def compute(self, path: str, body: dict[str, Any], asked: Asked) -> AsyncGenerator[bytes, None]:
        """POST what the model computes on, and yield the bytes of the answer as they arrive. Raises `EngineError`."""
        client = next(self._next)
        try:
            async with client.stream("POST", path, json=body) as response:
                if response.status_code != 200:
                    text = error_text(await response.aread())
                    raise refusal(response.status_code, text, asked, response.headers.get("retry-after"))
                async for data in response.aiter_bytes():
                    yield data
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise await self.broken(error) from error

    async def broken(self, error: Exception) -> EngineError:
        """The error for a connection that failed: has the server gone, or only this connection?"""
        what = str(error) or type(error).__name__
        gone = await self._autopsy(isinstance(error, httpx.ConnectError))
        if gone is None:
            return RequestFailed(f"the connection to {self.url} broke: {what}")
        message, hint, explained = gone
        unavailable = EngineUnavailable(message if explained else f"{message}: {what}", hint)
        unavailable.retryable = not explained
        return unavailable

    async def _autopsy(self, refused: bool) -> tuple[str, str, bool] | None:
        """What to say of a server that has gone, and whether its end is explained; None while it answers.

        Thousands of requests break at once when a server dies: they share one look.
        """
        look = self._look
        if look is None or (look.done() and time.monotonic() - self._looked_at > _LOOK_AGAIN_S):
            look = self._look = asyncio.get_running_loop().create_task(self._look_closer(refused))
            self._looked_at = time.monotonic()
        return await asyncio.shield(look)

    async def _look_closer(self, refused: bool) -> tuple[str, str, bool] | None:
        if not refused and await self._answers():
            return None
        end = await asyncio.to_thread(self._explain) if self._explain is not None else None
        if end is not None:
            return end.message(), end.way_out, True
        return (
            f"no engine answers at {self.url}",
            "`ttsc engine status` shows the engines kept on this machine; `ttsc doctor --engine URL` looks closer",
            False,
        )

    async def _answers(self) -> bool:
        for attempt in range(2):
            with contextlib.suppress(httpx.HTTPError):
                return (await self._control.get("/model_info", timeout=5.0)).status_code < 500
            await asyncio.sleep(0.2 * attempt)
        return False

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        try:
            return await self._control.request(method, path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise await self.broken(error) from error


def base_url(url: str) -> str:
    """A server's address as it is used: with a scheme, without a trailing slash or the OpenAI API's /v1."""
    text = url.strip().rstrip("/").removesuffix("/v1")
    return text if "://" in text else f"http://{text}"


def json_object(data: bytes) -> dict[str, Any]:
    """Parse an answer that must be a JSON object. Raises `RequestFailed`."""
    try:
        value = json.loads(data)
    except ValueError:
        shown = data[:200].decode("utf-8", "replace")
        raise RequestFailed(f"the server's answer is not JSON: {shown!r}") from None
    if not isinstance(value, dict):
        raise RequestFailed(f"the server's answer is not a JSON object: {data[:200].decode('utf-8', 'replace')}")
    return value


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
