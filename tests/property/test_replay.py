"""A trace of any run replays to the same results: values, errors, cuts, usage, decisions."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from ir_programs import programs  # noqa: E402
from spending import anything  # noqa: E402
from spending import reply as anything_said  # noqa: E402
from test_bounds import arguments_of  # noqa: E402
from test_levels import ASKED_FOR, FILES, reply, run_python, value_of  # noqa: E402

import ttsc  # noqa: E402
from ttsc.backends.protocol import EngineError, RequestFailed  # noqa: E402
from ttsc.backends.scripted import (  # noqa: E402
    ScriptedEngine,
    ScriptedTokenizer,  # noqa: E402
    conforming,
)
from ttsc.compiler.ir.nodes import Limit, Program  # noqa: E402
from ttsc.compiler.ir.printer import print_program  # noqa: E402
from ttsc.compiler.passes.runner import run_passes  # noqa: E402
from ttsc.compiler.plan.lower import lower  # noqa: E402
from ttsc.compiler.plan.nodes import Level, Plan  # noqa: E402
from ttsc.replays import _engines  # noqa: E402
from ttsc.runtime.events import Decided, Event, RunResult  # noqa: E402
from ttsc.runtime.executor import run_plan  # noqa: E402
from ttsc.runtime.replay import Replay  # noqa: E402
from ttsc.runtime.session import Session  # noqa: E402
from ttsc.runtime.trace import TraceHeader, read_trace  # noqa: E402
from ttsc.runtime.virtual_time import run_in_virtual_time  # noqa: E402
from ttsc.tracing import Tracing  # noqa: E402


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


class OfAPlan(Tracing):
    """A trace of a plan that no source was compiled to."""

    def _header(self, seed: int) -> TraceHeader:
        return TraceHeader("p", seed=seed, engines=self._facts)


def run_generated(plan: Plan, path: Path, seed: int, jitter: float, budget: tuple[Limit, ...]) -> RunResult:
    """One run of a generated program, its trace at `path`."""
    r = random.Random(seed)
    arguments = arguments_of(plan.program, r)
    stores = {slot.name: tuple(anything(slot.value.type, r)) for slot in plan.program.stores}
    tokenizer = ScriptedTokenizer()
    engines: Any = {
        role.name: ScriptedEngine(anything_said, tokenizer=tokenizer, jitter=jitter, jitter_seed=seed)
        for role in plan.program.models
    }
    externs = {each.name: (lambda *_, returns=each.returns: anything(returns, r)) for each in plan.program.externs}

    async def work() -> RunResult:
        tracing = OfAPlan(path, cast(Any, None), "", engines, budget)
        tracing.begin(seed, 0, stores)
        session = Session(tracing.engines)
        result = await run_plan(
            plan, arguments, session, externs, seed=seed, emit=tracing.write, stores=stores, budget=budget
        )
        await session.close()
        tracing.close()
        return result

    return asyncio.run(work())


@given(
    programs(),
    st.integers(0, 2**31 - 1),
    st.sampled_from([0, 2]),
    st.sampled_from([0.0, 0.4]),
    st.sampled_from([(), (Limit("calls", 4.0),), (Limit("tokens", 300.0),)]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_replay_of_a_generated_program_gives_what_the_run_gave(
    program: Program, seed: int, level: Level, jitter: float, budget: tuple[Limit, ...]
) -> None:
    note(print_program(program))
    ran = run_passes(program, level)
    plan = lower(ran.program, level, ran.names)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        result = run_generated(plan, path, seed, jitter, budget)
        trace = read_trace(path)
        assert trace.header is not None
        engines = _engines(trace, trace.header)

        async def again() -> list[RunResult]:
            return await Replay(trace, plan, engines, budget).play()

        (replayed,) = run_in_virtual_time(again())
        assert json.dumps(replayed.value, default=str) == json.dumps(result.value, default=str)
        assert (replayed.error, replayed.cut, replayed.usage) == (result.error, result.cut, result.usage)
