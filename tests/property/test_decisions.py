"""Early decisions are exact, and no later than they need be.

Exact: for random outcomes fed in random order, whatever is decided on the way is what all outcomes give. Tight: on
small cases, by enumeration, a rule is undecided only while two ways of going on would give different results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from ttsc.compiler.ir.nodes import FirstFinished, Greatest, Leading, Majority, Quantified, Rule, Sequential
from ttsc.runtime.decisions import NOTHING, Decision, Settled, decision_for

Outcome = tuple[object, float | None]
"""A value and a weight."""

ties = st.sampled_from(["first", "last"])
answers = st.sampled_from(["a", "b", "c", None, NOTHING])
weights = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 1.0])


def final(rule: Rule, outcomes: Sequence[Outcome], count: int, weighted: bool) -> Settled | None:
    decision = decision_for(rule, len(outcomes), count, weighted)
    for index, (value, weight) in enumerate(outcomes):
        decision.feed(index, value, weight)
    return decision.result()


def check_exact(rule: Rule, outcomes: Sequence[Outcome], order: Sequence[int], count: int, weighted: bool) -> None:
    expected = final(rule, outcomes, count, weighted)
    assert expected is not None
    decision = decision_for(rule, len(outcomes), count, weighted)
    released: set[int] = set()
    for index in order:
        early = decision.result()
        if early is not None:
            assert same(rule, early, expected)
        released |= set(decision.losers())
        assert not released & set(expected.winners)
        decision.feed(index, *outcomes[index])
    late = decision.result()
    assert late is not None and same(rule, late, expected)


def same(rule: Rule, one: Settled, other: Settled) -> bool:
    return one.answer == other.answer if isinstance(rule, Majority | Sequential) else one == other


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_majority(data: st.DataObject) -> None:
    weighted = data.draw(st.booleans())
    bound = data.draw(st.sampled_from([None, 1.0]))
    rule = Majority(data.draw(ties), data.draw(st.sampled_from(["drop", "count"])), bound)
    outcomes = data.draw(st.lists(st.tuples(answers, weights if weighted else st.none()), max_size=9))
    order = data.draw(st.permutations(range(len(outcomes))))
    check_exact(rule, outcomes, order, 1, weighted)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_greatest(data: st.DataObject) -> None:
    rule = Greatest(data.draw(ties), data.draw(st.sampled_from([None, 3.0])))
    keys = st.sampled_from([NOTHING, 0.0, 1.0, 2.0, 3.0, 3.0])
    outcomes = data.draw(st.lists(st.tuples(keys, st.none()), max_size=8))
    order = data.draw(st.permutations(range(len(outcomes))))
    check_exact(rule, outcomes, order, data.draw(st.integers(0, 4)), False)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_quantified(data: st.DataObject) -> None:
    rule = Quantified(data.draw(st.sampled_from(["any", "all"])))
    outcomes = data.draw(st.lists(st.tuples(st.sampled_from([True, False, NOTHING]), st.none()), max_size=8))
    order = data.draw(st.permutations(range(len(outcomes))))
    check_exact(rule, outcomes, order, 1, False)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_first_finished_with_progress(data: st.DataObject) -> None:
    """Candidates race: each reports progress, then ends with its tokens, cut (no finisher), or not at all."""
    runners = data.draw(
        st.lists(st.tuples(st.integers(1, 6), st.sampled_from(["finished", "finished", "cut", "failed"])), max_size=7)
    )
    count = data.draw(st.integers(0, 4))
    outcomes: list[Outcome] = [(tokens if end == "finished" else NOTHING, None) for tokens, end in runners]
    expected = final(FirstFinished(), outcomes, count, False)
    decision = decision_for(FirstFinished(), len(runners), count)
    at = [0] * len(runners)
    running = list(range(len(runners)))
    while running:
        early = decision.result()
        assert early is None or early == expected
        assert expected is not None and not set(decision.losers()) & set(expected.winners)
        index = data.draw(st.sampled_from(running))
        if at[index] < runners[index][0]:
            at[index] += 1
            decision.progress(index, at[index])
        else:
            running.remove(index)
            decision.feed(index, outcomes[index][0])
    assert decision.result() == expected


@given(st.permutations(range(5)), st.integers(0, 3), st.integers(0, 5))
@settings(deadline=None)
def test_first_by_time_takes_the_order_of_arrival(order: list[int], count: int, absent: int) -> None:
    decision = decision_for(FirstFinished(order="time"), 5, count)
    arrived = []
    for index in order:
        if decision.result() is not None:
            break
        decision.feed(index, NOTHING if index == absent else 7)
        arrived.append(index)
    settled = decision.result()
    assert settled is not None
    assert settled.winners == tuple(i for i in arrived if i != absent)[:count]


sequential = st.one_of(
    st.builds(
        Sequential,
        st.sampled_from(["adaptive", "beta"]),
        ties,
        st.sampled_from(["drop", "count"]),
        confidence=st.sampled_from([0.6, 0.8, 0.95]),
    ),
    st.builds(Sequential, st.just("esc"), ties, st.sampled_from(["drop", "count"]), window=st.integers(2, 4)),
    st.builds(Sequential, st.just("sprt"), ties, confidence=st.sampled_from([0.7, 0.9]), share=st.just(0.7)),
)


@given(sequential, st.lists(st.tuples(answers, st.none()), max_size=14), st.data())
@settings(max_examples=200, deadline=None)
def test_sequential(rule: Sequential, outcomes: list[Outcome], data: st.DataObject) -> None:
    """In whatever order votes arrive, the result is that of the shortest prefix that is sure enough."""
    check_exact(rule, outcomes, data.draw(st.permutations(range(len(outcomes)))), 1, False)


@given(st.lists(st.tuples(st.sampled_from(["x", NOTHING]), st.none()), max_size=9), st.data())
@settings(max_examples=100, deadline=None)
def test_leading(outcomes: list[Outcome], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(outcomes))))
    check_exact(Leading(), outcomes, order, data.draw(st.integers(0, 4)), False)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_greatest_of_lists(data: st.DataObject) -> None:
    rule = Greatest(data.draw(ties), data.draw(st.sampled_from([None, (1.0, 2.0)])))
    keys = st.one_of(st.just(NOTHING), st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0, 2.0])))
    outcomes = data.draw(st.lists(st.tuples(keys, st.none()), max_size=8))
    order = data.draw(st.permutations(range(len(outcomes))))
    check_exact(rule, outcomes, order, data.draw(st.integers(0, 4)), False)


# --- what is surely needed -------------------------------------------------------------------------------------------

OUTCOMES: dict[type, list[object]] = {
    Majority: ["a", "a", "b", None, NOTHING],
    Sequential: ["a", "a", "b", None, NOTHING],
    Quantified: [True, False, NOTHING],
    Leading: ["x", "x", NOTHING],
    Greatest: [0.0, 2.0, 2.0, NOTHING],
}


@given(
    st.one_of(
        sequential,
        st.builds(Majority, ties),
        st.builds(Quantified, st.sampled_from(["any", "all"])),
        st.just(Leading()),
        st.builds(Greatest, ties, st.just(2.0)),
    ),
    st.integers(1, 9),
    st.data(),
)
@settings(max_examples=300, deadline=None)
def test_nothing_is_settled_before_what_is_needed(rule: Rule, length: int, data: st.DataObject) -> None:
    """One outcome less than are outstanding among the needed ones, whichever and wherever they are, settles nothing.
    Some of the needed ones are outstanding, so that there always is something to wait for.
    """
    count = data.draw(st.integers(1, 3))
    values = st.sampled_from(OUTCOMES[type(rule)])
    decision = decision_for(rule, length, count)
    fed: list[tuple[int, object]] = []
    for index in data.draw(st.permutations(range(length))):
        if decision.result() is not None:
            return
        need = decision.need()
        missing = [i for i in decision.outstanding_indices() if i < need]
        assert missing and need <= length
        others = data.draw(st.permutations(decision.outstanding_indices()))[: len(missing) - 1]
        ahead = decision_for(rule, length, count)
        for each in (*fed, *((other, data.draw(values)) for other in others)):
            ahead.feed(*each)
        assert ahead.result() is None
        fed.append((index, data.draw(values)))
        decision.feed(*fed[-1])


# --- not later than needed ------------------------------------------------------------------------------------------


def check_tight(
    rule: Rule, length: int, values: Iterable[object], count: int, answer_of: Callable[[Settled], object]
) -> None:
    options = list(values)
    for outcomes in product([*options, ...], repeat=length):
        decision = decision_for(rule, length, count)
        feed(decision, outcomes)
        ends = {
            answer_of(settled)
            for rest in product(options, repeat=sum(o is ... for o in outcomes))
            if (settled := final(rule, filled(outcomes, rest), count, False)) is not None
        }
        assert (decision.result() is not None) == (len(ends) == 1), (rule, outcomes, ends)


def feed(decision: Decision, outcomes: Sequence[object]) -> None:
    for index, value in enumerate(outcomes):
        if value is not ...:
            decision.feed(index, value)


def filled(outcomes: Sequence[object], rest: Sequence[object]) -> list[Outcome]:
    following = iter(rest)
    return [(next(following) if value is ... else value, None) for value in outcomes]


def test_majority_decides_as_early_as_possible() -> None:
    for tie in ("first", "last"):
        rule = Majority(tie)  # type: ignore[arg-type]
        check_tight(rule, 4, ["a", "b", "c", NOTHING], 1, lambda settled: settled.answer)


def test_greatest_decides_as_early_as_possible() -> None:
    for tie in ("first", "last"):
        for count in (1, 2):
            rule = Greatest(tie, 2.0)  # type: ignore[arg-type]
            check_tight(rule, 4, [0.0, 1.0, 2.0, NOTHING], count, lambda settled: settled.winners)


def test_the_first_are_decided_as_early_as_possible() -> None:
    for count in (1, 2):
        check_tight(Leading(), 4, ["x", NOTHING], count, lambda settled: settled.winners)


def test_quantifiers_decide_as_early_as_possible() -> None:
    for kind in ("any", "all"):
        check_tight(Quantified(kind), 4, [True, False], 1, lambda s: s.answer)  # type: ignore[arg-type]


def test_first_finished_decides_as_early_as_possible() -> None:
    """Runners at 0..2 tokens that may end anywhere from there to 3, or not finish."""
    for count in (1, 2):
        states = [("run", 0), ("run", 1), ("run", 2), ("end", 1), ("end", 2), ("end", None)]
        for start in product(states, repeat=3):
            decision = decision_for(FirstFinished(), 3, count)
            choices: list[list[int | None]] = []
            for index, (kind, tokens) in enumerate(start):
                if kind == "run":
                    assert tokens is not None
                    decision.progress(index, tokens)
                    choices.append([None, *range(tokens, 4)])
                else:
                    decision.feed(index, NOTHING if tokens is None else tokens)
                    choices.append([tokens])
            ends = set()
            for way in product(*choices):
                settled = final(FirstFinished(), [(NOTHING if w is None else w, None) for w in way], count, False)
                assert settled is not None
                ends.add(settled.winners)
            assert (decision.result() is not None) == (len(ends) == 1), (start, ends)
