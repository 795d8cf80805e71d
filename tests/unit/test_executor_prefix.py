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
    assert engine.records[0].request.first_token and not any(r.request.first_token for r in engine.records[1:])
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


def test_a_leader_that_ends_without_a_token_wakes_those_that_wait_in_order() -> None:
    gate = PrefixGate(threshold=4)
    ids = tuple(range(50))
    nodes = [gate.keep((*ids, 99 + i)) for i in range(4)]
    leader = gate.enter(nodes[0])
    assert leader is not None and leader.leads
    woken: list[int] = []
    calls = [lambda i=i: woken.append(i) for i in range(4)]
    for i in (1, 2, 3):
        assert gate.look(nodes[i]) == (0, leader), "50 tokens are being computed for it"
        leader.hold(calls[i])
    leader.let_go(calls[1])
    gate.leave(leader)
    gate.leave(leader)
    assert woken == [2, 3], "once, and not the one that left"
    second = gate.enter(nodes[2])
    assert second is not None and gate.look(nodes[3]) == (0, second)
    gate.first_token(second)
    assert gate.look(nodes[3]) == (50, None)
    assert gate.enter(nodes[3]) is None, "only one token is new: nothing worth leading"
    for node in nodes:
        gate.drop(node)
    assert gate.tokens == 51, "what nobody keeps and is not warm is forgotten"


def test_a_restarted_engine_has_nothing_cached() -> None:
    gate = PrefixGate(threshold=4)
    ids = tuple(range(50))
    kept, dropped = gate.keep(ids), gate.keep((*ids[:20], *range(100, 130)))
    gate.warm(kept, (7, 8, 9))
    gate.warm(dropped)
    gate.drop(dropped)
    leader = gate.enter(gate.keep((*ids, *range(60, 80))))
    assert leader is not None
    assert gate.look(kept) == (50, None)
    gate.forget()
    assert gate.look(kept) == (0, None), "nothing is cached, and nobody computes these tokens"
    assert gate.tokens == 70, "prompts in use stay, what else was warm is gone"
    gate.first_token(leader)
    assert gate.look(kept) == (50, None)


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
    held = gate.keep(tuple(range(50)))
    gate.warm(held)
    for i in range(1, 200):
        node = gate.keep(tuple(range(i * 100, i * 100 + 50)))
        gate.warm(node)
        gate.drop(node)
        assert gate.tokens <= 1000 + 50
    assert gate.look(gate.keep(tuple(range(19900, 19950))))[0] == 50, "what was used last is kept"
    assert gate.look(held)[0] == 50, "and what is in use"


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
