"""Hedging: only when asked for, only stragglers, the first answer counts, the other is aborted, both are paid for."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from executor_programs import Builder, plan  # noqa: E402

from ttsc.backends.protocol import EngineError, GenerateRequest, RequestFailed, Sampling  # noqa: E402
from ttsc.backends.scripted import ScriptedEngine  # noqa: E402
from ttsc.compiler.ir.nodes import Limit  # noqa: E402
from ttsc.runtime.events import Event, RequestEnded, RequestStarted, RunResult  # noqa: E402
from ttsc.runtime.executor import run_plan  # noqa: E402
from ttsc.runtime.hedging import Hedging  # noqa: E402
from ttsc.runtime.session import Session  # noqa: E402


def program(n: int) -> Any:
    b = Builder()
    return plan(b.program(b.texts(b.generate(b.user("what?"), n, max_tokens=4000))))


class Straggling(ScriptedEngine):
    """The second request hangs until it is aborted; its copy, with an id of its own, does not."""

    def __init__(self, fault: Any = None) -> None:
        super().__init__(lambda prompt, seed, sampling: f"answer {seed}", fault=fault, step_s=0.001)
        self.hung = ""
        self.ended = asyncio.Event()

    async def generate(self, request: GenerateRequest, on_progress: Any = None) -> Any:
        if not self.hung and len(self.records) == 1:
            self.hung = request.request_id
            self.records.append(None)  # type: ignore[arg-type]
            await self.ended.wait()
            raise EngineError("aborted")
        return await super().generate(request, on_progress)

    async def abort(self, request_ids: Any) -> None:
        if self.hung in request_ids:
            self.ended.set()
        await super().abort(request_ids)


def run(engine: ScriptedEngine, n: int, **options: Any) -> tuple[RunResult, list[Event]]:
    events: list[Event] = []

    async def main() -> RunResult:
        budget = options.pop("budget", None)
        session = Session({"default": engine}, **options)
        result = await asyncio.wait_for(
            run_plan(program(n), {}, session, seed=7, emit=events.append, budget=budget), 20
        )
        assert session.hedging is None or session.hedging.groups == 0
        lane = session.lanes["default"]
        assert lane.admission.in_flight == lane.admission.waiting == 0
        await session.close()
        await engine.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return asyncio.run(main()), events


def test_a_straggler_is_sent_again_and_the_first_answer_counts() -> None:
    engine = Straggling()
    result, events = run(engine, 5, hedge=2.0)
    plain, _ = run(ScriptedEngine(lambda prompt, seed, sampling: f"answer {seed}"), 5)
    assert result.value == plain.value, "the copy has the same seed"
    started = [e for e in events if isinstance(e, RequestStarted)]
    hedges = [e for e in started if e.hedge_of]
    assert [e.hedge_of for e in hedges] == [engine.hung]
    assert len({e.request_id for e in started}) == 6 and result.usage.requests == 6
    ended = {e.request_id: e.finish for e in events if isinstance(e, RequestEnded)}
    assert ended[engine.hung] == "abort" and ended[hedges[0].request_id] == "eos"
    assert engine.abort_calls == [(engine.hung,)]


def test_nobody_hedges_unless_asked() -> None:
    def slow(prompt: str, seed: int, sampling: Sampling) -> str:
        return "x " * (2000 if seed % 2 else 1)

    result, events = run(ScriptedEngine(slow), 12)
    assert result.usage.requests == 12 and not any(getattr(e, "hedge_of", "") for e in events)


def test_a_copy_that_fails_leaves_the_first_its_chance() -> None:
    hedged: list[str] = []

    def fault(number: int, request: GenerateRequest) -> EngineError | None:
        if request.request_id.endswith("02"):
            hedged.append(request.request_id)
            return RequestFailed("boom")
        return None

    def slow(prompt: str, seed: int, sampling: Sampling) -> str:
        seeds.append(seed)
        return "x " * (300 if seed == seeds[0] else 1)

    seeds: list[int] = []
    result, _ = run(ScriptedEngine(slow, fault=fault, step_s=0.0005), 5, hedge=2.0)
    assert len(hedged) == 1 and result.error is None and len(result.value) == 5
    assert result.usage.failed == 1 and result.usage.retries == 0


def test_a_budget_refuses_a_copy_and_not_the_request() -> None:
    def slow(prompt: str, seed: int, sampling: Sampling) -> str:
        seeds.append(seed)
        return "x " * (300 if seed == seeds[0] else 1)

    seeds: list[int] = []
    engine = ScriptedEngine(slow, step_s=0.0005)
    result, _ = run(engine, 5, hedge=2.0, budget=(Limit("calls", 5),))
    assert result.error is None and len(result.value) == 5 and result.usage.requests == 5


class Sibling:
    def __init__(self) -> None:
        self.group = (0, "%a")
        self.hedged = 0

    def hedge(self) -> None:
        self.hedged += 1


def test_what_is_too_long_is_told_from_the_median_of_three() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        timers: list[tuple[float, Any, tuple[Any, ...]]] = []

        class Handle:
            def cancel(self) -> None:
                timers.clear()

        def call_later(delay: float, call: Any, *args: Any) -> Handle:
            timers.append((delay, call, args))
            return Handle()

        loop.call_later = call_later  # type: ignore[method-assign,assignment]
        hedging = Hedging(2.0)
        flights = [Sibling() for _ in range(5)]
        for flight in flights:
            hedging.joined(flight)
        for number, flight in enumerate(flights):
            hedging.sent(flight, float(number))
        hedging.answered(flights[0], 10.0)
        hedging.answered(flights[1], 20.0)
        assert not timers, "two are too few"
        hedging.answered(flights[2], 90.0)
        ((delay, call, args),) = timers
        assert delay == pytest.approx(0.0) and args[-1] == 3.0 + 2 * 20.0, "it was sent at 3, and it is 92 by now"
        timers.clear()
        call(*args)
        assert [flight.hedged for flight in flights] == [0, 0, 0, 1, 0]
        assert len(timers) == 1, "the next one has a timer"
        for flight in flights:
            hedging.left(flight)
        assert hedging.groups == 0 and not timers

    asyncio.run(main())
    with pytest.raises(ValueError, match="greater than 1"):
        Hedging(1.0)


def test_options_that_cannot_be_are_refused() -> None:
    import ttsc

    program = ttsc.compile(Path(__file__).parents[2] / "programs" / "first_finish.tts")
    engine = ScriptedEngine({})
    for options, said in (({"hedge": 1.0}, "hedge is 1.0"), ({"engine_wait": -1.0}, "engine_wait is -1.0")):
        with pytest.raises(ttsc.UsageError, match=said):
            program.run(question="?", engine=engine, **options)
