"""A process that is going to be killed: many inputs on a real server, with a journal.

    python resumed_client.py URL JOURNAL OUT ASKED COUNT

Writes each result to OUT as it comes and a line to ASKED for each request that is sent; ends well if nobody kills it.
Without a journal ("") it is the unbroken run.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from asked import PROGRAM, SEED, questions

import ttsc
from ttsc.runtime.events import RequestStarted


async def main(url: str, journal: str, out: str, asked: str, count: int) -> None:
    program = ttsc.compile(PROGRAM, "drafts")
    with Path(out).open("ab", buffering=0) as results, Path(asked).open("ab", buffering=0) as requests:

        def on_event(event: object) -> None:
            if isinstance(event, RequestStarted):
                requests.write(f"{event.input} {event.site}\n".encode())

        inputs = questions(count, n=1, limit=8)
        more = {"journal": journal or None, "on_event": on_event, "ordered": False, "concurrency": 64}
        async for result in program.amap(inputs, engine=url, seed=SEED, **more):
            row = [result.input, result.value, result.error and result.error.message]
            results.write(json.dumps(row).encode() + b"\n")
            os.sched_yield()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5], int(sys.argv[5])))
