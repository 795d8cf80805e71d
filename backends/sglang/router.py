"""The workers behind a router (sglang-router), and what of them is asked past it.

Facts of sglang-router 0.3.2 in HTTP mode, found by running it: it has no /abort_request, no /classify, /encode or
/v1/loads; it takes a single `rid`, not a list; it does not describe its workers' settings, but /workers names their
addresses. So aborts go to every worker (one that does not have the request ignores it), and so do questions about load
and settings; rewards and embeddings go to the workers in turn. /generate is the router's own business: it chooses the
worker, retries, and keeps dead ones out. It hands on every field that ttsc sends but `custom_params`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from ttsc.backends.protocol import EngineError
from ttsc.backends.sglang.http1 import HttpConnection, HttpError, Reply
from ttsc.backends.sglang.http_client import HttpClient
from ttsc.backends.sglang.routes import Route
from ttsc.backends.sglang.wire import json_object

_LIST_AGAIN_S = 10.0
_ASK_S = 10.0

Listing = Callable[[str], Awaitable[dict[str, Any] | None]]


async def workers_of(get_json: Listing, api_key: str | None) -> Workers | None:
    """The workers of a router that answers `get_json(path)`; None for what is no router, or names none."""
    workers = Workers(get_json, api_key)
    return workers if await workers.clients() else None


def worker_urls(listing: dict[str, Any]) -> list[str]:
    """Addresses from the answer of /workers (0.3) or /list_workers (before), without those that don't speak HTTP."""
    entries = listing.get("workers") or listing.get("urls") or ()
    found = [entry.get("url") if isinstance(entry, dict) else entry for entry in entries]
    # A worker of several data-parallel ranks is listed once for each, as "http://host:port@rank".
    plain = (
        url.rsplit("@", 1)[0] if url.rpartition("@")[2].isdigit() else url for url in found if isinstance(url, str)
    )
    return list(dict.fromkeys(url.rstrip("/") for url in plain if url.startswith(("http://", "https://"))))


class Workers:
    """The workers of one router, which may come and go."""

    def __init__(self, get_json: Listing, api_key: str | None) -> None:
        self._get_json = get_json
        self._api_key = api_key
        self._clients: dict[str, HttpClient] = {}
        self._listed_s: float | None = None
        self._turn = 0

    async def clients(self) -> list[HttpClient]:
        """A client for each worker that the router has now (or had some seconds ago). Raises `EngineError`."""
        now = asyncio.get_running_loop().time()
        if self._listed_s is None or now - self._listed_s > _LIST_AGAIN_S:
            self._listed_s = now
            listing = await self._get_json("/workers") or await self._get_json("/list_workers") or {}
            urls = worker_urls(listing)
            for url in [url for url in self._clients if url not in urls]:
                await self._clients.pop(url).close()
            for url in urls:
                self._clients.setdefault(url, HttpClient(Route(url, self._api_key)))
        return list(self._clients.values())

    async def next(self) -> HttpClient:
        """The worker whose turn it is."""
        clients = await self.clients()
        self._turn += 1
        return clients[self._turn % len(clients)]

    async def tell(self, path: str, body: bytes) -> bool:
        """POST to every worker; whether all of them took note."""
        replies = await self._each("POST", path, body)
        return bool(replies) and all(reply is not None and reply.status == 200 for reply in replies)

    async def described(self, path: str) -> list[dict[str, Any]]:
        """What each worker that can be reached answers to a question, as a JSON object."""
        return _objects(await self._each("GET", path, None))

    async def known(self, path: str) -> list[dict[str, Any]]:
        """The same of the workers that were listed last, without asking the router which there are now."""
        clients = list(self._clients.values())
        return _objects(await asyncio.gather(*(self._one(client, "GET", path, None) for client in clients)))

    def busy(self) -> Iterator[HttpConnection]:
        """Connections to workers whose answer has not ended."""
        for client in self._clients.values():
            yield from client.busy

    async def close(self) -> None:
        """Close the connections to workers."""
        for client in self._clients.values():
            await client.close()

    @property
    def connections(self) -> int:
        """Open connections to workers."""
        return sum(client.connections for client in self._clients.values())

    async def _each(self, method: str, path: str, body: bytes | None) -> list[Reply | None]:
        try:
            clients = await self.clients()
        except EngineError:
            clients = list(self._clients.values())
        return await asyncio.gather(*(self._one(client, method, path, body) for client in clients))

    @staticmethod
    async def _one(client: HttpClient, method: str, path: str, body: bytes | None) -> Reply | None:
        try:
            async with asyncio.timeout(_ASK_S):
                return await client.request(method, path, body)
        except (HttpError, TimeoutError):
            return None


def _objects(replies: Iterable[Reply | None]) -> list[dict[str, Any]]:
    return [json_object(reply.body) for reply in replies if reply is not None and reply.status == 200]
