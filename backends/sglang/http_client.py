"""Thousands of HTTP requests in flight to one server, on keep-alive connections.

There is no limit on connections: one below the number of requests in flight would keep aborts waiting behind the very
requests that they are to end. An idle connection is used again, the latest first.
"""

from __future__ import annotations

import asyncio
import collections
import socket

from ttsc.backends.sglang.http1 import HttpConnection, HttpError, OnBody, Reply
from ttsc.backends.sglang.routes import Route

_CONNECT_S = 30.0
# Idle connections are dropped before the server does it (uvicorn: after 5 s): using one just then fails.
_IDLE_S = 4.0
_RESOLVED_S = 60.0


class HttpClient:
    """Requests to one server. Use from one event loop."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._idle: collections.deque[HttpConnection] = collections.deque()
        self._addresses: asyncio.Task[list[str]] | None = None
        self._resolved_s = 0.0
        self._closed = False
        self.busy: set[HttpConnection] = set()
        """Connections whose answer has not ended."""
        self._open: set[HttpConnection] = set()

    @property
    def connections(self) -> int:
        """Connections that are open, in use or idle."""
        return len(self._open)

    async def request(self, method: str, path: str, body: bytes | None = None, on_body: OnBody | None = None) -> Reply:
        """Ask, and return once the answer has ended. Cancelling closes the connection.

        `on_body` is given the body of an answer with status 200 piece by piece, as it arrives. What it raises ends the
        request, and is raised here. Raises `HttpError`.
        """
        connection = self._take() or await self._connect()
        self.busy.add(connection)
        try:
            return await connection.ask(self._route.head(method, path, body), body, on_body)
        finally:
            self.busy.discard(connection)
            if connection.reusable and not self._closed:
                self._rest(connection)
            else:
                connection.close()

    async def close(self) -> None:
        """Close every connection; requests under way fail."""
        self._closed = True
        if self._addresses is not None:
            self._addresses.cancel()
        for connection in tuple(self._open):
            connection.close()
        self._idle.clear()
        # The loop closes a socket in its next turn.
        await asyncio.sleep(0)

    def _take(self) -> HttpConnection | None:
        """An idle connection that the server has not closed and is not about to."""
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and asyncio.get_running_loop().time() - connection.heard_s < _IDLE_S:
                return connection
            connection.close()
        return None

    def _rest(self, connection: HttpConnection) -> None:
        self._idle.append(connection)
        oldest = self._idle[0]
        if not oldest.reusable or connection.heard_s - oldest.heard_s > _IDLE_S:
            self._idle.popleft().close()

    async def _connect(self) -> HttpConnection:
        self._check_open()
        try:
            async with asyncio.timeout(_CONNECT_S):
                connection = await self._connected()
        except TimeoutError:
            raise HttpError(f"no connection to {self._route.shown} within {_CONNECT_S:.0f} s") from None
        except ConnectionRefusedError as error:
            raise HttpError(f"{self._route.shown} refuses connections", refused=True) from error
        except (OSError, ValueError) as error:
            raise HttpError(f"no connection to {self._route.shown}: {error}", refused=True) from error
        try:
            self._check_open()
        except HttpError:
            connection.close()
            raise
        return connection

    def _check_open(self) -> None:
        if self._closed:
            raise HttpError("the connection was closed")

    async def _connected(self) -> HttpConnection:
        loop = asyncio.get_running_loop()
        host, port = self._route.address
        failure: OSError | None = None
        for address in await self._resolve(host, port):
            connection = HttpConnection(self._open, self._route.shown)
            try:
                await loop.create_connection(
                    lambda connection=connection: connection,
                    address,
                    port,
                    ssl=self._route.first_tls,
                    server_hostname=host if self._route.first_tls else None,
                )
            except OSError as error:
                failure = failure or error
                continue
            tunnel = self._route.tunnel
            if tunnel is not None:
                await self._dig(connection, tunnel)
            return connection
        raise failure or OSError(f"{host} has no address")

    async def _dig(self, connection: HttpConnection, tunnel: bytes) -> None:
        """Have a proxy lead through to the server, and speak TLS with the server from there on."""
        try:
            reply = await connection.ask(tunnel, None, None, tunnel=True)
            if reply.status // 100 != 2:
                raise HttpError(f"the proxy {self._route.shown} answered {reply.status}")
            await connection.secure(self._route)
        except BaseException:
            connection.close()
            raise

    async def _resolve(self, host: str, port: int) -> list[str]:
        """A host's addresses. A thousand connections that open at once ask for them once."""
        if self._route.literal:
            return [host]
        loop = asyncio.get_running_loop()
        known = self._addresses
        if known is None or (known.done() and loop.time() - self._resolved_s > _RESOLVED_S):
            known = self._addresses = loop.create_task(self._look_up(host, port))
            self._resolved_s = loop.time()
        try:
            return await asyncio.shield(known)
        except OSError:
            self._addresses = None
            raise

    @staticmethod
    async def _look_up(host: str, port: int) -> list[str]:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))
