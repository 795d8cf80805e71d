"""Budgets: hard, whatever the timing and the faults; and what a run gives when its budget ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from executor_programs import Builder, plan, run
from hypothesis import given, settings
from hypothesis import strategies as st

from ttsc.backends.protocol import EngineError, RequestFailed, RequestRefused
from ttsc.backends.scripted import ScriptedEngine
from ttsc.compiler.ir.nodes import FirstFinished, Greatest, Limit, Program, Value
from ttsc.compiler.values.types import BOOL, CANDIDATE, POOL
from ttsc.runtime.events import RunResult
from ttsc.runtime.executor import run_plan
from ttsc.runtime.ledger import clause
from ttsc.runtime.retries import RetryPolicy
from ttsc.runtime.session import Session

QUICK = {"retry": RetryPolicy(first_delay_s=0.0, jitter=0.0)}
FINISHED = FirstFinished(truncated="include")


def spent(result: RunResult) -> int:
    return result.usage.prefill_tokens + result.usage.decoded_tokens


def voting(count: int, max_tokens: int = 9) -> Program:
    b = Builder()
    return b.program(b.vote(b.texts(b.generate(b.user("q"), count, max_tokens=max_tokens)), early=False))


def test_calls_beyond_the_budget_are_not_made_and_the_rest_votes() -> None:
    said = iter("abbaaaaa")
    engine = ScriptedEngine(lambda p, s, k: next(said))
    result = run(voting(8), engine, budget=[Limit("calls", 3)])
    assert result.value == "b"
    assert result.cut
    assert result.reason == "calls <= 3"
    assert result.usage.requests == len(engine.records) == 3


def test_a_budget_that_is_enough_cuts_nothing() -> None:
    result = run(voting(3), ScriptedEngine({}), budget=[Limit("calls", 3), Limit("tokens", 10_000)])
    assert not result.cut
    assert result.reason == ""


def test_a_programs_own_budget_holds_unless_another_is_given() -> None:
    b = Builder()
    program = b.program(b.vote(b.texts(b.generate(b.user("q"), 4, max_tokens=9))), budget=[Limit("calls", 1)])
    assert run(program, ScriptedEngine({})).usage.requests == 1
    assert run(program, ScriptedEngine({}), budget=[Limit("calls", 2)]).usage.requests == 2
    assert not run(program, ScriptedEngine({}), budget=[]).cut


def test_nothing_at_all_is_a_failure_that_names_the_clause() -> None:
    result = run(voting(2, max_tokens=100), ScriptedEngine({}), budget=[Limit("tokens", 50)])
    assert result.error is not None
    assert result.error.code == "R0521"
    assert "tokens <= 50" in result.error.message
    assert result.cut
    assert result.usage.requests == 0


def test_a_request_waits_for_what_others_turn_out_to_cost() -> None:
    """Each may cost 4 + 40 tokens and costs far less, so all of them fit one after the other."""
    engine = ScriptedEngine(lambda p, s, k: "yes")
    result = run(voting(6, max_tokens=40), engine, budget=[Limit("tokens", 65)])
    assert not result.cut
    assert result.usage.requests == 6
    assert engine.most_at_once == 1
    assert spent(result) <= 65


def test_cached_prompt_tokens_are_free() -> None:
    b = Builder()
    program = b.program(b.vote(b.texts(b.generate(b.user("word " * 30), 8, max_tokens=4)), early=False))
    result = run(program, ScriptedEngine(lambda p, s, k: "yes"), budget=[Limit("tokens", 150)], share_prefix=True)
    assert not result.cut
    assert result.usage.cached_tokens > 400


def refining(rounds: int, stop_on: str = "never") -> Program:
    """A draft, refined round by round."""
    b = Builder()
    draft = b.one(b.generate(b.user("q"), 1, max_tokens=4))

    def body(inner: Builder, params: Any) -> Any:
        better = inner.one(inner.generate(inner.user("better", params[0]), 1, max_tokens=4))
        return [better], inner.pure("eq", inner.text(better), inner.const(stop_on), kind=BOOL)

    (last,) = b.repeat(b.const(rounds), [draft], body)
    return b.program(b.text(last))


@pytest.mark.parametrize("calls", [1, 2, 3, 4])
def test_a_loop_gives_what_its_last_whole_round_had(calls: int) -> None:
    count = 0

    def reply(prompt: str, seed: int, sampling: Any) -> str:
        nonlocal count
        count += 1
        return f"v{count}"

    result = run(refining(9), ScriptedEngine(reply), budget=[Limit("calls", calls)])
    assert result.error is None
    assert result.value == f"v{calls}"
    assert result.cut


def test_a_search_gives_the_pool_of_its_last_whole_round() -> None:
    b = Builder()
    pool = b.generate(b.user("q"), 2, max_tokens=4)

    def body(inner: Builder, params: Any) -> Any:
        return [inner.generate(params[0], 1, max_tokens=4, op="branch")], inner.const(False)

    (last,) = b.repeat(b.const(6), [pool], body)
    lengths = b.map(last, lambda inner, x: inner.pure("length", inner.text(x)))
    best = b.select("best", last, Greatest(), keys=lengths, kind=CANDIDATE)
    engine = ScriptedEngine(lambda p, s, k: "go on and on and on")
    result = run(b.program(b.text(best)), engine, budget=[Limit("calls", 6)])
    assert result.error is None
    assert result.cut
    assert result.usage.requests == 6
    assert len(result.value.split()) >= 5, "two rounds after the first"


def test_another_failure_of_a_loop_is_no_cut() -> None:
    engine = ScriptedEngine(lambda p, s, k: "v", fault=lambda n, r: RequestRefused("bad") if n == 2 else None)
    result = run(refining(9), engine, budget=[Limit("calls", 50)])
    assert result.error is not None
    assert result.error.message == "bad"
    assert not result.cut


def test_a_deadline_aborts_what_runs_and_gives_what_there_is() -> None:
    said = iter(("quick", "quick", "slow " * 450))
    engine = ScriptedEngine(lambda p, s, k: next(said), step_s=0.002)
    result = run(voting(3, max_tokens=1000), engine, budget=[Limit("latency", 0.8)])
    assert result.value == "quick"
    assert result.reason == "latency <= 0.8s"
    assert result.usage.aborted == 1


def test_failures_before_and_after_the_cut_say_so() -> None:
    b = Builder()
    pool = b.generate(b.user("q"), 3, max_tokens=4)
    missing = b.pure("item", b.texts(pool), b.const(2))
    result = run(b.program(missing), ScriptedEngine({}), budget=[Limit("calls", 1)])
    assert result.error is not None
    assert "calls <= 1" in result.error.message


def test_clauses_read_as_they_are_written() -> None:
    limits = [Limit("tokens", 20_000), Limit("latency", 30), Limit("calls", 100), Limit("cost", 0.05)]
    assert [clause(each) for each in limits] == ["tokens <= 20000", "latency <= 30s", "calls <= 100", "cost <= $0.05"]
    assert clause(Limit("cost", 1e-7)) == "cost <= $0.0000001"


def search(width: int, rounds: int) -> Program:
    """Generations, scores, rewards and a loop, with losers aborted."""
    b = Builder()
    pool = b.generate(b.user("q"), width, max_tokens=12, stream=True)
    first = b.select("stop_first", pool, FINISHED, count=b.const(2), early=True, kind=POOL)

    def body(inner: Builder, params: Any) -> Any:
        grown = inner.generate(params[0], 2, max_tokens=5, op="branch")
        rewards = inner.map(grown, _reward)
        return [inner.select("keep", grown, Greatest(), keys=rewards, count=inner.const(2), kind=POOL)], inner.const(
            False
        )

    (last,) = b.repeat(b.const(rounds), [first], body)
    scored = b.map(last, lambda inner, x: inner.pure("sum", inner.score("logprob", x, "so")))
    return b.program(b.text(b.select("best", last, Greatest(), keys=scored, kind=CANDIDATE)))


def _reward(inner: Builder, x: Value) -> Value:
    return inner.pure("item", inner.score("reward", x), inner.const(0))


@given(
    tokens=st.integers(1, 600),
    calls=st.integers(1, 40),
    width=st.integers(2, 6),
    rounds=st.integers(0, 4),
    seed=st.integers(0, 10**6),
    faulty=st.sampled_from([0, 3, 7]),
)
@settings(max_examples=120, deadline=None)
def test_a_budget_is_never_exceeded(tokens: int, calls: int, width: int, rounds: int, seed: int, faulty: int) -> None:
    def fault(count: int, request: Any) -> EngineError | None:
        return RequestFailed("a bad day") if faulty and (count + seed) % faulty == 0 else None

    engine = ScriptedEngine(
        lambda p, s, k: "word " * (s % 5) + "end",
        jitter=0.4,
        jitter_seed=seed,
        fault=fault,
        reward=lambda t: float(len(t)),
    )
    limits = [Limit("tokens", tokens), Limit("calls", calls)]
    result = run(search(width, rounds), engine, seed=seed, budget=limits, session_options=QUICK)
    assert result.usage.requests == len(engine.records) <= calls
    assert spent(result) <= tokens
    if result.error is None and not result.cut:
        free = run(search(width, rounds), ScriptedEngine(engine._reply, reward=lambda t: float(len(t))), seed=seed)
        assert faulty or result.value == free.value, "a budget that did not cut changed nothing"


@given(turns=st.integers(0, 400), seed=st.integers(0, 10**6), budget=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_cancelled_search_leaves_nothing_behind(turns: int, seed: int, budget: bool) -> None:
    engine = ScriptedEngine(
        lambda p, s, k: "word " * (s % 5) + "end", jitter=0.4, jitter_seed=seed, reward=lambda t: float(len(t))
    )

    async def main() -> None:
        session = Session({"default": engine})
        limits = [Limit("tokens", 300), Limit("latency", 30)] if budget else []
        task = asyncio.create_task(run_plan(plan(search(4, 3)), {}, session, seed=seed, budget=limits))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await session.close()
        assert engine.running == 0
        await engine.close()
        assert [left for left in asyncio.all_tasks() if left is not asyncio.current_task()] == []

    asyncio.run(main())
