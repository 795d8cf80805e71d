"""One HTTP/1.1 connection: a request at a time, and the bytes of its answer handed on the moment they arrive.

A general HTTP library spends more processor time on a request than the rest of ttsc together
(`benchmarks/client_cost.py` compares). What is needed here is small: bodies of known length, in chunks, or up to the
end of the connection, without a task being woken for each piece.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from ttsc.backends.sglang.routes import Route

_LONGEST_HEAD = 65536
_KEEPALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    ),
]


class HttpError(Exception):
    """No answer, or none that is HTTP. `refused`: nothing listens at the address."""

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. Names of `headers` are in lower case. `body` lacks what `on_body` has been given."""

    status: int
    headers: dict[str, str]
    body: bytes


OnBody = Callable[[bytes], None]


class HttpConnection(asyncio.Protocol):
    """One connection: one request at a time, one answer each."""

    __slots__ = (
        "_body",
        "_buffer",
        "_chunked",
        "_headers",
        "_in_chunk",
        "_keep",
        "_left",
        "_on_body",
        "_open",
        "_shown",
        "_state",
        "_status",
        "_transport",
        "_tunnel",
        "_waiter",
        "heard_s",
    )

    def __init__(self, open_ones: set[HttpConnection], shown: str) -> None:
        self._open = open_ones
        self._shown = shown
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Reply] | None = None
        self._keep = True
        self._tunnel = False
        self._state = "idle"
        self._buffer = b""
        self._body: list[bytes] = []
        self._on_body: OnBody | None = None
        self._headers: dict[str, str] = {}
        self._status = 0
        self._left = 0
        self.heard_s = 0.0
        """When the last byte arrived, or the request was sent: a time of the loop's clock."""

    @property
    def reusable(self) -> bool:
        """Whether another request can be sent on it."""
        return self._state == "idle" and self._transport is not None and not self._transport.is_closing()

    async def ask(self, head: bytes, body: bytes | None, on_body: OnBody | None, *, tunnel: bool = False) -> Reply:
        """Send a request and wait for the end of its answer. Raises `HttpError`, or what `on_body` raised."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise HttpError(f"{self._shown} closed the connection")
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        self._state, self._tunnel, self._on_body, self._body, self._buffer = "head", tunnel, on_body, [], b""
        self.heard_s = loop.time()
        transport.write(head + body if body else head)
        try:
            return await self._waiter
        finally:
            self._waiter = self._on_body = None

    async def secure(self, route: Route) -> None:
        """Speak TLS with the server behind a tunnel. Raises `OSError`."""
        loop, transport = asyncio.get_running_loop(), self._transport
        assert transport is not None and route.tls is not None
        secured = await loop.start_tls(transport, self, route.tls, server_hostname=route.host)
        if secured is None:
            raise HttpError(f"{self._shown} closed the connection")
        self._transport = secured

    def give_up(self, error: Exception) -> None:
        """End the request under way with an error."""
        self._fail(error)

    def close(self) -> None:
        """Close at once, whatever is under way."""
        self._open.discard(self)
        if self._transport is not None:
            self._transport.abort()

    # -- what the event loop calls -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self)
        peer = transport.get_extra_info("socket")
        if peer is not None:
            with contextlib.suppress(OSError):
                for option in _KEEPALIVE:
                    peer.setsockopt(*option)

    def connection_lost(self, error: Exception | None) -> None:
        self._open.discard(self)
        if self._state == "to the end" and error is None:
            self._finish()
        else:
            self._fail(HttpError(str(error) if error else f"{self._shown} closed the connection"))
        self._state = "closed"

    def data_received(self, data: bytes) -> None:
        waiter = self._waiter
        if waiter is None:  # a server that speaks unasked is not understood
            self.close()
            return
        self.heard_s = waiter.get_loop().time()
        try:
            if self._state == "head":
                data = self._read_head(data)
            match self._state:
                case "head" | "idle":
                    return
                case "length":
                    self._read_length(data)
                case "chunks":
                    self._read_chunks(data)
                case _:
                    self._deliver(data)
        except Exception as error:
            self._fail(error)

    # -- reading -------------------------------------------------------------------------------------------------

    def _read_head(self, data: bytes) -> bytes:
        """Read the status line and the headers if they are there; what follows them."""
        while True:
            data = self._buffer + data if self._buffer else data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > _LONGEST_HEAD:
                    raise HttpError(f"{self._shown} does not speak HTTP")
                self._buffer = data
                return b""
            self._buffer = b""
            lines = data[:end].decode("latin-1").split("\r\n")
            data = data[end + 4 :]
            version, _, status = lines[0].partition(" ")
            if not version.startswith("HTTP/1.") or not status[:3].isdigit():
                raise HttpError(f"{self._shown} does not speak HTTP: it says {lines[0][:80]!r}")
            self._status = int(status[:3])
            if self._status >= 200:
                break
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        self._headers = headers
        self._keep = version != "HTTP/1.0" and headers.get("connection", "").lower() != "close"
        length = headers.get("content-length")
        if self._tunnel and self._status // 100 == 2:
            self._finish()
        elif headers.get("transfer-encoding", "").lower().endswith("chunked"):
            self._state, self._left, self._in_chunk = "chunks", 0, "size"
        elif length is not None:
            if not length.isdigit():
                raise HttpError(f"{self._shown} sent an answer of length {length[:20]!r}")
            self._state, self._left = "length", int(length)
        elif self._status in (204, 304):
            self._finish()
        else:
            self._state, self._keep = "to the end", False
        return data

    def _read_length(self, data: bytes) -> None:
        if len(data) > self._left:
            data, self._keep = data[: self._left], False
        self._left -= len(data)
        self._deliver(data)
        if not self._left:
            self._finish()

    def _read_chunks(self, data: bytes) -> None:
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        at, size = 0, len(data)
        while at < size:
            if self._in_chunk == "data":
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._in_chunk = "end"
                self._deliver(piece)
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                if size - at > _LONGEST_HEAD:
                    raise HttpError(f"{self._shown} sent a chunk without a length")
                self._buffer = data[at:]
                return
            line = data[at:end]
            at = end + 2
            if self._in_chunk == "size":
                self._left = _chunk_size(line, self._shown)
                self._in_chunk = "data" if self._left else "trailer"
            elif self._in_chunk == "end":
                if line:
                    raise HttpError(f"{self._shown} sent a chunk that is longer than it says")
                self._in_chunk = "size"
            elif not line:
                self._keep = self._keep and at == size
                self._finish()
                return

    def _deliver(self, data: bytes) -> None:
        if not data:
            return
        if self._on_body is not None and self._status == 200:
            self._on_body(data)
        else:
            self._body.append(data)

    def _finish(self) -> None:
        self._state = "idle" if self._keep else "done"
        if self._waiter is not None and not self._waiter.done():
            body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            self._waiter.set_result(Reply(self._status, self._headers, body))
        self._body = []

    def _fail(self, error: Exception) -> None:
        self._state = "failed"
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
        self.close()


def _chunk_size(line: bytes, shown: str) -> int:
    try:
        size = int(line.partition(b";")[0], 16)
    except ValueError:
        size = -1
    if size < 0:
        raise HttpError(f"{shown} sent a chunk without a length")
    return size
