"""Throughput of the CPU engine, its kernels against stock SGLang on PyTorch's operations (`torch_native`).

    python benchmarks/cpu_engine.py --repeats 5 --json out.json

Each arm is one server; they run one after the other, in turns, `--repeats` times each, so that a busy minute of the
machine hits both. Ours is deterministic, as ttsc launches it; stock cannot be. Decode: n sequences with a common prompt
and a last token of their own, 32 new tokens each at temperature 1; tokens per second from first submission to last
answer. Prefill: one prompt of 1024 tokens that is not cached. Median and range go to standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from ttsc.backends.sglang.cpu.arguments import SERVE_MODULE, cpu_server_args
from ttsc.backends.sglang.models import resolve_model

BATCHES = (1, 8, 64)
NEW_TOKENS = 32
PROMPT_TOKENS = 64
PREFILL_TOKENS = 1024
ARMS = ("ours", "stock")


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--json", type=Path, help="write all samples here")
    options = parser.parse_args()
    model = resolve_model(options.model, progress=print)
    samples: dict[str, dict[str, list[float]]] = {arm: {} for arm in options.arms}
    for repeat in range(options.repeats):
        for arm in options.arms:
            with _server(model.path, arm) as (url, startup_s):
                measured = {"startup_s": startup_s, **asyncio.run(_measure(url, options.batches))}
            for name, value in measured.items():
                samples[arm].setdefault(name, []).append(round(value, 2))
            load = os.getloadavg()[0]
            samples[arm].setdefault("load_average", []).append(round(load, 2))
            print(f"# repeat {repeat + 1}, {arm}: {measured} (load {load:.1f})", file=sys.stderr, flush=True)
            _write(options.json, {"model": model.name, "cores": os.cpu_count(), "samples": samples})
    _print_table(samples)
    return 0


def _write(path: Path | None, report: dict[str, Any]) -> None:
    """Write what there is so far, so that an interrupted run leaves its samples."""
    if path is not None:
        text = json.dumps({"date": time.strftime("%Y-%m-%d"), **report}, indent=2)
        path.write_text(text + "\n", encoding="utf-8")


@contextmanager
def _server(model_path: str, arm: str) -> Iterator[tuple[str, float]]:
    """A server of one arm, with the seconds from its start to its first answer; gone with all its processes
    afterwards."""
    port = _free_port()
    argv, environment = cpu_server_args(model_path, port, deterministic=arm == "ours")
    if arm == "stock":
        argv[argv.index("--attention-backend") + 1] = "torch_native"
        environment["TTSC_CPU_KERNELS"] = "0"
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", SERVE_MODULE, *argv],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _await_first_answer(url, process)
        yield url, time.monotonic() - began
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await_first_answer(url: str, process: subprocess.Popen[bytes]) -> None:
    body = {"text": "2+2=", "sampling_params": {"max_new_tokens": 1}}
    while process.poll() is None:
        try:
            httpx.post(f"{url}/generate", json=body, timeout=60).raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise RuntimeError("the server died at start")


async def _measure(url: str, batches: list[int]) -> dict[str, float]:
    limits = httpx.Limits(max_connections=max(batches))
    async with httpx.AsyncClient(base_url=url, timeout=900, limits=limits) as client:
        await _decode(client, 2, warm=True)
        result = {f"decode_{n}": await _decode(client, n) for n in batches}
        await client.post("/flush_cache")
        began = time.perf_counter()
        await _generate(client, [(index * 53) % 30000 + 500 for index in range(PREFILL_TOKENS)], 1)
        result["prefill"] = PREFILL_TOKENS / (time.perf_counter() - began)
    return result


async def _decode(client: httpx.AsyncClient, n: int, *, warm: bool = False) -> float:
    await client.post("/flush_cache")
    prompt = [(index * 37) % 4000 + 100 for index in range(PROMPT_TOKENS)]
    await _generate(client, prompt, 1)
    began = time.perf_counter()
    new = 8 if warm else NEW_TOKENS
    await asyncio.gather(*[_generate(client, [*prompt, 200 + index], new) for index in range(n)])
    return n * new / (time.perf_counter() - began)


async def _generate(client: httpx.AsyncClient, ids: list[int], new_tokens: int) -> dict[str, Any]:
    sampling = {"max_new_tokens": new_tokens, "temperature": 1.0, "ignore_eos": True}
    reply = await client.post("/generate", json={"input_ids": ids, "sampling_params": sampling})
    reply.raise_for_status()
    return dict(reply.json())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _print_table(samples: dict[str, dict[str, list[float]]]) -> None:
    names = list(dict.fromkeys(name for arm in samples.values() for name in arm))
    print(f"{'':<14}" + "".join(f"{arm:>30}" for arm in samples))
    for name in names:
        cells = []
        for arm in samples.values():
            values = arm[name]
            cells.append(f"{statistics.median(values):.1f}  [{min(values):.1f} .. {max(values):.1f}]")
        print(f"{name:<14}" + "".join(f"{cell:>30}" for cell in cells))


if __name__ == "__main__":
    sys.exit(main())
