"""An arm's side of the harness's protocol: JSON lines, one command in, one outcome out."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command gave: an answer for each input, how many requests were sent, and what else the arm can tell."""

    answers: list[Any]
    calls: int | None = None
    details: dict[str, Any] = field(default_factory=dict)


Run = Callable[[int, list[int], int], Awaitable[Outcome]]
"""Seed, indices of inputs, how many at once."""


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options that every arm has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="the SGLang server")
    parser.add_argument("--model", required=True, help="the name it serves")
    parser.add_argument("--workload", required=True)
    parser.add_argument("--data", required=True, type=Path, help="the workload's data file")
    return parser


async def serve(name: str, version: str, run: Run) -> None:
    """Answer commands until standard input ends. Time is taken here, around the work alone."""
    loop = asyncio.get_running_loop()
    say({"ready": True, "name": name, "version": version})
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        cpu, started = time.process_time(), time.perf_counter()
        try:
            outcome = await run(int(command["seed"]), list(command["inputs"]), int(command["concurrency"]))
        except Exception as error:
            seconds = time.perf_counter() - started
            traceback.print_exc()
            say({"seconds": seconds, "answers": None, "error": f"{type(error).__name__}: {error}", "calls": None})
            continue
        seconds = time.perf_counter() - started
        say(
            {
                "seconds": seconds,
                "answers": outcome.answers,
                "error": None,
                "calls": outcome.calls,
                "cpu_seconds": time.process_time() - cpu,
                **outcome.details,
            }
        )


def say(message: dict[str, Any]) -> None:
    """One line to the harness."""
    print(json.dumps(message, default=str), flush=True)
