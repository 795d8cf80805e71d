"""What does not wait: elements of lists put together go on while others are still decoded. Shown by steps."""

from __future__ import annotations

import pytest
from executor_programs import Builder, run

from ttsc.backends.protocol import RequestRefused, Sampling
from ttsc.backends.scripted import ScriptedEngine
from ttsc.compiler.ir.nodes import FirstFinished, Value
from ttsc.compiler.values.types import INT, POOL


def reply(prompt: str, seed: int, sampling: Sampling) -> str:
    """Short, but for what is asked for slowly."""
    return "word " * (60 if "slow" in prompt else 3)


def two_pools(b: Builder) -> tuple[Value, Value]:
    return b.generate(b.user("fast"), 2), b.generate(b.user("slow"), 2)


def judged(b: Builder, x: Value) -> Value:
    said = b.pure("field", x, attr="text")
    return b.text(b.one(b.generate(b.user("judge {{ said }}", said=said), 1, op="judge")))


def asked(engine: ScriptedEngine, word: str) -> list[int]:
    """The steps at which requests with this word in their prompt began, in order."""
    decode = engine.tokenizer.decode
    return sorted(each.first_step or 0 for each in engine.records if word in decode(each.request.input_ids))


@pytest.mark.parametrize("level", [0, 2])
def test_a_candidate_of_a_sum_is_judged_before_the_others_are_there(level: int) -> None:
    b = Builder()
    fast, slow = two_pools(b)
    both = b.pure("add", fast, slow, kind=POOL)
    program = b.program(b.map(both, judged))
    engine = ScriptedEngine(reply)
    result = run(program, engine, level=level)  # type: ignore[arg-type]
    assert len(result.value) == 4
    ends = [each.last_step or 0 for each in engine.records if len(each.completion.output_ids) > 50]
    assert asked(engine, "judge")[1] < min(ends), "the fast ones are judged while the slow ones are decoded"


def test_an_early_vote_over_a_sum_stops_the_rest() -> None:
    b = Builder()
    fast, slow = b.generate(b.user("fast"), 3), b.generate(b.user("slow"), 2)
    vote = b.vote(b.texts(b.pure("add", fast, slow, kind=POOL)))
    engine = ScriptedEngine(reply)
    result = run(b.program(vote), engine)
    assert result.value == "word word word "
    assert [each.aborted for each in engine.records] == [False] * 3 + [True] * 2
    assert run(b.program(vote), ScriptedEngine(reply), level=0).value == result.value


def test_a_race_over_a_sum_compares_tokens_as_they_come() -> None:
    b = Builder()
    fast = b.generate(b.user("fast"), 1, stream=True)
    slow = b.generate(b.user("slow"), 2, stream=True)
    both = b.pure("add", slow, fast, kind=POOL)
    first = b.select("stop_first", both, FirstFinished("tokens"), POOL, count=b.const(1, INT), early=True)
    engine = ScriptedEngine(reply)
    result = run(b.program(b.text(b.one(first))), engine)
    assert result.value == "word word word " and result.usage.aborted == 2
    assert result.usage.decoded_tokens < 30


def test_one_list_twice_and_an_element_that_is_missing() -> None:
    """A list added to itself is decoded once; what failed is missing from both halves."""
    b = Builder()
    pool = b.generate(b.user("fast"), 2)
    twice = b.pure("add", pool, pool, kind=POOL)
    engine = ScriptedEngine(reply)
    assert len(run(b.program(twice), engine).value) == 4 and len(engine.records) == 2

    refused = ScriptedEngine(reply, fault=lambda number, request: RequestRefused("no") if number == 0 else None)
    assert len(run(b.program(twice), refused).value) == 2


def test_complete_lists_are_added_at_once() -> None:
    b = Builder()
    a, c = b.const(("x",), POOL), b.const(("y",), POOL)
    both = b.pure("add", a, c, kind=POOL)
    assert run(b.program(both), ScriptedEngine(reply)).value == ["x", "y"]
    one = b.pure("list", b.one(b.generate(b.user("fast"), 1)), kind=POOL)
    mixed = b.pure("add", one, b.generate(b.user("slow"), 1), kind=POOL)
    length = b.pure("length", mixed, kind=INT)
    assert run(b.program(length), ScriptedEngine(reply)).value == 2
