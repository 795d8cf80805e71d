"""What a request costs ttsc in processor time, with a thousand of them in flight, and whether memory stays flat.

The server is a stub in a process of its own that answers every request after a while with canned tokens, so the figure
is the client's alone. Arms, each in a process of its own, in turn, repeated: the engine client (`client`), the same
streaming (`stream`), a session's flights (`session`), a compiled program with prompt, sampling, votes and trace events
(`program`), and for comparison two general HTTP clients that post the same bodies (`httpx`, `aiohttp`; left out where
not installed).

Run with `python benchmarks/client_cost.py`. Prints milliseconds of processor time per request: median, smallest,
largest; for streams also microseconds per event. `--memory N` runs N requests through a session and prints resident
memory along the way. `--target MS` fails if the median of `program` is above it. Processor time is what remains
comparable on a busy machine, but caches are shared: measure on a quiet one.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ARMS = ("client", "stream", "session", "program", "httpx", "aiohttp")
IN_FLIGHT = 1000
PROMPT = tuple(range(100, 356))
ANSWER = [198, 19, 27, 34, 42, 18, 198] * 9 + [19]
DELAY_S = 0.2
SAMPLES = 10

# -- the stub server --------------------------------------------------------------------------------------------------


def _reply(data: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data) + data


def _meta(tokens: int, finished: bool) -> dict[str, Any]:
    reason = {"type": "length", "length": len(ANSWER)} if finished else None
    counts = {"prompt_tokens": len(PROMPT), "cached_tokens": 200, "completion_tokens": tokens}
    return {"id": "stub", "finish_reason": reason, **counts, "e2e_latency": 0.2, "weight_version": "default"}


_WHOLE = _reply(json.dumps({"text": "", "output_ids": ANSWER, "meta_info": _meta(len(ANSWER), True)}).encode())
_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _event(index: int, ids: list[int], rid: str = "stub") -> bytes:
    meta = _meta(index + 1, index + 1 == len(ANSWER)) | {"id": rid}
    value = {"text": "", "output_ids": ids, "meta_info": meta}
    data = b"data: " + json.dumps(value).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


_EVENTS = [_event(index, [ANSWER[index]]) for index in range(len(ANSWER))]
_END = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
_MODEL = {"model_path": "stub", "tokenizer_path": "stub", "is_generation": True, "architectures": ["LlamaForCausalLM"]}
_SERVER = {
    "model_path": "stub",
    "max_total_num_tokens": 10**8,
    "context_length": 32768,
    "enable_deterministic_inference": True,
    "device": "cuda",
    "version": "0.5.23",
    "internal_states": [{"effective_max_running_requests_per_dp": 4096}],
}
_LOAD = {"num_running_reqs": IN_FLIGHT, "num_waiting_reqs": 0, "num_used_tokens": 10**6, "max_total_num_tokens": 10**8}
_KNOWN = {
    b"/model_info": _reply(json.dumps(_MODEL).encode()),
    b"/server_info": _reply(json.dumps(_SERVER).encode()),
    b"/v1/models": _reply(json.dumps({"data": []}).encode()),
    b"/v1/loads": _reply(json.dumps({"loads": [_LOAD | {"max_running_requests": 4096}]}).encode()),
    b"/classify": _reply(json.dumps({"embedding": [0.5], "meta_info": _meta(0, True)}).encode()),
}


class Stub(asyncio.Protocol):
    """Just enough of SGLang: one request at a time on a connection."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        place = head.find(b"content-length:")
        length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        if len(self._buffer) < end + 4 + length:
            return
        body, self._buffer = self._buffer[end + 4 : end + 4 + length], self._buffer[end + 4 + length :]
        path = head.split(b" ", 2)[1].partition(b"?")[0]
        loop = asyncio.get_running_loop()
        if path != b"/generate":
            self._transport.write(_KNOWN.get(path, _reply(b"{}")))
        elif b'"stream_interval"' in body:
            rids = json.loads(body)["rid"]
            self._transport.write(_STREAM)
            for delay_s, index in ((DELAY_S / 10, 0), (DELAY_S, len(ANSWER) - 1)):
                loop.call_later(delay_s, self._several, [rids] if isinstance(rids, str) else rids, index)
        elif b'"stream":true' in body or b'"stream": true' in body:
            self._transport.write(_STREAM)
            loop.call_later(DELAY_S / 10, self._next, 0)
        else:
            loop.call_later(DELAY_S, self._transport.write, _WHOLE)

    def _several(self, rids: list[str], index: int) -> None:
        """Events of a list of requests: the first token of each, or the end of each."""
        for rid in rids:
            self._transport.write(_event(index, ANSWER[: index + 1], rid))
        if index:
            self._transport.write(_END)

    def _next(self, index: int) -> None:
        self._transport.write(_EVENTS[index])
        if index + 1 < len(_EVENTS):
            asyncio.get_running_loop().call_later(DELAY_S / 10, self._next, index + 1)
        else:
            self._transport.write(_END)


async def serve() -> None:
    """Run the stub until the end; prints its port."""
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# -- the arms ---------------------------------------------------------------------------------------------------------


class Words:
    """Stands in for a tokenizer where none is at hand: a token is a character."""

    eos_ids = frozenset({2})

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Any) -> str:
        return "Answer: 4\n"

    def chat_ids(self, turns: Any) -> list[int]:
        return [100 + len(turn.text) % 100 for turn in turns] + list(PROMPT)

    def extension_ids(self, ended: bool, turns: Any) -> list[int]:
        return self.chat_ids(turns)


async def attach(url: str) -> Any:
    from ttsc.backends.sglang.client import SGLangEngine
    from ttsc.backends.sglang.connection import Connection
    from ttsc.backends.sglang.serverinfo import engine_info
    from ttsc.backends.sglang.tokenizer import load_tokenizer

    connection = Connection(url)
    folder = Path.home() / ".cache" / "ttsc" / "models" / "smollm2-135m-1"
    tokenizer = load_tokenizer(folder) if folder.is_dir() else Words()
    return SGLangEngine(connection, (await engine_info(connection)).info, tokenizer)


async def drive(requests: int, ask: Callable[[int], Awaitable[object]]) -> None:
    """`IN_FLIGHT` askers, each with one request in flight at a time."""
    numbers = iter(range(requests))

    async def asker() -> None:
        for number in numbers:
            await ask(number)

    await asyncio.gather(*(asker() for _ in range(min(IN_FLIGHT, requests))))


async def measured(requests: int, ask: Callable[[int], Awaitable[object]]) -> float:
    """Seconds of processor time per request, once connections are open."""
    await drive(IN_FLIGHT, ask)
    gc.collect()
    began = time.process_time()
    await drive(requests, ask)
    return (time.process_time() - began) / requests


async def run_client(url: str, requests: int, *, stream: bool = False) -> float:
    from ttsc.backends.protocol import GenerateRequest, Sampling

    engine = await attach(url)
    sampling = Sampling(max_tokens=len(ANSWER), temperature=0.7, seed=1)
    numbers = iter(range(10**9))
    seen = 0

    def progress(report: Any) -> None:
        nonlocal seen
        seen += len(report.new_ids)

    async def ask(_number: int) -> None:
        request = GenerateRequest(f"bench-{next(numbers):010}", PROMPT, sampling, stream)
        answer = await engine.generate(request, progress if stream else None)
        assert answer.completion_tokens == len(ANSWER)

    cost = await measured(requests, ask)
    assert not stream or seen == (IN_FLIGHT + requests) * len(ANSWER)
    await engine.close()
    return cost


async def session_ask(url: str) -> tuple[Callable[[int], Awaitable[object]], Callable[[], Awaitable[None]]]:
    from ttsc.backends.protocol import Sampling
    from ttsc.runtime.flights import Ticket
    from ttsc.runtime.ledger import Ledger
    from ttsc.runtime.session import Session
    from ttsc.runtime.work import Decoding

    engine = await attach(url)
    session = Session({"m": engine})
    work = Decoding(Sampling(max_tokens=len(ANSWER), temperature=0.7, seed=1))
    ledger = Ledger()

    async def ask(number: int) -> None:
        ticket = Ticket(
            node="%1",
            op="sample",
            role="m",
            index=number,
            input_index=0,
            ids=PROMPT,
            work=work,
            share_prefix=True,
            parent=None,
            emit=lambda event: None,
            on_tokens=lambda tokens: None,
            starting=ledger.claim,
        )
        await session.submit("m", ticket).outcome.wait()

    async def close() -> None:
        await session.close()
        await engine.close()

    return ask, close


async def run_session(url: str, requests: int) -> float:
    ask, close = await session_ask(url)
    cost = await measured(requests, ask)
    await close()
    return cost


async def run_program(url: str, requests: int) -> float:
    """Self-consistency without an early end: `SAMPLES` requests for each input."""
    import ttsc

    program = ttsc.compile(ROOT / "programs" / "self_consistency.tts")
    folder = Path.home() / ".cache" / "ttsc" / "models" / "smollm2-135m-1"
    ended = 0

    async def drive_inputs(inputs: int) -> None:
        nonlocal ended
        given = ({"question": f"What is {number} + 4?", "n": SAMPLES} for number in range(inputs))
        async for result in program.amap(given, concurrency=IN_FLIGHT // SAMPLES, engine=engine):
            assert result.error is None, result.error
            ended += result.usage.requests

    async with ttsc.connect(url, tokenizer_path=str(folder)) as engine:
        await drive_inputs(2 * IN_FLIGHT // SAMPLES)
        gc.collect()
        ended, began = 0, time.process_time()
        await drive_inputs(requests // SAMPLES)
        return (time.process_time() - began) / ended


async def run_httpx(url: str, requests: int) -> float:
    import httpx

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(timeout=None, limits=limits, trust_env=False) as client:

        async def ask(_number: int) -> None:
            reply = await client.post(f"{url}/generate", json=_body())
            assert reply.json()["meta_info"]

        return await measured(requests, ask)


async def run_aiohttp(url: str, requests: int) -> float:
    import aiohttp

    timeout, connector = aiohttp.ClientTimeout(total=None), aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as client:

        async def ask(_number: int) -> None:
            async with client.post(f"{url}/generate", json=_body()) as reply:
                assert json.loads(await reply.read())["meta_info"]

        return await measured(requests, ask)


def _body() -> dict[str, Any]:
    sampling = {"max_new_tokens": len(ANSWER), "temperature": 0.7, "sampling_seed": 1}
    return {"rid": "bench-0000000001", "input_ids": PROMPT, "sampling_params": sampling, "stream": False}


async def run_memory(url: str, requests: int) -> None:
    """Resident memory in MiB after each tenth of the requests."""
    ask, close = await session_ask(url)
    await drive(5 * IN_FLIGHT, ask)
    page = resource.getpagesize()
    for part in range(11):
        if part:
            await drive(requests // 10, ask)
        gc.collect()
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * page / 2**20
        print(f"{part * requests // 10:>8} requests  {resident:8.1f} MiB", flush=True)
    await close()


# -- the comparison ---------------------------------------------------------------------------------------------------


def one(arm: str, url: str, requests: int) -> float:
    """One arm, here; seconds per request."""
    runs: dict[str, Callable[[], Any]] = {
        "client": lambda: run_client(url, requests),
        "stream": lambda: run_client(url, requests, stream=True),
        "session": lambda: run_session(url, requests),
        "program": lambda: run_program(url, requests),
        "httpx": lambda: run_httpx(url, requests),
        "aiohttp": lambda: run_aiohttp(url, requests),
    }
    return float(asyncio.run(runs[arm]()))


def child(*arguments: str) -> str:
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=5000, help="of each arm and repeat (streams: a fifth)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--memory", type=int, metavar="N", help="look at memory over N requests instead")
    parser.add_argument("--target", type=float, metavar="MS", help="fail if a request of `program` costs more")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--one", nargs=2, metavar=("ARM", "URL"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard < 16384 else max(soft, 16384), hard))
    if options.serve:
        asyncio.run(serve())
    if options.one:
        print(one(options.one[0], options.one[1], options.requests))
        return 0
    stub = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert stub.stdout is not None
        url = f"http://127.0.0.1:{stub.stdout.readline().strip()}"
        if options.memory:
            asyncio.run(run_memory(url, options.memory))
            return 0
        return compare(options, url)
    finally:
        stub.kill()


def compare(options: argparse.Namespace, url: str) -> int:
    arms = [arm for arm in options.arms if arm not in ("httpx", "aiohttp") or importlib.util.find_spec(arm)]
    costs: dict[str, list[float]] = {arm: [] for arm in arms}
    for repeat in range(options.repeats):
        for place in range(len(arms)):
            arm = arms[(place + repeat) % len(arms)]
            requests = options.requests // 5 if arm == "stream" else options.requests
            costs[arm].append(float(child("--one", arm, url, "--requests", str(requests))) * 1000)
    print(f"{IN_FLIGHT} in flight, prompts of {len(PROMPT)} tokens, answers of {len(ANSWER)}; processor ms per request")
    for arm, found in costs.items():
        events = f"   {statistics.median(found) / len(ANSWER) * 1000:.0f} µs per event" if arm == "stream" else ""
        print(f"{arm:<8} {statistics.median(found):7.3f}  ({min(found):.3f} … {max(found):.3f}){events}")
    if options.target is not None and statistics.median(costs["program"]) > options.target:
        print(f"a request of a program costs more than {options.target} ms")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
