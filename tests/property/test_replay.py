"""A trace of any run replays to the same results: values, errors, cuts, usage, decisions."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from test_levels import ASKED_FOR, FILES, reply, run_python, value_of  # noqa: E402

import ttsc  # noqa: E402
from ttsc.backends.protocol import EngineError, RequestFailed  # noqa: E402
from ttsc.backends.scripted import ScriptedEngine, conforming  # noqa: E402
from ttsc.runtime.events import Decided, Event  # noqa: E402


async def traced(
    path: Path, folder: Path, level: ttsc.Level, seed: int, budget: str | None, faulty: bool
) -> tuple[list[ttsc.RunResult], list[Event]]:
    """Three inputs at once, on an engine with jitter that may fail now and then."""

    def fault(number: int, request: Any) -> EngineError | None:
        return RequestFailed("boom", retry_after_s=0.001) if faulty and number % 5 == 3 else None

    engine = ScriptedEngine(conforming(reply, broken=0.2), jitter=0.4, jitter_seed=seed, fault=fault, step_s=0.0)
    program = ttsc.compile(path, level=level, enabled=ASKED_FOR if level else ())
    values = {each.name: value_of(each.value.type) for each in program.parameters if each.required}
    stores = {slot.name: ttsc.Store.memory(value_of(slot.value.type)) for slot in program.ir.stores}
    events: list[Event] = []
    results = [
        result
        async for result in program.amap(
            [values] * 3,
            engine=engine,
            seed=seed,
            externs={"run_python": run_python},
            stores=stores,
            artifacts=folder / "offline",
            evaluation=True,
            budget=budget,
            trace=folder / "run.jsonl",
            on_event=events.append,
        )
    ]
    return results, events


def decisions(events: list[Event], number: int) -> list[tuple[str, str, bool]]:
    return [
        (each.node, each.value, each.early) for each in events if isinstance(each, Decided) and each.input == number
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
@given(
    st.sampled_from([0, 2]),
    st.integers(0, 2**31 - 1),
    st.sampled_from([None, "calls<=6", "tokens<=600"]),
    st.booleans(),
)
@settings(max_examples=4, deadline=None)
def test_a_replay_gives_what_the_run_gave(
    path: Path, level: ttsc.Level, seed: int, budget: str | None, faulty: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        results, events = asyncio.run(traced(path, Path(folder), level, seed, budget, faulty))
        seen: list[Event] = []
        again = ttsc.replay(Path(folder) / "run.jsonl", on_event=seen.append)
        assert again == results
        for number in range(3):
            assert decisions(seen, number) == decisions(events, number)
