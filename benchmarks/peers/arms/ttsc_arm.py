"""ttsc's arm: the program of a workload through the public interface, with default options.

`--program` runs another one (`std:beam_search`), on the task of `--task`. `--wait` leaves out what decides early and
what holds candidates back (`decide_early`, `size_waves`), so that every candidate is decoded to its end: what a client
does that waits for all. On uvloop, as the hand-written arm.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import uvloop
from serve_arm import Outcome, arguments, serve

import ttsc
from ttsc.compiler.passes.pipeline import PIPELINE

PROGRAMS = Path(__file__).resolve().parents[1] / "programs"
WAITING = ("decide_early", "size_waves")


@ttsc.extern
def check(answer: str, expected: str) -> bool:
    """The checker of verify_refine."""
    return answer == expected


async def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--wait", action="store_true", help="decide nothing early")
    parser.add_argument("--program", help="in place of the workload's")
    parser.add_argument("--task", type=Path, help="the task of a program of the library")
    options = parser.parse_args()
    data = json.loads(options.data.read_text())
    known = {each.name for each in PIPELINE}
    disabled = [name for name in WAITING if name in known] if options.wait else []
    source = options.program or PROGRAMS / f"{options.workload}.tts"
    program = ttsc.compile(source, disabled=disabled, task=options.task)
    async with ttsc.connect(options.url) as policy:
        engines: dict[str, Any] = dict.fromkeys(program.models, policy)
        if "prm" in engines:
            engines["prm"] = ttsc.connect(data["settings"]["reward"]["url"])
            await engines["prm"].info()
        externs = [check] if options.workload == "verify_refine" else None

        async def run(seed: int, indices: list[int], concurrency: int) -> Outcome:
            given = [data["inputs"][index]["values"] for index in indices]
            answers, calls, prefill, distinct = [], 0, 0, 0
            async for result in program.amap(
                given, engine=engines, externs=externs, seed=seed, concurrency=concurrency
            ):
                if result.error is not None:
                    raise RuntimeError(f"input {result.input}: {result.error.code} {result.error.message}")
                answers.append(result.value)
                calls += result.usage.requests
                prefill += result.usage.prefill_tokens
                distinct += result.usage.distinct_tokens
            details = {"prefill_tokens": prefill, "distinct_tokens": distinct}
            return Outcome(answers, calls, details)

        await serve("ttsc_wait" if options.wait else "ttsc_default", ttsc.__version__, run)


if __name__ == "__main__":
    uvloop.run(main())
