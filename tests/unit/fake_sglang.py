"""A stub of SGLang's HTTP server for unit tests: no model, no SGLang, but the same wire format, and faults on request.

In a test: `with StubServer() as stub:` runs it in a thread and gives `stub.url`. As a program it plays a server's whole
life for the launcher (`python fake_sglang.py --port N …`): log lines, children of its own, and a chosen way to die.

Tokens are a function of the seed and the position, so a test can compute what a request must return.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

VOCABULARY = 1000
EOS = 2


def stub_tokens(seed: int, count: int) -> list[int]:
    """What the stub generates for a seed: `count` ids between 10 and 999."""
    return [10 + (seed * 7919 + position * 104729) % 990 for position in range(count)]


@dataclass(slots=True)
class Fault:
    """One deliberate failure, used up by the next /generate.

    `kind`: status | malformed | drop (before anything is sent), cut | hang | error_event (after `after_tokens`).
    """

    kind: str
    status: int = 500
    message: str = "stub fault"
    headers: dict[str, str] = field(default_factory=dict)
    after_tokens: int = 0


@dataclass(slots=True)
class Behaviour:
    """How the stub behaves. Times in seconds."""

    token_delay_s: float = 0.0
    context_tokens: int = 2048
    incremental: bool = False
    deterministic: bool = True
    device: str = "cpu"
    dtype: str = "float32"
    model_path: str = "stub/model"
    eos_after: int | None = None
    abort_ignored_first: int = 0
    abort_fails_first: int = 0
    waiting_first: int = 0
    server_info: bool = True


class _Dropped(Exception):
    """The stub closes the connection here."""


class StubServer:
    """The stub, in a thread of its own. Counters are plain attributes; read them when requests have ended."""

    def __init__(self, behaviour: Behaviour | None = None, port: int = 0) -> None:
        self.behaviour = behaviour or Behaviour()
        self.faults: list[Fault] = []
        self.bodies: list[dict[str, Any]] = []
        self.abort_bodies: list[dict[str, Any]] = []
        self.aborted = 0
        self.flushed = 0
        self.running: set[str] = set()
        self.peak_running = 0
        self._doomed: set[str] = set()
        self._cached: list[list[int]] = []
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the stub did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        start = asyncio.start_server(self._connection, "127.0.0.1", self._port, backlog=4096)
        server = self._loop.run_until_complete(start)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    # -- HTTP ---------------------------------------------------------------------------------------------------

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, _Dropped, asyncio.CancelledError):
            while True:
                request_line = await reader.readline()
                if not request_line:
                    break
                method, target, _version = request_line.decode().split(" ", 2)
                length = 0
                while (line := await reader.readline()) not in (b"\r\n", b""):
                    name, _, value = line.decode().partition(":")
                    if name.lower() == "content-length":
                        length = int(value)
                body = json.loads(await reader.readexactly(length)) if length else {}
                await self._route(method, target.partition("?")[0], body, writer)
        if not self._loop.is_closed():
            writer.close()

    async def _route(self, method: str, path: str, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if path == "/generate":
            await self._generate(body, writer)
        elif path == "/abort_request":
            self.abort_bodies.append(body)
            if self.behaviour.abort_fails_first > 0:
                self.behaviour.abort_fails_first -= 1
                await self._json(writer, 503, {"error": {"message": "busy"}})
                return
            if self.behaviour.abort_ignored_first > 0:
                self.behaviour.abort_ignored_first -= 1  # as when the abort overtakes its request
            elif body.get("rid") in self.running:
                self._doomed.add(body["rid"])
                self.aborted += 1
            await self._reply(writer, 200, b"")
        elif path == "/flush_cache":
            self._cached.clear()
            self.flushed += 1
            await self._reply(writer, 200, b"Cache flushed.\n")
        elif path == "/health":
            await self._reply(writer, 200, b"")
        elif path == "/v1/models":
            await self._json(writer, 200, {"data": [{"id": "stub", "max_model_len": self.behaviour.context_tokens}]})
        elif path in ("/model_info", "/get_model_info"):
            path = self.behaviour.model_path
            await self._json(writer, 200, {"model_path": path, "tokenizer_path": path, "is_generation": True})
        elif path in ("/server_info", "/get_server_info") and self.behaviour.server_info:
            await self._json(writer, 200, self._server_info())
        elif path == "/metrics":
            await self._reply(writer, 200, self._metrics().encode(), kind="text/plain")
        else:
            await self._json(writer, 404, {"detail": "Not Found"})

    def _server_info(self) -> dict[str, Any]:
        return {
            "model_path": self.behaviour.model_path,
            "context_length": None,
            "max_req_input_len": self.behaviour.context_tokens - 6,
            "max_total_num_tokens": 16 * self.behaviour.context_tokens,
            "page_size": 1,
            "device": self.behaviour.device,
            "dtype": self.behaviour.dtype,
            "enable_deterministic_inference": self.behaviour.deterministic,
            "incremental_streaming_output": self.behaviour.incremental,
            "version": "0.5.23",
        }

    def _metrics(self) -> str:
        return (
            "# HELP sglang:num_running_reqs The number of running requests.\n# TYPE sglang:num_running_reqs gauge\n"
            f'sglang:num_running_reqs{{engine_type="unified",model_name="stub"}} {float(len(self.running))}\n'
            "# TYPE sglang:num_aborted_requests_total counter\n"
            f'sglang:num_aborted_requests_total{{model_name="stub"}} {float(self.aborted)}\n'
        )

    async def _json(
        self, writer: asyncio.StreamWriter, status: int, value: Any, headers: dict[str, str] | None = None
    ) -> None:
        await self._reply(writer, status, json.dumps(value).encode(), headers=headers)

    async def _reply(
        self,
        writer: asyncio.StreamWriter,
        status: int,
        body: bytes,
        kind: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()

    # -- generation ---------------------------------------------------------------------------------------------

    async def _generate(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        self.bodies.append(body)
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None and fault.kind == "status":
            await self._json(writer, fault.status, {"error": {"message": fault.message}}, fault.headers)
            return
        if fault is not None and fault.kind == "malformed":
            await self._reply(writer, 200, b'{"text": "half an ans')
            return
        if fault is not None and fault.kind == "drop":
            writer.close()
            raise _Dropped
        sampling = body["sampling_params"]
        prompt, limit = body["input_ids"], sampling["max_new_tokens"]
        if len(prompt) + limit > self.behaviour.context_tokens:
            await self._json(writer, 400, {"error": {"message": self._too_long(len(prompt), limit)}})
            return
        rid = body.get("rid", "")
        self.running.add(rid)
        self.peak_running = max(self.peak_running, len(self.running))
        try:
            await self._decode(rid, body, sampling, fault, writer)
        finally:
            self.running.discard(rid)
            self._doomed.discard(rid)

    def _too_long(self, prompt: int, limit: int) -> str:
        total, most = prompt + limit, self.behaviour.context_tokens
        return (
            f"Requested token count exceeds the model's maximum context length of {most} tokens. You requested a total "
            f"of {total} tokens: {prompt} tokens from the input messages and {limit} tokens for the completion. Please "
            "reduce the number of tokens in the input messages or the completion to fit within the limit."
        )

    async def _decode(
        self,
        rid: str,
        body: dict[str, Any],
        sampling: dict[str, Any],
        fault: Fault | None,
        writer: asyncio.StreamWriter,
    ) -> None:
        prompt: list[int] = body["input_ids"]
        planned = stub_tokens(sampling.get("sampling_seed") or 0, sampling["max_new_tokens"])
        reason: dict[str, Any] = {"type": "length", "length": len(planned)}
        if self.behaviour.eos_after is not None and self.behaviour.eos_after <= len(planned):
            planned = [*planned[: self.behaviour.eos_after - 1], EOS]
            reason = {"type": "stop", "matched": EOS}
        cached = max((_common(prompt, other) for other in self._cached), default=0)
        meta: dict[str, Any] = {"id": rid, "prompt_tokens": len(prompt), "cached_tokens": min(cached, len(prompt) - 1)}
        stream = bool(body.get("stream"))
        if stream:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        if self.behaviour.waiting_first > 0:
            self.behaviour.waiting_first -= 1
            while rid not in self._doomed:
                await asyncio.sleep(0.005)
            reason = {"type": "abort", "message": "Abort in waiting queue"}
            waiting = {"id": rid, "finish_reason": reason, "completion_tokens": 0, "e2e_latency": 0.1}
            await self._last(writer, stream, {"text": "", "output_ids": [], "meta_info": waiting})
            return
        done: list[int] = []
        for token in planned:
            if self.behaviour.token_delay_s:
                await asyncio.sleep(self.behaviour.token_delay_s)
            done.append(token)
            if fault is not None and len(done) > fault.after_tokens:
                await self._fail(fault, writer, stream)
            if rid in self._doomed:
                reason = {"type": "abort", "message": "Aborted", "status_code": None, "err_type": None}
                break
            if stream and len(done) < len(planned):
                ids = [token] if self.behaviour.incremental else done
                so_far = {**meta, "finish_reason": None, "completion_tokens": len(done)}
                await self._event(writer, {"text": "", "output_ids": ids, "meta_info": so_far})
        self._cached.append(prompt + done)
        ended = {**meta, "finish_reason": reason, "completion_tokens": len(done), "e2e_latency": 0.01}
        ids = done[-1:] if stream and self.behaviour.incremental else done
        await self._last(writer, stream, {"text": "", "output_ids": ids, "meta_info": ended})

    async def _fail(self, fault: Fault, writer: asyncio.StreamWriter, stream: bool) -> None:
        if fault.kind == "hang":
            await asyncio.sleep(3600)
        if fault.kind == "error_event" and stream:
            await self._event(writer, {"error": {"message": fault.message, "code": fault.status}})
            await self._chunk(writer, b"data: [DONE]\n\n")
            await self._chunk(writer, b"")
        writer.close()
        raise _Dropped

    async def _last(self, writer: asyncio.StreamWriter, stream: bool, value: dict[str, Any]) -> None:
        if not stream:
            await self._json(writer, 200, value)
            return
        await self._event(writer, value)
        await self._chunk(writer, b"data: [DONE]\n\n")
        await self._chunk(writer, b"")

    async def _event(self, writer: asyncio.StreamWriter, value: dict[str, Any]) -> None:
        await self._chunk(writer, b"data: " + json.dumps(value).encode() + b"\n\n")

    async def _chunk(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await writer.drain()


def _common(one: list[int], other: list[int]) -> int:
    """How many ids two sequences share at their start."""
    shared = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        shared += 1
    return shared


def main(argv: list[str]) -> int:
    """Play a server's life for the launcher's tests."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--start-delay-s", type=float, default=0.0)
    parser.add_argument("--say", action="append", default=[], help="a line for the log before dying or serving")
    parser.add_argument("--exit-code", type=int, help="die with this code instead of serving")
    parser.add_argument("--die-by", type=int, help="die by this signal instead of serving")
    parser.add_argument("--live-s", type=float, default=3600.0)
    parser.add_argument("--last-words", default="", help="a line for the log after having served")
    parser.add_argument("--children", type=int, default=0, help="start this many children that ignore SIGTERM")
    parser.add_argument("--stubborn", action="store_true", help="ignore SIGTERM")
    options, _ignored = parser.parse_known_args(argv)
    for line in options.say:
        print(line, flush=True)
    sleeper = "import os, signal, time; os.setsid(); signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"
    for _ in range(options.children):
        subprocess.Popen([sys.executable, "-c", sleeper])
    if options.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(options.start_delay_s)
    if options.die_by is not None:
        os.kill(os.getpid(), options.die_by)
    if options.exit_code is not None:
        return int(options.exit_code)
    try:
        with StubServer(port=options.port):
            print("The server is fired up and ready to roll!", flush=True)
            time.sleep(options.live_s)
            print(options.last_words, flush=True)
    except RuntimeError as error:
        print(f"RuntimeError: {error}", flush=True)
        return 1
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
