"""Flights in a session: long shared prompts are computed once, depth first, and thousands of ends leave nothing."""

from __future__ import annotations

import asyncio
import gc
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from executor_programs import Builder, lengths, plan, voices  # noqa: E402

from ttsc.backends.protocol import EngineError, RequestFailed, Sampling  # noqa: E402
from ttsc.backends.scripted import ScriptedEngine  # noqa: E402
from ttsc.compiler.ir.nodes import Limit, Parameter, Value  # noqa: E402
from ttsc.compiler.plan.nodes import Plan  # noqa: E402
from ttsc.compiler.values.types import STR  # noqa: E402
from ttsc.runtime.executor import run_plan  # noqa: E402
from ttsc.runtime.flights import Flight, Ticket  # noqa: E402
from ttsc.runtime.ledger import Ledger  # noqa: E402
from ttsc.runtime.prefix_trie import PrefixTrie  # noqa: E402
from ttsc.runtime.retries import RetryPolicy  # noqa: E402
from ttsc.runtime.run import Run  # noqa: E402
from ttsc.runtime.session import Session  # noqa: E402
from ttsc.runtime.work import Decoding, Scoring, Work  # noqa: E402

SYSTEM = " ".join(f"rule{i}" for i in range(2000))
"""About 4000 tokens of the scripted tokenizer, which counts spaces."""


def asking(n: int, op: str = "sample", system: str = SYSTEM) -> Plan:
    """`n` answers to a question after a long system message."""
    question = Value("%q", STR)
    b = Builder()
    turn = b.user("{{ q }}", b.add_turn("system", system), q=question)
    pool = b.generate(turn, n, op=op, max_tokens=30, share_prefix=True)
    return plan(b.program(b.texts(pool), [Parameter(question, "q")]))


def continued(n: int) -> Plan:
    """Two rounds: what was answered is continued."""
    question = Value("%q", STR)
    b = Builder()
    turn = b.user("{{ q }}", b.add_turn("system", SYSTEM), q=question)
    pool = b.generate(turn, n, max_tokens=30, share_prefix=True)
    grown = b.generate(pool, 2, op="branch", max_tokens=30, share_prefix=True)
    return plan(b.program(b.texts(grown), [Parameter(question, "q")]))


def computed(engine: ScriptedEngine) -> int:
    done = [record.completion for record in engine.records if record.completion is not None]
    return sum(each.prompt_tokens - each.cached_tokens for each in done)


def distinct(engine: ScriptedEngine) -> int:
    """Tokens of the prefix tree of all prompts. What was generated is in the cache when a prompt continues it."""
    trie = PrefixTrie()
    for record in engine.records:
        trie.insert(record.request.input_ids)
    return trie.tokens


async def together(engine: ScriptedEngine, runs: list[tuple[Plan, str]], **options: Any) -> Session:
    session = Session({"default": engine}, **options)
    await asyncio.gather(
        *(run_plan(what, {"q": question}, session, input_index=i) for i, (what, question) in enumerate(runs))
    )
    lane = session.lanes["default"]
    assert lane.admission.waiting == lane.admission.in_flight == 0
    await session.close()
    await engine.close()
    return session


@pytest.mark.parametrize(("device", "again"), [("cpu", 1), ("cuda", 8)])
def test_a_long_prompt_is_computed_once_however_many_inputs_begin_with_it(device: str, again: int) -> None:
    """64 inputs at once, one long system message, different questions, 4 candidates each."""
    engine = ScriptedEngine(lengths("yes", "no no"), device=device, context_tokens=100_000)
    asyncio.run(together(engine, [(asking(4), f"how much is {i} and {i}?") for i in range(64)]))
    assert len(engine.records) == 256
    # The last token of a prompt is always computed; on a GPU a question of 8 tokens is not worth a round trip either.
    assert computed(engine) <= distinct(engine) + again * (len(engine.records) - 64)
    assert sum(record.request.stream for record in engine.records) <= 65
    first = [record.first_step for record in engine.records]
    assert first[0] is not None and all(step is not None and step > first[0] for step in first[1:])


def test_rounds_and_programs_of_one_session_share_what_is_warm() -> None:
    engine = ScriptedEngine(lengths("a b c", "d e f", "g h"), context_tokens=100_000)
    runs = [(continued(3), f"question {i}") for i in range(8)] + [
        (asking(2, op="refine"), f"other {i}") for i in range(8)
    ]
    asyncio.run(together(engine, runs))
    assert computed(engine) <= 1.02 * distinct(engine)
    assert len(engine.records) == 8 * 9 + 16


def test_a_leader_whose_first_token_is_late_is_waited_for() -> None:
    class Late(ScriptedEngine):
        async def generate(self, request: Any, on_progress: Any = None) -> Any:
            if not self.records:
                for _ in range(200):
                    await asyncio.sleep(0)
            return await super().generate(request, on_progress)

    engine = Late(voices("a"), context_tokens=100_000)
    asyncio.run(together(engine, [(asking(5), "hm?")] * 5))
    assert computed(engine) == len(engine.records[0].request.input_ids) + 24


def test_followers_go_at_once_when_the_first_token_comes() -> None:
    engine = ScriptedEngine(voices("a b c d e f g h"), context_tokens=100_000)
    asyncio.run(together(engine, [(asking(40), "hm?")]))
    steps = [record.first_step for record in engine.records]
    assert steps[0] is not None and set(steps[1:]) == {steps[0] + 1}


def test_depth_first_an_earlier_input_is_served_before_a_later_one() -> None:
    """With room for two, the second round of the first input goes before the first of the last."""
    engine = ScriptedEngine(lengths("a b c", "d e f", "g h"), context_tokens=100_000)
    asyncio.run(together(engine, [(continued(3), f"question {i}") for i in range(6)], concurrency=2))
    show = engine.tokenizer.show
    order = [int(show(record.request.input_ids).rpartition("question ")[2][0]) for record in engine.records]
    ends = [max(place for place, each in enumerate(order) if each == i) for i in range(6)]
    assert ends == sorted(ends), "inputs end in order"
    assert ends[0] < len(order) // 3, "and the first one long before the last begins its second round"


# --- single flights --------------------------------------------------------------------------------------------------


def flight(session: Session, number: int, work: Work | None = None, **options: Any) -> Flight:
    text = options.pop("text", "a prompt of a few words")
    ticket = Ticket(
        node="%a",
        op="sample",
        role="default",
        index=number,
        input_index=options.pop("input_index", 0),
        ids=tuple(session.lanes["default"].engine.tokenizer.encode(text)),
        work=work or Decoding(Sampling(max_tokens=50, seed=number)),
        share_prefix=True,
        parent=None,
        emit=lambda event: None,
        on_tokens=lambda tokens: None,
        starting=options.pop("starting", Ledger().claim),
        **options,
    )
    return session.submit("default", ticket)


def empty(session: Session, engine: ScriptedEngine) -> None:
    lane = session.lanes["default"]
    assert lane.admission.waiting == lane.admission.in_flight == lane.admission.capacity.tokens == 0
    assert not lane.admission._heap and not lane.admission._entries
    assert engine.running == 0
    assert not any(node.users or node.pending for node in lane.gate._trie.nodes())


async def left_over(session: Session, engine: ScriptedEngine) -> None:
    """Nothing is left of flights that were given up: no task, no place, no prompt, no request, no object."""
    await session.lanes["default"].aborts.drain()
    while engine.running:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    empty(session, engine)
    assert engine.records, "some had been sent"
    await session.close()
    await engine.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    gc.collect()
    assert not [each for each in gc.get_objects() if isinstance(each, Flight)]


def test_ten_thousand_flights_given_up_leave_nothing() -> None:
    """At every stage: before anything, waiting for the budget, in the queue, behind a leader, decoding."""

    async def main() -> None:
        engine = ScriptedEngine(lengths("never " * 40), settle=2)
        session = Session({"default": engine}, concurrency=8)
        for batch in range(100):
            starting = Ledger((Limit("tokens", 900),)).claim if batch % 2 else Ledger().claim
            flights = [
                flight(
                    session,
                    i,
                    text=f"words of batch {batch} {'and so on ' * (i % 9)}",
                    starting=starting,
                    speculative=i % 3 == 0,
                )
                for i in range(100)
            ]
            for _ in range(batch % 40):
                await asyncio.sleep(0)
            for each in flights:
                each.abandon()
            del flights, each
        await left_over(session, engine)

    asyncio.run(main())


def test_cancelled_runs_leave_nothing() -> None:
    program = asking(2, system="rules of some length")

    async def main() -> None:
        engine = ScriptedEngine(lengths("never " * 40), settle=2)
        session = Session({"default": engine}, concurrency=8)
        for batch in range(20):
            runs = [
                asyncio.ensure_future(run_plan(program, {"q": f"{batch} {i}"}, session, input_index=i))
                for i in range(25)
            ]
            for _ in range(2 * batch):
                await asyncio.sleep(0)
            for run in runs:
                run.cancel()
            await asyncio.gather(*runs, return_exceptions=True)
            assert all(run.cancelled() for run in runs)
            del runs, run
        await left_over(session, engine)

    asyncio.run(main())


def test_a_candidate_that_always_fails_does_not_touch_the_others() -> None:
    def fault(number: int, request: Any) -> EngineError | None:
        return RequestFailed("boom") if request.sampling.seed == 5 else None

    async def main() -> None:
        engine = ScriptedEngine(voices("a b"), fault=fault)
        session = Session({"default": engine}, retry=RetryPolicy(first_delay_s=0.001))
        flights = [flight(session, number) for number in range(16)]
        for number, each in enumerate(flights):
            if number != 5:
                await asyncio.wait_for(each.outcome.wait(), 10)
        while not flights[5].over:
            await asyncio.sleep(0.001)
        assert flights[5].outcome.error is not None and flights[5].outcome.error.failure.message == "boom"
        assert sum(record.request.sampling.seed == 5 for record in engine.records) == 4
        assert len(engine.records) == 15 + 4
        empty(session, engine)
        await session.close()
        await engine.close()

    asyncio.run(main())


def test_a_bug_while_an_answer_is_taken_in_reaches_who_waits() -> None:
    async def main() -> None:
        engine = ScriptedEngine(voices("a b"))
        session = Session({"default": engine})
        broken = flight(session, 1, Scoring(3))
        engine.tokenizer.decode = lambda ids: 1 / 0  # type: ignore[method-assign,assignment,return-value]
        with pytest.raises(Exception, match="ZeroDivisionError"):
            await asyncio.wait_for(broken.outcome.wait(), 10)
        assert broken.over
        empty(session, engine)
        await session.close()
        await engine.close()

    asyncio.run(main())


def test_a_speculative_flight_goes_last_and_a_promoted_one_in_its_turn() -> None:
    async def main() -> None:
        engine = ScriptedEngine(voices("a b"))
        session = Session({"default": engine}, concurrency=1)
        maybe = flight(session, 1, speculative=True)
        sure = flight(session, 2)
        promoted = flight(session, 3, speculative=True, critical=9)
        promoted.promote()
        for each in (maybe, sure, promoted):
            await asyncio.wait_for(each.outcome.wait(), 10)
        assert [record.request.sampling.seed for record in engine.records] == [3, 2, 1]
        empty(session, engine)
        await session.close()
        await engine.close()

    asyncio.run(main())


def test_engines_that_take_priorities_get_them_close_together() -> None:
    async def main() -> None:
        engine = ScriptedEngine(voices("a b"))
        engine._info = replace(engine.info, priorities=True)
        session = Session({"default": engine})
        for number, critical in enumerate((0, 100, 1_000_000)):
            await asyncio.wait_for(flight(session, number, critical=critical).outcome.wait(), 10)
        await asyncio.wait_for(flight(session, 3, speculative=True, critical=50).outcome.wait(), 10)
        priorities = [record.request.priority for record in engine.records]
        assert priorities == [1, 4, 9, 0], "SGLang preempts from a difference of 10 on"
        await session.close()
        await engine.close()

    asyncio.run(main())


def test_a_rate_limited_engine_is_left_alone_by_all() -> None:
    """Retry-After is the server's word to every request, not only to the one that got it."""

    async def main() -> None:
        busy = [RequestFailed("slow down", retry_after_s=0.05)]
        engine = ScriptedEngine(voices("a"), fault=lambda number, request: busy.pop() if busy else None)
        session = Session({"default": engine}, concurrency=1, retry=RetryPolicy(first_delay_s=0.001))
        loop = asyncio.get_running_loop()
        begun = loop.time()
        flights = [flight(session, number) for number in range(3)]
        for each in flights:
            await asyncio.wait_for(each.outcome.wait(), 10)
        assert loop.time() - begun >= 0.05 and len(engine.records) == 4
        await session.close()
        await engine.close()

    asyncio.run(main())


def test_a_candidate_takes_three_tasks_however_much_is_made_of_it() -> None:
    """Its element, its request, and its element of the map; nothing for the pure nodes of the map's body."""
    started = 0

    async def main() -> None:
        nonlocal started
        loop = asyncio.get_running_loop()

        def counted(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
            nonlocal started
            started += 1
            return asyncio.Task(work, loop=loop, **options)

        loop.set_task_factory(counted)
        engine = ScriptedEngine(voices("a b"))
        session = Session({"default": engine})
        result = await run_plan(asking(100, system="short"), {"q": "hm?"}, session)
        assert len(result.value) == 100
        await session.close()
        await engine.close()

    asyncio.run(main())
    assert started <= 3 * 100 + 20


def test_under_a_budget_nothing_is_speculative() -> None:
    async def main() -> list[bool]:
        engine = ScriptedEngine(voices("a b"))
        session = Session({"default": engine})
        flown: list[bool] = []
        submit = session.submit

        def noted(role: str, ticket: Ticket) -> Flight:
            flown.append(ticket.speculative)
            return submit(role, ticket)

        session.submit = noted  # type: ignore[method-assign]
        for budget in ((), (Limit("calls", 9),)):
            run = Run(asking(1), session, {}, seed=0, input_index=0, emit=print, max_requests=9, budget=budget)
            each = flight(session, 1, speculative=True)
            run.fly(session.lanes["default"], replace(each._ticket, starting=run.starting, emit=lambda event: None))
            await run.settle()
        await session.close()
        await engine.close()
        return [flown[1], flown[3]]

    assert asyncio.run(main()) == [True, False]
