"""How much the simulator does: inputs and requests a second, memory, and whether every token is accounted for.

    python -m benchmarks.simulator                                     # 2,000 inputs on 20 servers
    python -m benchmarks.simulator --inputs 100000 --replicas 1000     # a large service: some twenty minutes

The program runs on the real executor; time is virtual. Peak memory is that of the process.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ttsc
from ttsc.backends.simulator.engine import SimulatedEngine
from ttsc.runtime.usage import total

PROGRAMS = Path(__file__).parent.parent / "programs"


def inputs_of(count: int) -> Iterator[dict[str, Any]]:
    """Made as they are read."""
    return ({"question": f"How much is {number} + {number * 7 % 1000}?"} for number in range(count))


async def run(program: ttsc.CompiledProgram, engine: SimulatedEngine, inputs: int, at_once: int) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    begun_s, started, used_s = loop.time(), time.perf_counter(), time.process_time()
    ended = failed = requests = decoded = cached = computed = 0
    results = program.amap(inputs_of(inputs), engine=engine, concurrency=at_once, ordered=False)
    async for result in results:
        usage = total([result.usage])
        ended += 1
        failed += result.error is not None
        requests += usage.requests
        decoded += usage.decoded_tokens
        cached += usage.cached_tokens
        computed += usage.prefill_tokens
        if ended % max(1, inputs // 10) == 0:
            print(f"{ended} of {inputs} inputs, {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    seconds = time.perf_counter() - started
    served = engine.served
    assert failed == 0, f"{failed} inputs failed"
    assert (requests, decoded, cached) == (served.requests, served.decoded_tokens, served.cached_tokens)
    return {
        "inputs": ended,
        "requests": requests,
        "decoded tokens": decoded,
        "cached tokens": cached,
        "computed prompt tokens": computed,
        "simulated seconds": loop.time() - begun_s,
        "seconds": seconds,
        "processor seconds": time.process_time() - used_s,
        "inputs a second": ended / seconds,
        "requests a second": requests / seconds,
        "peak memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--program", default="self_consistency")
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--replicas", type=int, default=20)
    parser.add_argument("--at-once", type=int, help="inputs in flight; 16 for each server if left out")
    given = parser.parse_args()
    program = ttsc.compile(PROGRAMS / f"{given.program}.tts")
    engine = ttsc.simulate(replicas=given.replicas)
    at_once = given.at_once or 16 * given.replicas
    figures = ttsc.in_virtual_time(run(program, engine, given.inputs, at_once))
    for name, value in figures.items():
        print(f"{name:24}{value:16,.1f}")


if __name__ == "__main__":
    main()
