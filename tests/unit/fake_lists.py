"""What the stub of SGLang does with a list of requests in one POST: one event stream, events of each as they come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from fake_sglang import Fault, StubServer

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_END = b"0\r\n\r\n"


class _Part:
    """The writer of one request of a list: without the head and the end, which belong to all."""

    def __init__(self, whole: asyncio.StreamWriter) -> None:
        self._whole = whole

    def write(self, data: bytes) -> None:
        if not data.startswith(b"HTTP/1.1") and b"[DONE]" not in data and data != _END:
            self._whole.write(data)

    async def drain(self) -> None:
        await self._whole.drain()

    def close(self) -> None:
        self._whole.close()


async def generate_list(
    stub: StubServer, body: dict[str, Any], fault: Fault | None, writer: asyncio.StreamWriter
) -> None:
    """Decode a list of requests. One that is too long is refused with all of them."""
    several = ("rid", "input_ids", "sampling_params")
    bodies = [body | dict(zip(several, each, strict=True)) for each in zip(*(body[n] for n in several), strict=True)]
    for each in bodies:
        length, limit = len(each["input_ids"]), each["sampling_params"]["max_new_tokens"]
        if length + limit > stub.behaviour.context_tokens:
            await stub.json(writer, 400, {"error": {"message": stub._too_long(length, limit)}})
            return
    writer.write(_HEAD)
    part = cast(asyncio.StreamWriter, _Part(writer))

    async def one(each: dict[str, Any]) -> None:
        with stub._runs(each["rid"]):
            await stub._decode(each["rid"], each, each["sampling_params"], fault, part)

    await asyncio.gather(*map(one, bodies))
    await stub.chunk(writer, b"data: [DONE]\n\n")
    await stub.chunk(writer, b"")
