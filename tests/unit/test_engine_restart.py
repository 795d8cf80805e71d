"""A server that goes away during a run and comes back at the same port, over real connections."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from executor_programs import Builder, plan  # noqa: E402
from fake_sglang import EOS, Behaviour, StubServer  # noqa: E402

from ttsc.backends.protocol import Turn  # noqa: E402
from ttsc.backends.sglang.client import SGLangEngine  # noqa: E402
from ttsc.backends.sglang.connection import Connection  # noqa: E402
from ttsc.backends.sglang.serverinfo import engine_info  # noqa: E402
from ttsc.runtime.events import Event, RequestEnded, RequestStarted, RunResult  # noqa: E402
from ttsc.runtime.executor import run_plan  # noqa: E402
from ttsc.runtime.session import Session  # noqa: E402


class Numbers:
    """A token's text is its number."""

    eos_ids = frozenset({EOS})

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))

    def chat_ids(self, turns: Sequence[Turn]) -> list[int]:
        return self.encode("".join(turn.text for turn in turns))

    def extension_ids(self, ended: bool, turns: Sequence[Turn]) -> list[int]:
        return self.chat_ids(turns)


def program(n: int) -> Any:
    b = Builder()
    return plan(b.program(b.texts(b.generate(b.user("word " * 30), n, max_tokens=40, share_prefix=True))))


def interrupted(again: Behaviour, events: list[Event], kill: int = 3) -> tuple[RunResult, int]:
    """Run 8 candidates, two at a time; the server ends when `kill` of them are done, and another takes its place.

    The result, and how many requests the other got.
    """

    async def main() -> tuple[RunResult, int]:
        with StubServer(Behaviour(token_delay_s=0.002)) as first:
            connection = Connection(first.url)
            engine = SGLangEngine(connection, (await engine_info(connection)).info, Numbers())
            session = Session({"default": engine}, concurrency=2, engine_wait_s=20.0)
            task = asyncio.ensure_future(run_plan(program(8), {}, session, seed=1, emit=events.append))
            while sum(isinstance(event, RequestEnded) for event in events) < kill:
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        with StubServer(again, port=int(first.url.rpartition(":")[2])) as second:
            result = await asyncio.wait_for(task, 30)
            lane = session.lanes["default"]
            assert lane.admission.waiting == lane.admission.in_flight == 0
            await session.close()
            await engine.close()
        return result, len(second.bodies)

    return asyncio.run(main())


def test_what_was_unfinished_is_sent_again_and_what_was_finished_is_not() -> None:
    events: list[Event] = []
    result, again = interrupted(Behaviour(token_delay_s=0.002), events)
    assert result.error is None
    finished = [event for event in events if isinstance(event, RequestEnded) and event.finish != "error"]
    lost = [event for event in events if isinstance(event, RequestEnded) and event.finish == "error"]
    assert len(finished) == 8 and 1 <= len(lost) <= 2, "those in flight, of which there were at most two"
    assert sum(isinstance(event, RequestStarted) for event in events) == 8 + len(lost)
    assert len(set(result.value)) == 8 and 5 - len(lost) <= again <= 5


def test_another_model_at_the_same_place_ends_the_run() -> None:
    events: list[Event] = []
    result, asked = interrupted(Behaviour(model_path="some/other"), events)
    assert result.error is not None and "some/other" in result.error.message and "stub/model" in result.error.message
    assert asked == 0


@pytest.mark.parametrize("wait", [0.0, 0.3])
def test_a_server_that_does_not_come_back_is_given_up(wait: float) -> None:
    async def main() -> None:
        with StubServer(Behaviour(token_delay_s=0.002)) as stub:
            connection = Connection(stub.url)
            engine = SGLangEngine(connection, (await engine_info(connection)).info, Numbers())
            session = Session({"default": engine}, concurrency=2, engine_wait_s=wait)
            events: list[Event] = []
            task = asyncio.ensure_future(run_plan(program(8), {}, session, emit=events.append))
            while not any(isinstance(event, RequestEnded) for event in events):
                await asyncio.sleep(0.005)
        result = await asyncio.wait_for(task, 30)
        assert result.error is not None and (result.error.code, result.error.kind) == ("R0401", "engine")
        await session.close()
        await engine.close()

    asyncio.run(main())
