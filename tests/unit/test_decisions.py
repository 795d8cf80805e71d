"""Decision rules on hand-made cases: when exactly they decide, and for what."""

from __future__ import annotations

import pytest

from ttsc.compiler.ir.nodes import FirstFinished, Greatest, Leading, Majority, Quantified, Rule
from ttsc.runtime.decisions import NOTHING, Settled, decision_for


def fed(rule: Rule, length: int | None, *arrivals: tuple[int, object], count: int = 1) -> Settled | None:
    decision = decision_for(rule, length, count)
    for index, value in arrivals:
        decision.feed(index, value)
    return decision.result()


def weighed(rule: Majority, length: int, *arrivals: tuple[int, str, float]) -> Settled | None:
    decision = decision_for(rule, length, weighted=True)
    for index, value, weight in arrivals:
        decision.feed(index, value, weight)
    return decision.result()


def test_a_vote_is_decided_when_no_rival_can_catch_up() -> None:
    assert fed(Majority(), 5, (0, "a"), (1, "a")) is None
    settled = fed(Majority(), 5, (0, "a"), (1, "a"), (2, "a"))
    assert settled is not None and (settled.answer, settled.winners) == ("a", (0,))


def test_ties_decide_early_only_if_they_certainly_favour_the_leader() -> None:
    assert fed(Majority(), 4, (0, "a"), (1, "a")) == Settled((0,), "a")
    assert fed(Majority(), 4, (2, "a"), (3, "a")) is None, "0 and 1 may be equal votes, earlier"
    assert fed(Majority("last"), 4, (2, "a"), (3, "a")) == Settled((3,), "a")
    assert fed(Majority("last"), 4, (0, "a"), (1, "a")) is None


def test_invalid_answers() -> None:
    drop, count = Majority(), Majority(invalid="count")
    assert fed(drop, 3, (0, None), (1, None), (2, "a")) == Settled((2,), "a")
    assert fed(count, 3, (0, None), (1, None), (2, "a")) == Settled((0,), None)
    assert fed(drop, 2, (0, None), (1, NOTHING)) == Settled()


def test_weights_need_a_bound_to_decide_early() -> None:
    votes = [(0, "a", 1.0), (1, "a", 1.0)]
    assert weighed(Majority(), 3, *votes) is None
    assert weighed(Majority(max_weight=1.0), 3, *votes) == Settled((0,), "a")
    assert weighed(Majority(max_weight=3.0), 3, *votes) is None
    assert weighed(Majority(max_weight=1.0), 4, (0, "a", 1.5), (1, "a", 1.0)) is None, "the bound is broken"
    assert weighed(Majority(max_weight=1.0), 4, (0, "a", 1.0), (1, "b", -0.5), (2, "a", 1.0)) is None


def test_weights_are_summed_exactly() -> None:
    votes = [(i, "a", 0.1) for i in range(10)] + [(10, "b", 1.0)]
    forwards, backwards = weighed(Majority(), 11, *votes), weighed(Majority(), 11, *reversed(votes))
    assert forwards == backwards
    assert forwards is not None and forwards.answer == "a", "ten times the double 0.1 is a little over 1"


def test_weights_that_are_no_numbers_do_not_count() -> None:
    assert weighed(Majority(), 2, (0, "a", float("nan")), (1, "b", 0.5)) == Settled((1,), "b")


def test_first_finished_waits_for_those_that_could_be_shorter() -> None:
    decision = decision_for(FirstFinished(), 3)
    decision.feed(1, 5)
    decision.progress(0, 5)
    decision.progress(2, 4)
    assert decision.result() is None and decision.losers() == []
    decision.progress(2, 5)
    assert decision.losers() == [2], "5 tokens and a later index: it can't win any more"
    decision.progress(0, 6)
    assert decision.losers() == [0, 2]
    assert decision.result() == Settled((1,))


def test_a_retry_may_fall_back() -> None:
    decision = decision_for(FirstFinished(), 2)
    decision.progress(1, 9)
    decision.progress(1, 0)
    decision.feed(0, 5)
    assert decision.result() is None


def test_first_finished_with_too_few_finishers_gives_those() -> None:
    assert fed(FirstFinished(), 3, (0, NOTHING), (1, 7), (2, NOTHING), count=2) == Settled((1,))
    assert fed(FirstFinished(), 2, (0, NOTHING), (1, NOTHING)) == Settled()
    assert fed(FirstFinished(), 4, count=0) == Settled()


def test_first_by_time() -> None:
    assert fed(FirstFinished(order="time"), 4, (3, 90), (1, 2), count=2) == Settled((3, 1))


@pytest.mark.parametrize(("ties", "decided"), [("first", True), ("last", False)])
def test_best_against_a_maximum(ties: str, decided: bool) -> None:
    rule = Greatest(ties, 1.0)  # type: ignore[arg-type]
    settled = fed(rule, 3, (0, 1.0))
    assert (settled == Settled((0,))) is decided


def test_best_releases_those_behind_the_winner_only() -> None:
    decision = decision_for(Greatest(maximum=1.0), 4)
    decision.feed(1, 1.0)
    assert decision.losers() == [2, 3]
    assert decision.result() is None
    decision.feed(0, 0.5)
    assert decision.result() == Settled((1,))


def test_best_without_or_beyond_a_maximum_waits_for_all() -> None:
    assert fed(Greatest(), 2, (0, 1e9)) is None
    assert fed(Greatest(maximum=1.0), 3, (0, 2.0)) is None
    assert fed(Greatest(), 2, (0, float("nan")), (1, -1.0)) == Settled((1,))


def test_quantifiers() -> None:
    assert fed(Quantified("any"), 3, (2, True)) == Settled((), True)
    assert fed(Quantified("all"), 3, (2, False)) == Settled((), False)
    assert fed(Quantified("all"), 2, (0, True), (1, NOTHING)) == Settled((), True)
    assert fed(Quantified("any"), 0) == Settled((), False)


def test_nothing_is_decided_before_the_length_is_known_unless_it_must_be() -> None:
    assert fed(Majority(), None, (0, "a")) is None
    assert fed(Quantified("any"), None, (0, True)) == Settled((), True)
    decision = decision_for(Majority(), None)
    decision.feed(0, "a")
    decision.closed(1)
    assert decision.result() == Settled((0,), "a")


def test_tallies_show_the_leaders_first() -> None:
    decision = decision_for(Majority(invalid="count"), 9)
    for index, value in enumerate(["b", "a", "a", None]):
        decision.feed(index, value)
    assert decision.tally() == (("a", 2.0), ("b", 1.0), ("(no answer)", 1.0))


def test_the_first_that_are_there() -> None:
    assert fed(Leading(), 4, (1, "b")) is None, "0 may come before it"
    assert fed(Leading(), 4, (1, "b"), (0, NOTHING)) == Settled((1,))
    assert fed(Leading(), 4, (0, "a"), (3, "d"), count=2) is None
    assert fed(Leading(), 4, (0, "a"), (3, "d"), (1, NOTHING), (2, "c"), count=2) == Settled((0, 2))
    assert fed(Leading(), 2, (0, NOTHING), (1, "b"), count=2) == Settled((1,)), "fewer than were wanted"
    assert fed(Leading(), 4, count=0) == Settled()
    decision = decision_for(Leading(), 5)
    decision.feed(2, "c")
    assert decision.losers() == [3, 4]


def test_lists_of_keys_have_a_maximum_each() -> None:
    rule = Greatest(maximum=(1.0, 0.0))
    assert fed(rule, 3, (0, [1.0, -5.0])) is None, "another may be shorter"
    assert fed(rule, 3, (0, [1.0, 0.0])) == Settled((0,))
    assert fed(rule, 3, (1, [1.0, 0.0])) is None, "0 may be equal, and wins the tie"
    assert fed(rule, 3, (0, [1.0, 0.5])) is None, "the bound is broken"
    assert fed(rule, 3, (0, [1.0])) is None, "not of this length"
    assert fed(rule, 3, (0, 1.0)) is None


@pytest.mark.parametrize(
    ("rule", "length", "arrivals", "count", "need"),
    [
        (Majority(), 16, [], 1, 8),
        (Majority(), 5, [], 1, 3),
        (Majority(), 5, [(0, "a"), (1, "b")], 1, 4),
        (Majority(), 5, [(0, "a"), (4, "b")], 1, 3),
        (Majority(), 5, [(0, NOTHING)], 1, 3),
        (Majority(), 3, [(0, "a"), (1, "b")], 1, 3),
        (Quantified("any"), 5, [(0, False), (2, False)], 1, 2),
        (Leading(), 5, [], 2, 2),
        (Leading(), 5, [(0, NOTHING), (1, "b")], 2, 3),
        (Leading(), 5, [(3, "d")], 2, 2),
        (Greatest(maximum=1.0), 5, [(0, 1.0)], 3, 3),
        (Greatest(), 5, [(0, 1.0)], 1, 5),
        (FirstFinished(), 5, [(0, 7)], 1, 5),
    ],
)  # fmt: skip
def test_what_a_rule_surely_needs(
    rule: Rule, length: int, arrivals: list[tuple[int, object]], count: int, need: int
) -> None:
    decision = decision_for(rule, length, count)
    for index, value in arrivals:
        decision.feed(index, value)
    assert decision.need() == need


def test_votes_with_weights_need_what_their_bound_says() -> None:
    decision = decision_for(Majority(max_weight=1.0), 6, weighted=True)
    decision.feed(0, "a", 0.5)
    assert decision.need() == 4, "0.5 and three more against two"
    assert decision_for(Majority(), 6, weighted=True).need() == 6
