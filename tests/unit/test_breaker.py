"""An engine that goes away: waited for, sent what is unfinished again, and given up with a clear end."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from executor_programs import Builder, lengths, plan, voices  # noqa: E402

from ttsc.backends.protocol import EngineUnavailable, ModelNotFound, RequestFailed  # noqa: E402
from ttsc.backends.scripted import ScriptedEngine  # noqa: E402
from ttsc.runtime.events import Event, RequestEnded, RequestRetried, RunResult  # noqa: E402
from ttsc.runtime.executor import run_plan  # noqa: E402
from ttsc.runtime.retries import RetryPolicy  # noqa: E402
from ttsc.runtime.session import Session  # noqa: E402

LONG = "word " * 30


def program(n: int, words: int = 30) -> Any:
    b = Builder()
    return plan(b.program(b.texts(b.generate(b.user("word " * words), n, max_tokens=60, share_prefix=True))))


class Returning(ScriptedEngine):
    """Answers again after so many probes; as `other` says, it is another model then."""

    def __init__(self, replies: Any, probes: int, other: bool = False, **options: Any) -> None:
        super().__init__(replies, **options)
        self.left = probes
        self.probes = 0
        self.other = other

    async def probe(self) -> None:
        self.probes += 1
        self.left -= 1
        if self._dead and self.left <= 0:
            if self.other:
                raise ModelNotFound("the engine serves 'other' now, where it served 'scripted'", "start it as it was")
            self.revive(cache=False)
        await super().probe()


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0)


def quick(monkeypatch: Any) -> None:
    monkeypatch.setattr("ttsc.runtime.breaker.FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr("ttsc.runtime.breaker.LONGEST_PAUSE_S", 0.005)


def test_a_restarted_engine_gets_what_is_unfinished_and_nothing_else(monkeypatch: Any) -> None:
    """One of four is done when the engine is killed; its prefix is warmed anew by one of the others."""
    quick(monkeypatch)
    events: list[Event] = []

    async def main() -> RunResult:
        first: list[int | None] = []

        def reply(prompt: str, seed: int, sampling: Any) -> str:
            first.append(seed)
            return "short" if seed == first[0] else "long " * 40

        engine = Returning(reply, 4)
        session = Session({"default": engine})
        task = asyncio.ensure_future(run_plan(program(4), {}, session, emit=events.append))
        await until(lambda: engine.step > 8)
        before = len(engine.records)
        engine.die("killed")
        result = await asyncio.wait_for(task, 20)
        again = engine.records[before:]
        unfinished = [r for r in engine.records[:before] if r.completion is None]
        assert len(unfinished) == 3
        assert {r.request.sampling.seed for r in again} == {r.request.sampling.seed for r in unfinished}
        assert engine.probes == 4
        length = len(again[0].request.input_ids)
        computed = [r.completion.prompt_tokens - r.completion.cached_tokens for r in again]
        assert sorted(computed) == [*[1] * (len(again) - 1), length], "one warms the new process's cache"
        assert session.lanes["default"].breaker.state == "closed"
        await session.close()
        await engine.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    result = asyncio.run(main())
    assert result.error is None and len(result.value) == 4
    assert sum(isinstance(e, RequestRetried) for e in events) == result.usage.retries > 0


def test_an_engine_that_stays_away_ends_what_waits_with_its_error(monkeypatch: Any) -> None:
    quick(monkeypatch)

    async def main() -> None:
        engine = ScriptedEngine(lengths("never " * 400))
        session = Session({"default": engine}, concurrency=2, engine_wait_s=0.05)
        events: list[Event] = []
        runs = [asyncio.ensure_future(run_plan(program(5), {}, session, emit=events.append)) for _ in range(3)]
        await until(lambda: engine.step > 5)
        engine.die("the server ended with status 137")
        for result in await asyncio.wait_for(asyncio.gather(*runs), 20):
            assert result.error is not None and (result.error.code, result.error.kind) == ("R0401", "engine")
            assert "137" in result.error.message and "0.05 s" in result.error.message
            assert "--engine-wait" in result.error.hint
        lane = session.lanes["default"]
        assert lane.admission.waiting == lane.admission.in_flight == 0 and lane.breaker.state == "dead"
        late = await asyncio.wait_for(run_plan(program(5), {}, session), 20)
        assert late.error is not None and late.error.code == "R0401"
        await session.close()
        await engine.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_a_session_outlives_the_absence_of_its_engine(monkeypatch: Any) -> None:
    quick(monkeypatch)

    async def main() -> None:
        engine = ScriptedEngine(voices("a"))
        session = Session({"default": engine}, engine_wait_s=0.0)
        engine.die()
        gone = await asyncio.wait_for(run_plan(program(2), {}, session), 20)
        assert gone.error is not None and gone.error.code == "R0401"
        engine.revive(cache=False)
        await asyncio.sleep(0.01)
        back = await asyncio.wait_for(run_plan(program(2), {}, session), 20)
        assert back.value == ["a", "a"]
        await session.close()
        await engine.close()

    asyncio.run(main())


def test_an_engine_that_comes_back_with_another_model_ends_the_run(monkeypatch: Any) -> None:
    quick(monkeypatch)

    async def main() -> None:
        engine = Returning(lengths("never " * 400), 3, other=True)
        session = Session({"default": engine})
        task = asyncio.ensure_future(run_plan(program(3), {}, session))
        await until(lambda: engine.step > 5)
        engine.die("killed")
        result = await asyncio.wait_for(task, 20)
        assert result.error is not None and "serves 'other' now" in result.error.message
        assert result.value is None
        await session.close()
        await engine.close()

    asyncio.run(main())


def test_a_hanging_request_ends_with_the_engine(monkeypatch: Any) -> None:
    """Its connection says nothing; that the engine is gone is seen by another request."""
    quick(monkeypatch)

    class Hanging(ScriptedEngine):
        async def generate(self, request: Any, on_progress: Any = None) -> Any:
            if not self.records:
                self.records.append(None)  # type: ignore[arg-type]
                await asyncio.Event().wait()
            raise EngineUnavailable("nobody there")

        async def probe(self) -> None:
            raise EngineUnavailable("nobody there")

    async def main() -> None:
        engine = Hanging({})
        b = Builder()
        two = plan(b.program(b.texts(b.generate(b.user("hm"), 2, max_tokens=9))))
        session = Session({"default": engine}, engine_wait_s=0.02)
        events: list[Event] = []
        result = await asyncio.wait_for(run_plan(two, {}, session, emit=events.append), 20)
        assert result.error is not None and result.error.code == "R0401"
        assert sum(isinstance(e, RequestEnded) for e in events) == 2
        await session.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_no_deadline_of_a_budget_is_waited_past(monkeypatch: Any) -> None:
    quick(monkeypatch)
    from ttsc.compiler.ir.nodes import Limit

    async def main() -> None:
        engine = ScriptedEngine(voices("a"))
        engine.die()
        session = Session({"default": engine}, engine_wait_s=3600.0)
        result = await asyncio.wait_for(run_plan(program(3), {}, session, budget=(Limit("latency", 0.05),)), 20)
        assert result.cut and result.value == [] and result.reason.startswith("latency")
        await session.close()
        await engine.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


@pytest.mark.parametrize("turns", range(12))
def test_probing_ends_with_the_session_at_any_moment(monkeypatch: Any, turns: int) -> None:
    """Also in the turn of the event loop in which a probe has just failed."""
    monkeypatch.setattr("ttsc.runtime.breaker.FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr("ttsc.runtime.breaker.LONGEST_PAUSE_S", 0.0)

    async def main() -> None:
        engine = ScriptedEngine(voices("a"))
        engine.die()
        session = Session({"default": engine}, engine_wait_s=3600.0)
        run = asyncio.ensure_future(run_plan(program(1), {}, session))
        breaker = session.lanes["default"].breaker
        await until(lambda: breaker.state == "open")
        for _ in range(turns):
            await asyncio.sleep(0)
        done, _ = await asyncio.wait([asyncio.ensure_future(breaker.close())], timeout=5)
        assert done, "it probes on"
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        await session.close()
        await engine.close()

    asyncio.run(main())


def test_an_engine_that_will_not_come_back_is_not_waited_for() -> None:
    async def main() -> None:
        engine = ScriptedEngine(lengths("never " * 400))
        session = Session({"default": engine}, engine_wait_s=3600.0, concurrency=2)
        task = asyncio.ensure_future(run_plan(program(4), {}, session))
        await until(lambda: engine.step > 5)
        final = EngineUnavailable("the engine ran out of memory")
        final.retryable = False
        for live in tuple(engine._live.values()):
            engine._fail(live, final)
        result = await asyncio.wait_for(task, 20)
        assert result.error is not None and result.error.message == "the engine ran out of memory"
        assert result.usage.retries == 0 and session.lanes["default"].breaker.state == "dead"
        await session.close()
        await engine.close()

    asyncio.run(main())


def test_how_often_and_after_how_long() -> None:
    policy = RetryPolicy(attempts=3, unavailable_attempts=2, first_delay_s=1.0, longest_delay_s=4.0, jitter=0.25)
    failed = RequestFailed("busy")
    for attempt, most in ((1, 1.0), (2, 2.0)):
        delays = [policy.delay_s(failed, attempt) for _ in range(50)]
        assert all(d is not None and 0.75 * most <= d <= 1.25 * most for d in delays) and len(set(delays)) > 1
    assert policy.delay_s(failed, 3) is None
    asked = [policy.delay_s(RequestFailed("busy", retry_after_s=60.0), 1) for _ in range(50)]
    assert all(d is not None and 60.0 <= d <= 75.0 for d in asked), "longer than our longest, and never earlier"
    assert policy.delay_s(RequestFailed("busy", retry_after_s=3600.0), 1) is None, "nobody waits an hour"
    assert policy.delay_s(EngineUnavailable("gone"), 1) == 0.0, "the breaker waits, not the request"
    assert policy.delay_s(EngineUnavailable("gone"), 2) is None
