"""The stub server, with what a modern SGLang has besides: batches, loads, priorities, and a health that can fail."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fake_http import HttpStub
from fake_sglang import Behaviour, StubServer


class _Kept:
    """A writer that keeps what is written: the answer to one request of a batch."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    async def drain(self) -> None:
        await asyncio.sleep(0)

    @property
    def status(self) -> int:
        return int(self.data.split(b" ", 2)[1])

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]


class BatchingServer(StubServer):
    """`batches` has the ids of each batch. `healthy` is what /health answers; None: nothing at all.

    With `hung` no request is answered any more, whatever it is.
    """

    def __init__(self, behaviour: Behaviour | None = None, port: int = 0, **facts: Any) -> None:
        super().__init__(behaviour, port)
        self.batches: list[list[str]] = []
        self.facts = facts
        self.healthy: bool | None = True
        self.hung = False
        self.health_asked = 0
        self.load: dict[str, Any] | None = {
            "num_running_reqs": 3,
            "num_waiting_reqs": 2,
            "num_used_tokens": 100,
            "max_total_num_tokens": 1000,
            "max_running_requests": 48,
        }

    async def route(self, method: str, path: str, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if path == "/health":
            self.health_asked += 1
        if self.hung or (path == "/health" and self.healthy is None):
            await asyncio.sleep(3600)
        elif path == "/health" and not self.healthy:
            await self.reply(writer, 503, b"")
        elif path == "/v1/loads" and self.load is not None:
            await self.json(writer, 200, {"loads": [self.load, self.load]})
        elif path == "/server_info" and self.behaviour.server_info:
            await self.json(writer, 200, self._server_info() | self.facts)
        elif isinstance(body.get("rid"), list):
            await self._batch(method, path, body, writer)
        else:
            await super().route(method, path, body, writer)

    async def _batch(self, method: str, path: str, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        self.batches.append(body["rid"])
        lists = {name: value for name, value in body.items() if isinstance(value, list)}
        parts = [
            body | {name: value[place] for name, value in lists.items()} | {"stream": False}
            for place in range(len(body["rid"]))
        ]
        if not body.get("stream"):
            kept = [_Kept() for _ in parts]
            each = zip(parts, kept, strict=True)
            await asyncio.gather(*(super(BatchingServer, self).route(method, path, part, one) for part, one in each))  # type: ignore[arg-type]
            refused = next((one for one in kept if one.status != 200), None)
            if refused is not None:
                await self.reply(writer, refused.status, refused.body)
            else:
                await self.json(writer, 200, [json.loads(one.body) for one in kept])
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for part in reversed(parts):  # whichever is done first comes first
            one = _Kept()
            await super().route(method, path, part, one)  # type: ignore[arg-type]
            if one.status != 200:
                await self.event(writer, {"error": {"message": json.loads(one.body)["error"]["message"], "code": 400}})
                break
            await self.event(writer, json.loads(one.body))
        await self.chunk(writer, b"data: [DONE]\n\n")
        await self.chunk(writer, b"")


class StubRouter(HttpStub):
    """What sglang-router 0.3.2 answers in HTTP mode; /generate goes to its workers in turn."""

    def __init__(self, workers: list[StubServer]) -> None:
        super().__init__()
        self.workers = workers
        self.broken_info = False
        """It asks a dead worker what the model is."""
        self.paths: list[str] = []
        self._turn = 0

    async def route(self, method: str, path: str, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        self.paths.append(path)
        if path == "/get_model_info" and self.broken_info:
            await self.json(writer, 500, {"error": {"message": "failed to send request"}})
        elif path == "/get_model_info":
            await self.json(writer, 200, self.workers[0]._model_info())
        elif path == "/get_server_info":
            await self.json(writer, 200, {"router_manager": True, "workers_count": len(self.workers)})
        elif path == "/workers":
            entries = [{"url": worker.url, "connection_mode": "HTTP", "is_healthy": True} for worker in self.workers]
            await self.json(writer, 200, {"workers": entries, "total": len(entries)})
        elif path == "/v1/models":
            await self.json(writer, 200, {"data": [{"id": "stub"}]})
        elif path == "/health":
            await self.reply(writer, 200, b"OK")
        elif path == "/generate" and isinstance(body.get("rid"), str):
            self._turn += 1
            await self._forward(self.workers[self._turn % len(self.workers)], body, writer)
        elif path == "/generate":
            await self.reply(writer, 422, b"Failed to deserialize the JSON body", kind="text/plain")
        else:
            await self.reply(writer, 404, b"")

    async def _forward(self, worker: StubServer, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        """Pass bytes on both ways, until the worker has answered once: it closes no connection of its own."""
        host, _, port = worker.url.rpartition("://")[2].partition(":")
        reader, onward = await asyncio.open_connection(host, int(port))
        data = json.dumps(body).encode()
        onward.write(f"POST /generate HTTP/1.1\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
        if length:
            writer.write(await reader.readexactly(int(length)))
        else:
            writer.write(await reader.readuntil(b"\r\n0\r\n\r\n"))
        onward.close()
        await writer.drain()
