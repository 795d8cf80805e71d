"""Elements that need each other, random ties, lists of keys, and seeded draws."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from executor_programs import Builder, run
from hypothesis import given, settings
from hypothesis import strategies as st

from ttsc.backends.protocol import RequestRefused
from ttsc.backends.scripted import ScriptedEngine
from ttsc.compiler.ir.nodes import Greatest, Majority, Program
from ttsc.compiler.values.types import CANDIDATE, POOL
from ttsc.runtime.dag import checked_edges
from ttsc.runtime.failures import RunFailed


def asked(needs: tuple[tuple[int, ...], ...], **more: Any) -> Program:
    """Each element asks a question with the answers it needs in it."""
    b = Builder()
    over = b.const(tuple(f"q{i}" for i in range(len(needs))))

    def body(inner: Builder, element: Any, found: Any) -> Any:
        context = inner.user("{{ q }} given {{ found|join(',') }}.", q=element, found=found)
        return inner.text(inner.one(inner.generate(context, 1, max_tokens=30)))

    return b.program(b.dag(over, b.const(needs), body, **more))


def echo(prompt: str, seed: int, sampling: Any) -> str:
    """`q1 given a,b.` is answered with `1(a b)`."""
    said = prompt.split("<|user|>")[1].split("<|end|>")[0]
    question, _, given_ = said.partition(" given ")
    return question[1:] + (f"({given_[:-1]})" if given_ != "." else "")


def test_values_in_the_order_of_the_list_and_of_the_needs() -> None:
    result = run(asked(((), (0,), (1, 0), ())), ScriptedEngine(echo))
    assert result.value == ["0", "1(0)", "2(1(0),0)", "3"]


def test_an_element_starts_as_soon_as_those_it_needs_are_done() -> None:
    """The chain does not wait for the long element beside it."""
    engine = ScriptedEngine(lambda p, s, k: "long " * 14 if "q3" in p else "a")
    run(asked(((), (0,), (1,), ())), engine)
    chain = [each for each in engine.records if "q2" in engine.tokenizer.show(each.request.input_ids)]
    long = [each for each in engine.records if "q3" in engine.tokenizer.show(each.request.input_ids)]
    assert chain[0].last_step < long[0].last_step  # type: ignore[operator]


def test_independent_elements_run_side_by_side() -> None:
    engine = ScriptedEngine(echo)
    run(asked(((), (), (), ())), engine)
    assert engine.most_at_once == 4


@pytest.mark.parametrize("needs", [((), (5,)), ((), (1,)), ((1,), (0,)), ((), (-1,)), ((2,), (0,), (1,))])
def test_invalid_edges_fail_the_run_and_say_where(needs: tuple[tuple[int, ...], ...]) -> None:
    engine = ScriptedEngine(echo)
    result = run(asked(needs), engine)
    assert result.error is not None
    assert result.error.code == "R0507"
    assert "element" in result.error.message
    assert engine.records == [], "before anything is asked"


def test_invalid_edges_are_dropped_if_told_so() -> None:
    """A cycle loses the edge that closes it in a depth-first walk from the first element on, as for `depth`."""
    result = run(asked(((1, 7), (2, 1), (0,)), invalid="drop"), ScriptedEngine(echo))
    assert result.value == ["0(1(2))", "1(2)", "2"]
    result = run(asked(((2,), (0,), (1,)), invalid="drop"), ScriptedEngine(echo))
    assert result.value == ["0(2(1))", "1", "2(1)"]


def test_a_failed_element_takes_those_that_need_it() -> None:
    def fault(count: int, request: Any) -> RequestRefused | None:
        return RequestRefused("no") if "q1 given" in engine.tokenizer.show(request.input_ids) else None

    engine = ScriptedEngine(echo, fault=fault)
    result = run(asked(((), (0,), (1,), (0,))), engine)
    assert result.value == ["0", "3(0)"]


def test_what_nobody_needs_is_abandoned_with_what_only_it_needs() -> None:
    """The vote is decided by elements 0 and 1; 3 and its need 2 are in vain, and 0 is not."""
    b = Builder()
    over = b.const(("a", "a", "b", "b"))

    def body(inner: Builder, element: Any, found: Any) -> Any:
        context = inner.user("{{ q }}{{ found|length }}", q=element, found=found)
        return inner.text(inner.one(inner.generate(context, 1, max_tokens=300)))

    answers = b.dag(over, b.const(((), (), (), (2,))), body)
    winner = b.vote(answers)
    engine = ScriptedEngine(lambda p, s, k: "x" if "a" in p.split("<|end|>")[0] else "slow " * 100)
    result = run(b.program(winner), engine)
    assert result.value == "x"
    assert result.usage.aborted == 1
    assert len(engine.records) == 3, "the element that needed the aborted one never began"


@given(st.integers(1, 8).flatmap(lambda n: st.lists(st.lists(st.integers(-1, n), max_size=4), min_size=n, max_size=n)))
@settings(max_examples=150, deadline=None)
def test_kept_edges_have_no_cycle_and_only_bad_ones_go(needs: list[list[int]]) -> None:
    edges = checked_edges(needs, drop=True)
    done: set[int] = set()
    while ready := [i for i, needed in enumerate(edges) if i not in done and set(needed) <= done]:
        done.update(ready)
    assert len(done) == len(needs)
    try:
        strict = checked_edges(needs, drop=False)
    except RunFailed:
        assert edges != tuple(map(tuple, needs))
    else:
        assert strict == edges == tuple(map(tuple, needs))


@given(
    st.integers(1, 7).flatmap(
        lambda n: st.lists(st.lists(st.integers(-1, n), max_size=4).map(tuple), min_size=n, max_size=n).map(tuple)
    )
)
@settings(max_examples=40, deadline=None)
def test_depth_is_that_of_the_graph_that_runs(needs: tuple[tuple[int, ...], ...]) -> None:
    """Each element answers with the length of its longest path; the greatest of them is `depth`."""
    b = Builder()
    over = b.const(tuple(f"q{i}" for i in range(len(needs))))

    def body(inner: Builder, element: Any, found: Any) -> Any:
        longest = inner.pure("maximum", inner.pure("add", found, inner.const((0,))))
        return inner.pure("add", longest, inner.const(1))

    lengths = b.dag(over, b.const(needs), body, invalid="drop")
    program = b.program(b.pure("list", b.pure("maximum", lengths), b.pure("depth", b.const(needs))))
    longest, depth = run(program, ScriptedEngine({})).value
    assert longest == depth


def vote(answers: tuple[str, ...], ties: Any) -> Program:
    b = Builder()
    return b.program(b.vote(b.const(answers), rule=Majority(ties=ties)))


def test_random_ties_depend_on_the_seed_alone() -> None:
    answers = ("a", "b", "c", "a", "b", "c")
    found = [run(vote(answers, "random"), ScriptedEngine({}), seed=seed).value for seed in range(60)]
    again = [run(vote(answers, "random"), ScriptedEngine({}), seed=seed, level=0).value for seed in range(60)]
    assert found == again
    assert set(Counter(found)) == {"a", "b", "c"}
    assert min(Counter(found).values()) >= 8


def best_of_texts(ties: Any, level: Any, seed: int, jitter_seed: int) -> Any:
    b = Builder()
    pool = b.generate(b.user("q"), 5, max_tokens=9)
    keys = b.map(pool, lambda inner, x: inner.pure("length", inner.text(x)))
    rule = Greatest(ties=ties, maximum=3.0)
    kept = b.select("keep", pool, rule, keys=keys, count=b.const(2), early=level > 0, kind=POOL)
    engine = ScriptedEngine(_same_length, jitter=0.4, jitter_seed=jitter_seed)
    return run(b.program(b.texts(kept)), engine, seed=seed, level=level).value


def _same_length(prompt: str, seed: int, sampling: Any) -> str:
    return random.Random(seed).choice(["abc", "xyz", "no"])


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.sampled_from(["first", "last", "random"]))
@settings(max_examples=25, deadline=None)
def test_early_decisions_with_any_ties_change_nothing(seed: int, jitter_seed: int, ties: str) -> None:
    assert best_of_texts(ties, 2, seed, jitter_seed) == best_of_texts(ties, 0, seed, 1)


def test_keys_that_are_lists_compare_one_after_the_other() -> None:
    b = Builder()
    words = b.const(("a", "b", "c", "d"))
    keys = b.const(((1, 5), (2, 1), (2, 3), (True, 9.5)))
    best = b.select("best", words, Greatest(), keys=keys)
    kept = b.select("keep", words, Greatest(), keys=keys, count=b.const(3))
    result = run(b.program(b.pure("list", b.pure("list", best), kept)), ScriptedEngine({}))
    assert result.value == [["c"], ["c", "b", "d"]]


def test_draws_depend_on_the_seed_and_the_place() -> None:
    b = Builder()
    words = b.const(tuple("abcdefgh"))
    first, second = b.draw("shuffle", words), b.draw("shuffle", words)
    program = b.program(b.pure("list", first, second))
    one, two = run(program, ScriptedEngine({}), seed=3).value
    assert sorted(one) == sorted(two) == list("abcdefgh")
    assert one != two
    assert run(program, ScriptedEngine({}), seed=3, level=0).value == [one, two]
    assert run(program, ScriptedEngine({}), seed=4).value != [one, two]


def test_each_round_draws_anew() -> None:
    b = Builder()
    (last,) = b.repeat(
        b.const(3),
        [b.const(())],
        lambda inner, params: (
            [inner.pure("add", params[0], inner.pure("list", inner.draw("shuffle", inner.const(tuple("abcdef")))))],
            inner.const(False),
        ),
    )
    rounds = run(b.program(last), ScriptedEngine({}), seed=1).value
    assert len({tuple(each) for each in rounds}) == 3


def test_resampled_candidates_keep_the_cause_when_all_have_failed() -> None:
    b = Builder()
    pool = b.generate(b.user("q"), 2, max_tokens=9)
    weights = b.map(pool, lambda inner, x: inner.pure("field", x, attr="score"))
    drawn = b.draw("resample", pool, weights, b.const(2), attr="systematic resample sum")
    engine = ScriptedEngine({}, fault=lambda count, request: RequestRefused("the server says no"))
    result = run(b.program(b.text(b.pure("one", drawn, kind=CANDIDATE))), engine)
    assert result.error is not None
    assert result.error.message == "the server says no"


@pytest.mark.parametrize("op", ["item", "minimum", "one"])
def test_an_operation_without_a_result_for_what_failures_left_says_what_failed(op: str) -> None:
    b = Builder()
    texts = b.texts(b.generate(b.user("q"), 2, max_tokens=9))
    last = b.pure(op, texts, *([b.const(0)] if op == "item" else []))
    engine = ScriptedEngine({}, fault=lambda count, request: RequestRefused("the server says no"))
    result = run(b.program(last), engine)
    assert result.error is not None
    assert result.error.message == "the server says no"
