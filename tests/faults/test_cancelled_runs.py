"""Runs that are cancelled at any moment leave nothing behind: no task, no socket, no request on the server.

Ten thousand on a stub, and some on a real server; TTSC_FAULT_CANCELLED says how many there.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import psutil
import pytest
from asked import PROGRAM, questions
from servers import tell

import ttsc
from ttsc.backends.protocol import Turn
from ttsc.backends.sglang.client import SGLangEngine
from ttsc.backends.sglang.connection import Connection
from ttsc.backends.sglang.serverinfo import engine_info
from ttsc.runs import Runs

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from fake_sglang import Behaviour, StubServer  # noqa: E402

STUBBED = 10_000
REAL = int(os.environ.get("TTSC_FAULT_CANCELLED", "300"))
BATCH = 200
DEADLINE_S = 60.0


class Bytes:
    """A tokenizer for the stub, which knows ids below 1000."""

    eos_ids = frozenset({2})

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))

    def chat_ids(self, turns: Sequence[Turn]) -> list[int]:
        return self.encode("".join(turn.text for turn in turns))

    def extension_ids(self, ended: bool, turns: Sequence[Turn]) -> list[int]:
        return self.chat_ids(turns)


def sockets() -> int:
    return len(psutil.Process().net_connections(kind="inet"))


async def soon(what: str, holds: Callable[[], Awaitable[bool]]) -> None:
    """Fails unless it comes to hold, within a time that is no part of what is tested."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DEADLINE_S
    while not await holds():
        assert loop.time() < deadline, what
        await asyncio.sleep(0.02)


async def cancelled(runs: Runs, count: int, longest_s: float, n: int, limit: int) -> tuple[int, int]:
    """Begin runs in batches and cancel each after a moment of its own; how many were, and how many had ended."""
    drawn, gone, ended = random.Random(count), 0, 0
    loop = asyncio.get_running_loop()
    for begun in range(0, count, BATCH):
        inputs = questions(min(BATCH, count - begun), n=n, limit=limit)
        tasks = [loop.create_task(runs.run(each, number=begun + place)) for place, each in enumerate(inputs)]
        for task in tasks:
            loop.call_later(drawn.uniform(0.0, longest_s), task.cancel)
        await asyncio.gather(*tasks, return_exceptions=True)
        gone += sum(task.cancelled() for task in tasks)
        ended += sum(not task.cancelled() for task in tasks)
        assert all(task.cancelled() or task.exception() is None for task in tasks)
    return gone, ended


@pytest.mark.timeout(600)
async def test_ten_thousand_on_a_stub() -> None:
    with StubServer(Behaviour(token_delay_s=0.01)) as stub:
        open_before = sockets()
        connection = Connection(stub.url)
        engine = SGLangEngine(connection, (await engine_info(connection)).info, Bytes())
        async with ttsc.compile(PROGRAM, "drafts").open(engine=engine) as runs:
            await asyncio.sleep(0)
            at_rest = len(asyncio.all_tasks())
            gone, ended = await cancelled(runs, STUBBED, longest_s=0.3, n=1, limit=16)

            async def tasks_ended() -> bool:
                return len(asyncio.all_tasks()) <= at_rest

            async def nothing_runs() -> bool:
                return not stub.running

            await soon("tasks are left", tasks_ended)
            await soon("requests are left on the server", nothing_runs)
        await engine.close()
        assert gone >= STUBBED / 2 and gone + ended == STUBBED
        assert stub.aborted >= STUBBED / 10, "many were decoding when they were cancelled"
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert connection.connections == 0

        async def closed() -> bool:
            return sockets() <= open_before

        await soon("sockets are left", closed)


@pytest.mark.timeout(600)
async def test_some_on_a_real_server(engine_url: str) -> None:
    tell(f"{REAL} runs are cancelled on a real server (TTSC_FAULT_CANCELLED)")
    open_before, tasks_before = sockets(), asyncio.all_tasks()
    engine = await SGLangEngine.connect(engine_url)
    async with ttsc.compile(PROGRAM, "drafts").open(engine=engine) as runs:
        await asyncio.sleep(0)
        at_rest = len(asyncio.all_tasks())
        gone, _ = await cancelled(runs, REAL, longest_s=2.0, n=2, limit=400)
        assert gone >= REAL / 4

        async def tasks_ended() -> bool:
            return len(asyncio.all_tasks()) <= at_rest

        async def nothing_runs() -> bool:
            load = await engine.load()
            return load is not None and load.running == load.waiting == 0

        await soon("tasks are left", tasks_ended)
        await soon("requests are left on the server", nothing_runs)
    await engine.close()
    assert asyncio.all_tasks() == tasks_before

    async def closed() -> bool:
        return sockets() <= open_before

    await soon("sockets are left", closed)
