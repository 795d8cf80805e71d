"""What is no longer needed is aborted, exactly and through any chain of nodes; what is needed never is."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from executor_programs import Builder, lengths, plan, run  # noqa: E402

from ttsc.backends.scripted import ScriptedEngine  # noqa: E402
from ttsc.compiler.ir.nodes import (  # noqa: E402
    Block,
    FirstFinished,
    Greatest,
    If,
    Majority,
    Program,
    Quantified,
    Value,
)
from ttsc.compiler.values.types import BOOL, CANDIDATE, FLOAT, INT, POOL, STR  # noqa: E402
from ttsc.runtime.events import Decided, Event, RequestEnded  # noqa: E402
from ttsc.runtime.executor import run_events, run_plan  # noqa: E402
from ttsc.runtime.session import Session  # noqa: E402


def vote_program(n: int, early: bool = True) -> Program:
    b = Builder()
    pool = b.generate(b.user("what?"), n, max_tokens=200)
    return b.program(b.vote(b.texts(pool), early))


def first_program(n: int, k: int = 1, early: bool = True) -> Program:
    b = Builder()
    pool = b.generate(b.user("what?"), n, max_tokens=200, stream=True)
    first = b.select("stop_first", pool, FirstFinished(), POOL, count=b.const(k, INT), early=early)
    return b.program(b.texts(first))


def ends(events: list[Event]) -> list[str]:
    return [event.finish for event in events if isinstance(event, RequestEnded)]


def test_a_decided_vote_aborts_the_rest() -> None:
    events: list[Event] = []
    engine = ScriptedEngine(lengths("a", "a", "a", "b " * 40, "b " * 40))
    result = run(vote_program(5), engine, events=events)
    assert result.value == "a"
    assert sorted(ends(events)) == ["abort", "abort", "eos", "eos", "eos"]
    assert result.usage.aborted == 2
    assert result.usage.lost_tokens > 0
    assert len(engine.abort_calls) == 1, "aborts of one moment are one call"
    decided = next(e for e in events if isinstance(e, Decided))
    assert (decided.arrived, decided.outstanding, decided.early) == (3, 2, True)
    assert dict(decided.tally) == {"a": 3.0}
    seen = [e.seen_tokens for e in events if isinstance(e, RequestEnded) and e.finish == "abort"]
    assert all(tokens is not None for tokens in seen)


def test_without_early_everything_is_waited_for() -> None:
    engine = ScriptedEngine(lengths("a", "a", "a", "b " * 40, "b " * 40))
    result = run(vote_program(5, early=False), engine)
    assert (result.value, result.usage.aborted) == ("a", 0)


def test_level_0_never_aborts_and_waits_for_unused_work() -> None:
    b = Builder()
    turn = b.user("what?")
    b.generate(turn, 3, max_tokens=50)
    answer = b.text(b.one(b.generate(turn, 1, max_tokens=50)))
    program = b.program(answer)
    engine = ScriptedEngine(lengths("a"))
    assert run(program, engine, level=0).usage.requests == 4
    engine = ScriptedEngine(lengths("a"))
    assert run(program, engine, level=2).usage.requests == 1


def test_unabortable_requests_run_to_their_end() -> None:
    engine = ScriptedEngine(lengths("a", "a", "a", "b " * 40, "b " * 40))
    result = run(vote_program(5), engine, abortable=False)
    assert (result.value, result.usage.aborted) == ("a", 0)
    assert result.usage.requests == 5


def test_fewest_tokens_wins_whatever_the_timing() -> None:
    for jitter_seed in range(6):
        engine = ScriptedEngine(lengths("a b c d e", "a", "a b c", "a " * 60), jitter=0.5, jitter_seed=jitter_seed)
        result = run(first_program(4), engine)
        assert result.value == ["a"]
        assert result.usage.aborted >= 1


def test_a_loser_is_released_before_the_decision() -> None:
    engine = ScriptedEngine(lengths("a", "b b b b b b", "c " * 60, "c " * 60))
    events: list[Event] = []
    result = run(first_program(4, k=2), engine, events=events)
    assert result.value == ["a", "b b b b b b"]
    lost = [e.completion_tokens for e in events if isinstance(e, RequestEnded) and e.finish == "abort"]
    assert all(tokens <= 14 for tokens in lost), lost


def test_cancellation_reaches_judges_through_maps_and_filters() -> None:
    """draft -> filter -> judge each -> vote: deciding ends drafts and judges alike."""
    b = Builder()
    drafts = b.generate(b.user("draft?"), 6, max_tokens=200)
    kept = b.map(
        drafts,
        lambda i, x: i.pure("ne", i.pure("field", x, attr="text"), i.const("no"), kind=BOOL),
        mode="filter",
    )

    def judge(inner: Builder, x: Value) -> Value:
        verdict = inner.generate(inner.user("judge {{ x.text }}", x=x), 1, op="judge", max_tokens=200)
        return inner.text(inner.one(verdict))

    program = b.program(b.vote(b.map(kept, judge)))

    def reply(prompt: str, seed: int, sampling: object) -> str:
        if "draft?" in prompt:
            return drafts_said(prompt, seed, sampling)  # type: ignore[arg-type]
        return "slow " * 40 if "draft5" in prompt else "yes"

    drafts_said = lengths("draft1", "draft2", "no", "draft3", "draft5", "late " * 60)
    engine = ScriptedEngine(reply)
    events: list[Event] = []
    result = run(program, engine, events=events)
    assert result.value == "yes"
    judged = [r for r in engine.records if "judge" in engine.tokenizer.show(r.request.input_ids)]
    assert len(judged) == 4
    assert sum(r.aborted for r in judged) == 1
    assert result.usage.aborted == 2


def test_judging_overlaps_with_drafting() -> None:
    b = Builder()
    drafts = b.generate(b.user("draft?"), 2, max_tokens=200)

    def judge(inner: Builder, x: Value) -> Value:
        verdict = inner.generate(inner.user("judge {{ x.text }}", x=x), 1, op="judge", max_tokens=200)
        return inner.text(inner.one(verdict))

    def reply(prompt: str, seed: int, sampling: object) -> str:
        return said(prompt, seed, sampling) if "draft?" in prompt else "yes"  # type: ignore[arg-type]

    said = lengths("quick", "slow " * 60)
    engine = ScriptedEngine(reply)
    run(b.program(b.map(drafts, judge)), engine)
    slow = max(r.last_step or 0 for r in engine.records if "draft?" in engine.tokenizer.show(r.request.input_ids))
    first_judge = min(
        r.first_step or 0 for r in engine.records if "judge" in engine.tokenizer.show(r.request.input_ids)
    )
    assert first_judge < slow / 2


def test_any_and_all_stop_at_the_decisive_verdict() -> None:
    for kind, answer in (("any", True), ("all", False)):
        b = Builder()
        pool = b.generate(b.user("what?"), 4, max_tokens=200)
        verdicts = b.map(
            pool, lambda i, x: i.pure("eq", i.pure("field", x, attr="text"), i.const("yes"), kind=BOOL), kind=BOOL
        )
        result = b.select(kind, verdicts, Quantified(kind), BOOL, early=True)  # type: ignore[arg-type]
        said = lengths("yes" if kind == "any" else "no", "slow " * 50)
        outcome = run(b.program(result), ScriptedEngine(said))
        assert outcome.value is answer
        assert outcome.usage.aborted == 3


def test_best_stops_at_a_known_maximum() -> None:
    b = Builder()
    pool = b.generate(b.user("what?"), 3, max_tokens=200)
    keys = b.map(
        pool,
        lambda i, x: i.pure("to_float", i.pure("length", i.pure("field", x, attr="text"), kind=INT), kind=FLOAT),
        kind=FLOAT,
    )
    best = b.select("best", pool, Greatest(maximum=4.0), CANDIDATE, keys=keys, early=True)
    result = run(b.program(b.text(best)), ScriptedEngine(lengths("four", "slow " * 50, "x " * 50)))
    assert result.value == "four"
    assert result.usage.aborted == 2


def test_a_value_shared_by_two_consumers_is_aborted_only_when_both_let_go() -> None:
    b = Builder()
    pool = b.generate(b.user("what?"), 3, max_tokens=200)
    answers = b.texts(pool)
    winner = b.vote(answers)
    everything = b.pure("count", answers, kind=INT)
    said = lengths("a", "a", "b " * 30)
    assert run(b.program(winner), ScriptedEngine(said)).usage.aborted == 1
    both = b.pure("list", winner, b.pure("to_str", everything))
    result = run(b.program(both), ScriptedEngine(lengths("a", "a", "b " * 30)))
    assert (result.value, result.usage.aborted) == (["a", "3"], 0)


def test_an_unneeded_otherwise_is_never_sent_or_aborted() -> None:
    b = Builder()
    turn = b.user("what?")
    fallback = b.text(b.one(b.generate(b.user("fallback?"), 1, max_tokens=200)))
    winner = b.vote(b.texts(b.generate(turn, 1, max_tokens=200)), otherwise=fallback)

    def reply(prompt: str, seed: int, sampling: object) -> str:
        return "late " * 60 if "fallback" in prompt else "a"

    result = run(b.program(winner), ScriptedEngine(reply))
    assert result.value == "a"
    assert result.usage.aborted == 1


def test_the_branch_not_taken_releases_what_it_captured() -> None:
    b = Builder()
    slow = b.text(b.one(b.generate(b.user("slow?"), 1, max_tokens=200)))
    condition = b.pure("eq", b.text(b.one(b.generate(b.user("quick?"), 1, max_tokens=200))), b.const("yes"), kind=BOOL)
    inner = Builder("then.")
    const = inner.const("done")
    result = Value("%if", STR)
    b.nodes.append(If((result,), "%if0", condition, Block((), tuple(inner.nodes), (const,)), Block((), (), (slow,))))

    def reply(prompt: str, seed: int, sampling: object) -> str:
        return "late " * 60 if "slow?" in prompt else "yes"

    outcome = run(b.program(result), ScriptedEngine(reply))
    assert outcome.value == "done"
    assert outcome.usage.aborted == 1


def test_a_loop_carries_leases_from_round_to_round() -> None:
    """Only the last round's pool is voted on: those that were carried and dropped are given up at once."""
    b = Builder()
    first = b.generate(b.user("round?"), 3, max_tokens=200)

    def body(inner: Builder, params: object) -> tuple[list[Value], Value]:
        pool = inner.generate(inner.user("again?"), 3, max_tokens=200)
        return [pool], inner.const(False, BOOL)

    (pool,) = b.repeat(b.const(2, INT), [first], body)

    result = run(b.program(b.vote(b.texts(pool))), ScriptedEngine({"round": ["late " * 60], "again": ["a"]}))
    assert result.value == "a"
    assert result.usage.requests - result.usage.aborted <= 3
    assert result.usage.lost_tokens <= 6


@pytest.mark.parametrize("settled", [1, 30])
def test_cancelling_the_run_aborts_everything_and_leaves_no_task(settled: int) -> None:
    engine = ScriptedEngine(lengths("never " * 500))

    async def main() -> None:
        session = Session({"default": engine})
        task = asyncio.ensure_future(run_plan(plan(vote_program(4, early=False)), {}, session))
        while engine.step < settled:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert engine.running == 0
        assert all(record.aborted for record in engine.records)
        await session.close()
        await engine.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_an_abort_that_is_never_acknowledged_ends_at_its_deadline() -> None:
    class Deaf(ScriptedEngine):
        async def abort(self, request_ids: object) -> None:
            self.abort_calls.append(())

    engine = Deaf(lengths("a", "a", "b " * 4000), step_s=0.001, context_tokens=10**6)
    events: list[Event] = []
    b = Builder()
    program = b.program(b.vote(b.texts(b.generate(b.user("what?"), 3, max_tokens=9000))))
    result = run(program, engine, events=events, session_options={"abort_timeout_s": 0.05})
    assert result.value == "a"
    assert result.duration_s < 2
    lost = [e for e in events if isinstance(e, RequestEnded) and e.finish == "abort"]
    assert len(lost) == 1 and lost[0].error


def test_events_as_a_stream_and_closing_it_cancels() -> None:
    engine = ScriptedEngine(lengths("a", "a", "b " * 200))

    async def main() -> None:
        session = Session({"default": engine})
        seen = [event async for event in run_events(plan(vote_program(3)), {}, session)]
        assert type(seen[-1]).__name__ == "RunEnded"
        events = run_events(plan(vote_program(3, early=False)), {}, session)
        async for _ in events:
            break
        await events.aclose()  # type: ignore[attr-defined]
        assert engine.running == 0
        await session.close()
        await engine.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_results_do_not_depend_on_timing_or_level() -> None:
    """The compiler's central promise, seen from here: equal seeds, any order of completion, level 0 or 2."""

    def said(prompt: str, seed: int, sampling: object) -> str:
        return f"{'abc'[seed % 3]}{' ' * (seed % 2)}" + " x" * (seed % 17)

    def program() -> Program:
        b = Builder()
        pool = b.generate(b.user("what?"), 7, max_tokens=12, stream=True)
        keys = b.map(
            pool,
            lambda i, x: i.pure("to_float", i.pure("field", x, attr="tokens"), kind=FLOAT),
            kind=FLOAT,
        )
        kept = b.select("keep", pool, Greatest(maximum=12.0), POOL, keys=keys, count=b.const(4, INT), early=True)
        grown = b.generate(kept, 2, op="branch", max_tokens=20, finished="freeze")
        finishers = b.select("stop_first", grown, FirstFinished(), POOL, count=b.const(5, INT), early=True)
        letters = b.map(finishers, lambda i, x: i.pure("head", i.pure("field", x, attr="text"), i.const(1, INT)))
        return b.program(b.vote(letters, rule=Majority(), otherwise=b.const("none")))

    expected = {seed: run(program(), ScriptedEngine(said), seed=seed, level=0).value for seed in range(4)}
    assert len(set(expected.values())) > 1
    for jitter_seed in range(8):
        for seed, value in expected.items():
            engine = ScriptedEngine(said, jitter=0.6, jitter_seed=jitter_seed)
            assert run(program(), engine, seed=seed, share_prefix=bool(jitter_seed % 2)).value == value


def test_a_body_that_needs_the_whole_pool_keeps_all_of_it() -> None:
    """`each` may capture the pool it runs over: an element that lost as an element is still needed as part of it."""
    b = Builder()
    pool = b.generate(b.user("what?"), 3, max_tokens=200, stream=True)

    def body(inner: Builder, x: Value) -> Value:
        then, other = Builder("then."), Builder("else.")
        yes = then.const(True, BOOL)
        whole = other.pure("eq", other.pure("count", pool, kind=INT), other.const(3, INT), kind=BOOL)
        text = inner.pure("field", x, attr="text")
        result = Value("%verdict", BOOL)
        inner.nodes.append(
            If(
                (result,),
                "%if0",
                inner.pure("starts_with", text, inner.const("quick"), kind=BOOL),
                Block((), tuple(then.nodes), (yes,)),
                Block((), tuple(other.nodes), (whole,)),
            )
        )
        return result

    kept = b.map(pool, body, mode="filter")
    first = b.select("stop_first", kept, FirstFinished(), POOL, count=b.const(1, INT), early=True)
    program = b.program(b.texts(first))
    engine = ScriptedEngine(lengths("quick a a", "slow " * 20, "ok"), slots=2)
    assert run(program, engine).value == ["ok"]
