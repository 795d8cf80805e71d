"""The prefix gate, the trie behind it, and the limit on requests in flight."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from executor_programs import Builder, lengths, plan, run, voices  # noqa: E402

from ttsc.backends.protocol import EngineError, EngineInfo, GenerateRequest, RequestRefused  # noqa: E402
from ttsc.backends.scripted import ScriptedEngine  # noqa: E402
from ttsc.compiler.ir.nodes import Parameter, Program, Value  # noqa: E402
from ttsc.compiler.values.types import STR  # noqa: E402
from ttsc.runtime.executor import run_plan  # noqa: E402
from ttsc.runtime.limiter import Limiter  # noqa: E402
from ttsc.runtime.prefix import PrefixGate, default_threshold  # noqa: E402
from ttsc.runtime.prefix_trie import PrefixTrie, shared_length  # noqa: E402
from ttsc.runtime.session import Session  # noqa: E402

LONG = "word " * 30


def program(n: int, text: str = LONG) -> Program:
    b = Builder()
    return b.program(b.texts(b.generate(b.user(text), n, max_tokens=20, share_prefix=True)))


def prefilled(engine: ScriptedEngine) -> int:
    done = (record.completion for record in engine.records)
    return sum(c.prompt_tokens - c.cached_tokens for c in done if c is not None)


def test_one_request_warms_a_cold_prefix() -> None:
    engine = ScriptedEngine(voices("a b c"))
    result = run(program(8), engine)
    length = len(engine.records[0].request.input_ids)
    assert prefilled(engine) == length + 7
    assert result.usage.prefill_tokens == length + 7
    assert result.usage.distinct_tokens == length
    assert engine.records[0].request.stream and not any(r.request.stream for r in engine.records[1:])
    first_steps = [record.first_step for record in engine.records]
    assert first_steps[0] is not None and all(s is not None and s > first_steps[0] for s in first_steps[1:])
    assert first_steps[1] is not None and first_steps[1] <= first_steps[0] + 2, "not held up until the leader ends"


def test_without_the_mark_all_go_at_once() -> None:
    b = Builder()
    engine = ScriptedEngine(voices("a b c"))
    run(b.program(b.texts(b.generate(b.user(LONG), 8, max_tokens=20))), engine)
    assert prefilled(engine) == 8 * len(engine.records[0].request.input_ids)


def test_short_prefixes_are_not_worth_waiting_for() -> None:
    engine = ScriptedEngine(voices("a"), device="cuda")
    run(program(4), engine, session_options={"prefix_threshold": 1000})
    assert {record.first_step for record in engine.records} == {1}
    assert default_threshold(EngineInfo("", "", 1, True, 64, "cuda")) == 96
    assert default_threshold(EngineInfo("", "", 1, True, 64, "cpu")) == 4


def test_a_leader_that_fails_hands_over() -> None:
    def fault(number: int, request: GenerateRequest) -> EngineError | None:
        return RequestRefused("no") if number < 2 else None

    engine = ScriptedEngine(voices("a"), fault=fault)
    result = run(program(5), engine)
    assert result.value == ["a"] * 3
    assert prefilled(engine) == len(engine.records[0].request.input_ids) + 2


def test_a_leader_that_is_cancelled_hands_over() -> None:
    """The first branch's candidate is dropped before its first token; the other's goes on."""

    async def main() -> None:
        gate = PrefixGate(threshold=4)
        ids = tuple(range(50))
        leader = await gate.enter(ids)
        assert leader.leads
        waiting = [asyncio.ensure_future(gate.enter((*ids, 99 + i))) for i in range(3)]
        await asyncio.sleep(0)
        assert not any(w.done() for w in waiting)
        waiting[0].cancel()
        gate.leave(leader)
        for _ in range(5):
            await asyncio.sleep(0)
        assert [w.done() for w in waiting] == [True, True, False]
        gate.first_token(waiting[1].result())
        assert not (await waiting[2]).leads, "only one token is new: nothing worth leading"
        gate.leave(waiting[2].result())

    asyncio.run(main())


def test_a_tree_of_prefixes_is_warmed_level_by_level_across_inputs() -> None:
    question = Value("%q", STR)
    b = Builder()
    system = b.add_turn("system", LONG)
    turn = b.user("{{ q }}", system, q=question)
    pool = b.generate(turn, 4, max_tokens=20, share_prefix=True)
    shared = plan(b.program(b.texts(pool), [Parameter(question, "q")]))
    engine = ScriptedEngine(voices("a b c"))

    async def main() -> None:
        session = Session({"default": engine})
        await asyncio.gather(*(run_plan(shared, {"q": f"{'x y z ' * 9}{i}"}, session, input_index=i) for i in range(3)))
        await engine.close()

    asyncio.run(main())
    trie = PrefixTrie()
    for record in engine.records:
        trie.insert(record.request.input_ids)
    distinct = trie.tokens
    few = 3  # tokens below the threshold, at the end of each prompt
    assert distinct <= prefilled(engine) <= distinct + few * len(engine.records)


def test_a_continuation_of_a_warm_candidate_does_not_wait() -> None:
    b = Builder()
    pool = b.generate(b.user(LONG), 2, max_tokens=20, share_prefix=True)
    grown = b.generate(pool, 3, op="branch", max_tokens=20, share_prefix=True)
    engine = ScriptedEngine(lengths("a b c d e f g h"))
    run(b.program(b.texts(grown)), engine)
    assert not any(record.request.stream for record in engine.records[1:])


def test_memory_is_bounded() -> None:
    gate = PrefixGate(threshold=4, max_tokens=1000)
    for i in range(200):
        gate.warm(tuple(range(i * 100, i * 100 + 50)))
        assert gate.tokens <= 1000 + 50

    async def recent() -> bool:
        entry = await gate.enter(tuple(range(19900, 19950)))
        return entry.leads

    assert asyncio.run(recent()) is False, "what was used last is kept"


def test_the_trie_counts_distinct_tokens_and_finds_prefixes() -> None:
    trie = PrefixTrie()
    trie.insert((1, 2, 3, 4))
    trie.insert((1, 2, 5))
    trie.insert((1, 2))
    assert trie.tokens == 5
    assert [(node.edge, n) for node, n in trie.match((1, 2, 3, 9))] == [((1, 2), 2), ((3, 4), 1)]
    assert shared_length((1, 2, 3), (9, 1, 2, 4), 1) == 2
    assert shared_length(tuple(range(1000)), (*range(777), -1, *range(300)), 0) == 777


def test_the_limit_serves_by_ticket_and_survives_cancellation() -> None:
    async def main() -> list[int]:
        limiter = Limiter(1)
        order: list[int] = []
        await limiter.acquire(0)

        async def work(ticket: int) -> None:
            await limiter.acquire(ticket)
            order.append(ticket)
            limiter.release()

        tasks = [asyncio.ensure_future(work(ticket)) for ticket in (5, 2, 9, 1)]
        await asyncio.sleep(0)
        tasks[3].cancel()
        limiter.release()
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await limiter.acquire(10)
        return order

    assert asyncio.run(main()) in ([2, 5, 9], [5, 9])
