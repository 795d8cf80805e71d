"""A stub of SGLang's HTTP server for unit tests: no model, no SGLang, but the same wire format, and faults on request.

In a test: `with StubServer() as stub:` runs it in a thread and gives `stub.url`. As a program it plays a server's whole
life for the launcher (`python fake_sglang.py --port N …`): log lines, children of its own, and a chosen way to die.

Tokens are a function of the seed and the position, log-probabilities of the token and the position, rewards and
embeddings of the sequence, so a test can compute what a request must return.
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
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fake_http import Dropped, HttpStub
from fake_lists import generate_list

VOCABULARY = 1000
EOS = 2


def stub_tokens(seed: int, count: int) -> list[int]:
    """What the stub generates for a seed: `count` ids between 10 and 999."""
    return [10 + (seed * 7919 + position * 104729) % 990 for position in range(count)]


def stub_logprob(token: int, position: int) -> float:
    """What the stub reports for a token at a position of its sequence."""
    return -((token * 31 + position * 17) % 97) / 8


def stub_pooled(ids: list[int], dimensions: int) -> list[float]:
    """The stub's reward (one dimension) or embedding of a sequence."""
    return [((sum(ids) + 7 * len(ids) + 13 * dimension) % 41 - 20) / 16 for dimension in range(dimensions)]


@dataclass(slots=True)
class Fault:
    """One deliberate failure, used up by the next request that computes.

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
    architecture: str = "LlamaForCausalLM"
    pooled_dimensions: int = 0
    """0 for a model that generates, 1 for a reward, more for an embedding."""
    pool_delay_s: float = 0.0
    grammar_backend: str = "xgrammar"
    sees_images: bool = False
    slow_schemas: bool = False
    """Every schema is still being compiled when its request is aborted."""


class StubServer(HttpStub):
    """The stub, in a thread of its own. Counters are plain attributes; read them when requests have ended."""

    def __init__(self, behaviour: Behaviour | None = None, port: int = 0) -> None:
        super().__init__(port)
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

    async def route(self, method: str, path: str, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if path == "/generate":
            await self._generate(body, writer)
        elif path in ("/classify", "/encode"):
            await self._pool(path, body, writer)
        elif path == "/abort_request":
            self.abort_bodies.append(body)
            if self.behaviour.abort_fails_first > 0:
                self.behaviour.abort_fails_first -= 1
                await self.json(writer, 503, {"error": {"message": "busy"}})
                return
            if self.behaviour.abort_ignored_first > 0:
                self.behaviour.abort_ignored_first -= 1  # as when the abort overtakes its request
            elif body.get("rid") in self.running:
                self._doomed.add(body["rid"])
                self.aborted += 1
            await self.reply(writer, 200, b"")
        elif path == "/flush_cache":
            self._cached.clear()
            self.flushed += 1
            await self.reply(writer, 200, b"Cache flushed.\n")
        elif path == "/health":
            await self.reply(writer, 200, b"")
        elif path == "/v1/models":
            await self.json(writer, 200, {"data": [{"id": "stub", "max_model_len": self.behaviour.context_tokens}]})
        elif path in ("/model_info", "/get_model_info"):
            await self.json(writer, 200, self._model_info())
        elif path in ("/server_info", "/get_server_info") and self.behaviour.server_info:
            await self.json(writer, 200, self._server_info())
        elif path == "/metrics":
            await self.reply(writer, 200, self._metrics().encode(), kind="text/plain")
        else:
            await self.json(writer, 404, {"detail": "Not Found"})

    def _model_info(self) -> dict[str, Any]:
        return {
            "model_path": self.behaviour.model_path,
            "tokenizer_path": self.behaviour.model_path,
            "is_generation": not self.behaviour.pooled_dimensions,
            "architectures": [self.behaviour.architecture],
            "has_image_understanding": self.behaviour.sees_images,
        }

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
            "grammar_backend": self.behaviour.grammar_backend,
            "constrained_json_disable_any_whitespace": True,
            "version": "0.5.23",
        }

    def _metrics(self) -> str:
        return (
            "# HELP sglang:num_running_reqs The number of running requests.\n# TYPE sglang:num_running_reqs gauge\n"
            f'sglang:num_running_reqs{{engine_type="unified",model_name="stub"}} {float(len(self.running))}\n'
            "# TYPE sglang:num_aborted_requests_total counter\n"
            f'sglang:num_aborted_requests_total{{model_name="stub"}} {float(self.aborted)}\n'
        )

    # -- generation ---------------------------------------------------------------------------------------------

    async def _faulty(self, fault: Fault | None, writer: asyncio.StreamWriter) -> bool:
        """Fail before anything is sent, if `fault` says so."""
        if fault is not None and fault.kind == "status":
            await self.json(writer, fault.status, {"error": {"message": fault.message}}, fault.headers)
        elif fault is not None and fault.kind == "malformed":
            await self.reply(writer, 200, b'{"text": "half an ans')
        elif fault is not None and fault.kind == "drop":
            writer.close()
            raise Dropped
        else:
            return False
        return True

    @contextlib.contextmanager
    def _runs(self, rid: str) -> Iterator[None]:
        self.running.add(rid)
        self.peak_running = max(self.peak_running, len(self.running))
        try:
            yield
        finally:
            self.running.discard(rid)
            self._doomed.discard(rid)

    async def _pool(self, path: str, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        self.bodies.append(body | {"path": path})
        if await self._faulty(self.faults.pop(0) if self.faults else None, writer):
            return
        ids, rid = body["input_ids"], body.get("rid", "")
        if not self.behaviour.pooled_dimensions:
            message = "This model does not appear to be an embedding model by default. Please add `--is-embedding`"
            await self.json(writer, 400, {"error": {"message": message}})
            return
        if len(ids) >= self.behaviour.context_tokens:
            await self.json(writer, 400, {"error": {"message": self._too_long(len(ids), 0)}})
            return
        with self._runs(rid):
            meta = {"id": rid, "finish_reason": {"type": "length", "length": 0}, "prompt_tokens": len(ids)}
            await self._stay(rid, self.behaviour.pool_delay_s)
            if rid in self._doomed:
                reason = {"type": "abort", "message": "Abort in waiting queue"}
                await self.json(
                    writer, 200, {"text": "", "output_ids": [], "meta_info": meta | {"finish_reason": reason}}
                )
                return
            await self.json(
                writer, 200, {"embedding": stub_pooled(ids, self.behaviour.pooled_dimensions), "meta_info": meta}
            )

    async def _stay(self, rid: str, seconds: float) -> None:
        """Work on a request for a while, or until it is aborted."""
        end = time.monotonic() + seconds
        while rid not in self._doomed and time.monotonic() < end:
            await asyncio.sleep(0.005)

    async def _generate(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        self.bodies.append(body)
        fault = self.faults.pop(0) if self.faults else None
        if await self._faulty(fault, writer):
            return
        if isinstance(body.get("rid"), list):
            return await generate_list(self, body, fault, writer)
        sampling = body["sampling_params"]
        prompt, limit = body["input_ids"], sampling["max_new_tokens"]
        if len(prompt) + limit > self.behaviour.context_tokens or len(prompt) == self.behaviour.context_tokens:
            await self.json(writer, 400, {"error": {"message": self._too_long(len(prompt), limit)}})
            return
        if (why := self._schema_refused(sampling.get("json_schema"))) is not None:
            await self.json(writer, 400, {"error": {"message": why}})
            return
        rid = body.get("rid", "")
        with self._runs(rid):
            if sampling.get("json_schema") and self.behaviour.slow_schemas:
                await self._stay(rid, 3600.0)
                await self.json(writer, 400, {"error": {"message": "Aborted by AbortReq."}})
                return
            await self._decode(rid, body, sampling, fault, writer)

    def _schema_refused(self, schema: str | None) -> str | None:
        if schema is None:
            return None
        if self.behaviour.grammar_backend == "none":
            return "Grammar-based generation is not supported when the server is launched with --grammar-backend none"
        if "not" in json.loads(schema):
            return "Failed to compile json grammar: [10:13:37] /p/x.cc:41: keyword(s) not would be ignored\n"
        return None

    def _too_long(self, prompt: int, limit: int) -> str:
        total, most = prompt + limit, self.behaviour.context_tokens
        if prompt >= most:
            return f"The input ({prompt} tokens) is longer than the model's context length ({most} tokens)."
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
        if sampling.get("json_schema"):  # the stub has no words: what it knows of JSON is the braces
            planned = [*b"{}"][: len(planned)]
        reason: dict[str, Any] = {"type": "length", "length": len(planned)}
        if self.behaviour.eos_after is not None and self.behaviour.eos_after <= len(planned):
            planned = [*planned[: self.behaviour.eos_after - 1], EOS]
            reason = {"type": "stop", "matched": EOS}
        logprobs = bool(body.get("return_logprob"))
        start = body.get("logprob_start_len", -1)
        cached = max((_common(prompt, other) for other in self._cached), default=0)
        cached = min(cached, start if start >= 0 else len(prompt), len(prompt) - 1)
        meta: dict[str, Any] = {"id": rid, "prompt_tokens": len(prompt), "cached_tokens": cached}
        if logprobs and start >= 0:
            scores = [[stub_logprob(token, place), token, None] for place, token in enumerate(prompt)]
            meta["input_token_logprobs"] = [[None, prompt[start], None], *scores[start + 1 :]]
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
                so_far |= self._reported(body, done, ids)
                await self.event(writer, {"text": "", "output_ids": ids, "meta_info": so_far})
        self._cached.append(prompt + done)
        ended = {**meta, "finish_reason": reason, "completion_tokens": len(done), "e2e_latency": 0.01}
        ids = done[-1:] if stream and self.behaviour.incremental else done
        ended |= self._reported(body, done, ids)
        await self._last(writer, stream, {"text": "", "output_ids": ids, "meta_info": ended})

    @staticmethod
    def _reported(body: dict[str, Any], done: list[int], ids: list[int]) -> dict[str, Any]:
        """The log-probabilities of an event's ids, which are the last of those that are done."""
        if not body.get("return_logprob"):
            return {}
        place = len(body["input_ids"]) + len(done) - len(ids)
        entries = [[stub_logprob(token, place + number), token, None] for number, token in enumerate(ids)]
        return {"output_token_logprobs": entries}

    async def _fail(self, fault: Fault, writer: asyncio.StreamWriter, stream: bool) -> None:
        if fault.kind == "hang":
            await asyncio.sleep(3600)
        if fault.kind == "error_event" and stream:
            await self.event(writer, {"error": {"message": fault.message, "code": fault.status}})
            await self.chunk(writer, b"data: [DONE]\n\n")
            await self.chunk(writer, b"")
        writer.close()
        raise Dropped

    async def _last(self, writer: asyncio.StreamWriter, stream: bool, value: dict[str, Any]) -> None:
        if not stream:
            await self.json(writer, 200, value)
            return
        await self.event(writer, value)
        await self.chunk(writer, b"data: [DONE]\n\n")
        await self.chunk(writer, b"")


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
