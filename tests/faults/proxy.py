"""A proxy before a server that does to chosen requests what networks and broken servers do; the others pass through.

In a test: `with FaultProxy(server_url) as proxy:` runs it in a thread and gives `proxy.url`. What goes wrong is said by
`proxy.faults`, which is asked for each POST that computes, with its number (from 1) and its body. Everything else
(questions about the model, the load, the health) passes, unless `proxy.hung` or `proxy.model` says otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import struct
import threading
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

COMPUTES = ("/generate", "/classify", "/encode")
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no time: closing sends a reset
_GOES_ON_AFTER = 1 << 16


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind`:

    - status: `status` in place of an answer, with `retry_after_s` if given; the server never sees the request
    - hang: the request is taken and never answered; the server never sees it
    - drip: the answer comes `piece` bytes at a time, with `pause_s` between
    - cut: the connection is closed `after_bytes` into the answer's body
    - malformed: an answer that begins as JSON does and is none; the server never sees the request
    - reset_before: a reset when the request has been read; the server never sees it
    - reset_after: a reset when the server has begun to answer
    """

    kind: Literal["status", "hang", "drip", "cut", "malformed", "reset_before", "reset_after"]
    status: int = 500
    retry_after_s: float | None = None
    after_bytes: int = 20
    piece: int = 7
    pause_s: float = 0.005


def requests_in(body: bytes) -> list[dict[str, Any]]:
    """The requests of one POST, which may carry many, each with its id and its sampling parameters."""
    asked = json.loads(body)
    if not isinstance(asked.get("rid"), list):
        return [asked]
    names = ("rid", "input_ids", "sampling_params")
    return [dict(zip(names, each, strict=True)) for each in zip(*(asked[name] for name in names), strict=True)]


def seed_of(request: dict[str, Any]) -> int:
    seed: int = request["sampling_params"]["sampling_seed"]
    return seed


Faults = Callable[[int, bytes], Fault | None]


def never(_number: int, _body: bytes) -> Fault | None:
    """Nothing goes wrong."""
    return None


def scripted(faults: Mapping[int, Fault]) -> Faults:
    """Faults by the number of the POST."""
    return lambda number, _body: faults.get(number)


def always(fault: Fault) -> Faults:
    """Every POST fails in this way."""
    return lambda _number, _body: fault


def by_chance(seed: int, probability: float, faults: Sequence[Fault], posts: int) -> Faults:
    """One of `faults` with this probability, for each of the first `posts`; the same numbers for the same seed."""
    drawn = random.Random(seed)
    hit = {number: drawn.choice(faults) for number in range(1, posts + 1) if drawn.random() < probability}
    return scripted(hit)


class FaultProxy:
    """`model`: the name that the server has as far as clients can see; None: its own. `hung`: nothing is answered.

    `asked` has the requests that were to be computed, `injected` counts those of them that were hit, by the kind of the
    fault. Read them when requests have ended.
    """

    def __init__(self, upstream: str, faults: Faults = never) -> None:
        address = urllib.parse.urlsplit(upstream)
        assert address.hostname is not None and address.port is not None
        self._upstream = address.hostname, address.port
        self.faults = faults
        self.model: str | None = None
        self.hung = False
        self.asked: list[dict[str, Any]] = []
        self._posts = 0
        self.injected: dict[str, int] = {}
        self.open = 0
        """Connections that clients have open now."""
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="fault-proxy", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the proxy did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=4096))
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request: the answer ends the connection, so what the server sends is handed on as it is."""
        self.open += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._request(reader, writer)
        finally:
            self.open -= 1
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        target = head.split(b" ", 2)[1].decode()
        path = target.partition("?")[0]
        body = await reader.readexactly(_length(head))
        fault = None
        if path in COMPUTES:
            requests = requests_in(body)
            self.asked += requests
            self._posts += 1
            fault = self.faults(self._posts, body)
            if fault is not None:
                self.injected[fault.kind] = self.injected.get(fault.kind, 0) + len(requests)
        if self.hung or fault is not None and fault.kind == "hang":
            await reader.read()  # until the client goes
        elif fault is not None and fault.kind == "reset_before":
            _reset(writer)
        elif fault is not None and fault.kind in ("status", "malformed"):
            await _answer(writer, fault)
        elif path in ("/model_info", "/get_model_info") and self.model is not None:
            data = json.dumps({"model_path": self.model, "is_generation": True}).encode()
            await _reply(writer, 200, data)
        else:
            await self._pass_on(_closing(head) + body, fault, reader, writer)

    async def _pass_on(
        self, request: bytes, fault: Fault | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Hand a request to the server and its answer back, until either side goes."""
        try:
            answers, server = await asyncio.open_connection(*self._upstream)
        except ConnectionError:
            _reset(writer)  # nobody is there
            return
        try:
            server.write(request)
            await server.drain()
            if fault is not None and fault.kind == "reset_after":
                await answers.read(1)  # it has the request, and has computed
                _reset(writer)
                return
            handing = asyncio.ensure_future(_hand_back(answers, writer, fault))
            leaving = asyncio.ensure_future(reader.read(1))
            await asyncio.wait((handing, leaving), return_when=asyncio.FIRST_COMPLETED)
            for task in (handing, leaving):
                task.cancel()
            await asyncio.gather(handing, leaving, return_exceptions=True)
        finally:
            server.close()


async def _hand_back(answers: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault | None) -> None:
    left = None
    if fault is not None and fault.kind == "cut":
        writer.write(await answers.readuntil(b"\r\n\r\n"))
        left = fault.after_bytes
    while left != 0:
        data = await answers.read(_GOES_ON_AFTER if left is None else left)
        if not data:
            return
        if left is not None:
            left -= len(data)
        if fault is not None and fault.kind == "drip":
            for place in range(0, len(data), fault.piece):
                writer.write(data[place : place + fault.piece])
                await writer.drain()
                await asyncio.sleep(fault.pause_s)
        else:
            writer.write(data)
            await writer.drain()


async def _answer(writer: asyncio.StreamWriter, fault: Fault) -> None:
    if fault.kind == "malformed":
        await _reply(writer, 200, b'{"text": "half an ans')
        return
    headers = "" if fault.retry_after_s is None else f"Retry-After: {fault.retry_after_s:g}\r\n"
    data = json.dumps({"error": {"message": "the proxy's own fault"}}).encode()
    await _reply(writer, fault.status, data, headers)


async def _reply(writer: asyncio.StreamWriter, status: int, data: bytes, headers: str = "") -> None:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n{headers}"
    writer.write(head.encode() + b"Connection: close\r\n\r\n" + data)
    await writer.drain()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _closing(head: bytes) -> bytes:
    """The head of a request after whose answer the server closes the connection."""
    lines = [line for line in head.split(b"\r\n") if line and not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n"


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
