"""Closed forms against enumeration, and against figures that were computed from their formulas elsewhere."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from ttsc.compiler.cost.closed.choosing import best_of_n, score_levels, yes_levels
from ttsc.compiler.cost.closed.draws import Standings
from ttsc.compiler.cost.closed.passing import hit_rate, pass_at_k
from ttsc.compiler.cost.closed.racing import first_finished, order_statistics, right_at
from ttsc.compiler.cost.closed.stopping import (
    adaptive,
    probably_ahead,
    sprt,
    sprt_margin,
    sprt_samples,
    stopped,
    surely_ahead,
    windowed,
)
from ttsc.compiler.cost.closed.verified import Rates, rates, resampled, right_if_accepted, verified_vote
from ttsc.compiler.cost.closed.voting import Votes, wrong_answers
from ttsc.compiler.cost.distributions import Lengths
from ttsc.compiler.cost.workload import Rewards, Verdicts
from ttsc.runtime.exact import MajorityDecision
from ttsc.runtime.sequential import SequentialDecision

NONE = -1


def winner(votes: tuple[int, ...]) -> int:
    """The majority of a sequence, ties to the one that came first; NONE if nobody voted."""
    given = [vote for vote in votes if vote != NONE]
    return max(given, key=lambda each: (given.count(each), -given.index(each)), default=NONE)


def enumerated(chances: dict[int, float], n: int) -> float:
    """P(answer 0 wins), every sequence of n votes one by one."""
    total = 0.0
    for votes in itertools.product(chances, repeat=n):
        if winner(votes) == 0:
            total += math.prod(chances[vote] for vote in votes)
    return total


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("right", [0.0, 0.25, 0.6, 1.0])
@pytest.mark.parametrize("wrong", [(1.0,), (0.7, 0.3), (0.5, 0.3, 0.2)])
def test_a_vote_is_right_as_often_as_all_sequences_say(n: int, right: float, wrong: tuple[float, ...]) -> None:
    chances = {0: right, **{i + 1: (1 - right) * each for i, each in enumerate(wrong)}}
    assert Votes(wrong, 7).accuracy(right, n) == pytest.approx(enumerated(chances, n), abs=1e-12)


def test_samples_without_an_answer_are_no_votes() -> None:
    chances = {0: 0.4 * 0.7, 1: 0.6 * 0.7 * 0.8, 2: 0.6 * 0.7 * 0.2, NONE: 0.3}
    found = Votes((0.8, 0.2), 5).accuracy(0.4, 5, valid=0.7)
    assert found == pytest.approx(enumerated(chances, 5), abs=1e-12)


def test_two_answers_are_the_jury_theorem() -> None:
    n, p = 101, 0.55
    majority = sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(51, n + 1))
    assert Votes((1.0,), 256).accuracy(p, n) == pytest.approx(majority, abs=1e-10)


def test_large_votes_keep_their_precision() -> None:
    """All answers as likely: by symmetry each wins a vote of any size with the same chance."""
    votes = Votes([1 / 9] * 9, 600)
    for n in (64, 255, 600):
        assert votes.accuracy(0.1, n) == pytest.approx(0.1, abs=1e-9)


@pytest.mark.parametrize("collision", [0.05, 0.3, 0.9, 1.0])
def test_two_wrong_answers_agree_as_often_as_said(collision: float) -> None:
    chances = wrong_answers(collision)
    assert math.fsum(chances) == pytest.approx(1)
    assert math.fsum(each * each for each in chances) == pytest.approx(collision, abs=1e-3)


def test_pass_at_k_is_the_share_of_subsets_with_a_right_one() -> None:
    right = {0, 3, 4}
    for k in range(1, 8):
        subsets = list(itertools.combinations(range(7), k))
        assert pass_at_k(7, 3, k) == pytest.approx(sum(bool(right & set(each)) for each in subsets) / len(subsets))
    assert hit_rate(0.3, 4) == pytest.approx(1 - 0.7**4)
    with pytest.raises(ValueError):
        pass_at_k(4, 2, 5)


def test_the_best_of_n_by_levels_is_what_all_draws_give() -> None:
    p, right, wrong = 0.4, (0.1, 0.3, 0.6), (0.5, 0.3, 0.2)
    kinds = [(True, g, p * right[g]) for g in range(3)] + [(False, g, (1 - p) * wrong[g]) for g in range(3)]
    total = 0.0
    for draws in itertools.product(kinds, repeat=4):
        best = max(range(4), key=lambda i: (draws[i][1], -i))
        total += math.prod(each[2] for each in draws) * draws[best][0]
    assert best_of_n(p, 4, right, wrong) == pytest.approx(total, abs=1e-12)


def test_the_best_of_two_by_a_normal_reward() -> None:
    """Of one right and one wrong the right one wins with chance Phi((m1 - m0) / sqrt(s1^2 + s0^2))."""
    rewards = Rewards(1.0, 0.7, -0.2, 1.1, question_sd=3.0)
    beats = 0.5 * (1 + math.erf(1.2 / math.sqrt(0.7**2 + 1.1**2) / math.sqrt(2)))
    expected = 0.3**2 + 2 * 0.3 * 0.7 * beats
    assert best_of_n(0.3, 2, *score_levels(rewards)) == pytest.approx(expected, abs=1e-3)
    perfect = score_levels(Rewards(1.0, 0.0, -1.0, 0.0))
    assert best_of_n(0.3, 5, *perfect) == pytest.approx(1 - 0.7**5)


def test_shares_of_yes_are_binomial() -> None:
    assert yes_levels(0.8, 2) == pytest.approx((0.04, 0.32, 0.64))
    assert yes_levels(0.8, 1, no_verdict=0.5) == pytest.approx((0.6, 0.4))


def test_a_race_ends_with_its_order_statistic() -> None:
    lengths = Lengths((1, 2, 4, 8))
    for n, k in ((3, 1), (3, 2), (3, 3)):
        draws = [sorted(each) for each in itertools.product(lengths.values, repeat=n)]
        steps = sum(each[k - 1] for each in draws) / len(draws)
        tokens = sum(sum(min(length, each[k - 1]) for length in each) for each in draws) / len(draws)
        race = first_finished(lengths, k, n)
        assert race.steps == pytest.approx(steps)
        assert race.decoded == pytest.approx(tokens)
        assert race.steps == pytest.approx(lengths.order_statistic(k, n))


def test_the_first_of_many_uniform_lengths() -> None:
    """E[min] of n uniform on 1..m is sum over v of ((m - v + 1) / m)^n."""
    lengths = Lengths(tuple(range(1, 1001)))
    expected = sum(((1000 - v + 1) / 1000) ** 64 for v in range(1, 1001))
    race = first_finished(lengths, 1, 64)
    assert race.steps == pytest.approx(expected)
    assert race.decoded == pytest.approx(64 * expected)
    assert math.fsum(order_statistics(lengths, 64)) == pytest.approx(64 * lengths.mean)


def test_first_to_finish_helps_where_right_ones_are_shorter() -> None:
    short, long = Lengths((1, 1, 1, 2)), Lengths((1, 2, 2, 2))
    assert right_at(1, 0.5, short, long) == pytest.approx(0.75)
    assert right_at(2, 0.5, short, long) == pytest.approx(0.25)


def test_the_stopping_table_of_adaptive_consistency() -> None:
    """Of docs: votes of the second answer, and how many the leader needs at a confidence of 0.95."""
    for second, first in enumerate((4, 6, 8, 9, 11, 12, 14, 15)):
        assert probably_ahead(first, second) >= 0.95 > probably_ahead(first - 1, second)


@pytest.mark.parametrize(("answers", "expected"), [((0.9, 0.1), 8.5), ((0.7, 0.2, 0.1), 22.9), ((0.5, 0.3, 0.2), 35.6)])
def test_windows_of_five_of_forty(answers: tuple[float, ...], expected: float) -> None:
    assert windowed(answers, 40, 5) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("kind", ["exact", "adaptive", "sprt"])
def test_votes_end_where_the_executor_ends_them(kind: str) -> None:
    """Every sequence of six votes over three answers, fed to the rule that the executor uses."""
    from ttsc.compiler.ir.rules import Majority, Sequential

    answers, n = (0.5, 0.3, 0.2), 6
    rule = {"exact": surely_ahead, "adaptive": adaptive(0.8), "sprt": sprt(0.8, 0.7)}[kind]
    votes, right = [0.0] * n, 0.0
    for sequence in itertools.product(range(3), repeat=n):
        if kind == "exact":
            decision: MajorityDecision | SequentialDecision = MajorityDecision(Majority(), n)
        else:
            decision = SequentialDecision(Sequential(kind, confidence=0.8, share=0.7), n)  # type: ignore[arg-type]
        chance = math.prod(answers[vote] for vote in sequence)
        for place, vote in enumerate(sequence):
            decision.feed(place, str(vote))
            settled = decision.result()
            if settled is not None:
                votes[place] += chance
                right += chance * (settled.answer == "0")
                break
    found = stopped(answers, n, rule)
    assert found is not None
    assert found.votes == pytest.approx(votes, abs=1e-12)
    assert found.right == pytest.approx(right, abs=1e-12)
    assert found.mean == pytest.approx(sum((i + 1) * each for i, each in enumerate(votes)))


@pytest.mark.parametrize("stop", ["exact", "adaptive", "sprt", "esc"])
def test_draws_agree_with_the_exact_sums(stop: str) -> None:
    answers, n = (0.6, 0.25, 0.15), 10
    found = Standings([answers], n, 20_000, seed=3).stopped(n, stop, window=5)  # type: ignore[arg-type]
    if stop == "esc":
        assert found.mean == pytest.approx(windowed(answers, n, 5), abs=0.1)
        return
    rule = {"exact": surely_ahead, "adaptive": adaptive(0.95), "sprt": sprt(0.95, 0.6)}[stop]
    exact = stopped(answers, n, rule)
    assert exact is not None
    assert found.mean == pytest.approx(exact.mean, abs=0.06)
    assert abs(found.right - exact.right) < 5 * found.error


def test_a_sequential_test_without_a_limit_is_a_ruined_gambler() -> None:
    margin = sprt_margin(0.95, 0.6)
    assert (0.6 / 0.4) ** margin >= 19 > (0.6 / 0.4) ** (margin - 1)
    source = random.Random(1)
    lengths = []
    for _ in range(4000):
        lead = steps = 0
        while abs(lead) < 5:
            lead += 1 if source.random() < 0.6 else -1
            steps += 1
        lengths.append(steps)
    assert sprt_samples(0.6, 5) == pytest.approx(sum(lengths) / len(lengths), rel=0.04)
    assert sprt_samples(0.5, 5) == 25


def test_who_was_accepted_votes() -> None:
    """All outcomes of four samples, one by one: an answer, and whether the verifier accepts it."""
    p, accepts, wrong, n = 0.4, Rates(0.8, 0.3), (0.75, 0.25), 4
    kinds = []
    for answer, chance in ((0, p), (1, 0.6 * 0.75), (2, 0.6 * 0.25)):
        yes = accepts.right if answer == 0 else accepts.wrong
        kinds += [(answer, True, chance * yes), (answer, False, chance * (1 - yes))]
    for otherwise in (True, False):
        total = 0.0
        for draws in itertools.product(kinds, repeat=n):
            taken = tuple(each[0] for each in draws if each[1])
            if not taken and otherwise:
                taken = tuple(each[0] for each in draws)
            total += math.prod(each[2] for each in draws) * (winner(taken) == 0)
        assert verified_vote(Votes(wrong, n), p, n, accepts, otherwise) == pytest.approx(total, abs=1e-12)


def test_rates_depend_on_difficulty() -> None:
    verdicts = Verdicts(by_accuracy=((0.0, 0.5, 0.4), (0.5, 0.9, 0.1)), no_verdict=0.1)
    assert rates(verdicts, 0.2) == Rates(0.45, 0.4 * 0.9)
    assert rates(verdicts, 0.5) == Rates(0.9 * 0.9, 0.1 * 0.9)


def test_draws_until_one_is_accepted() -> None:
    accepts = Rates(0.9, 0.2)
    found = resampled(0.5, accepts, 3)
    assert found.samples == pytest.approx(1 + 0.45 + 0.45**2)
    assert found.right == pytest.approx(0.45 * found.samples)
    assert found.right / (found.right + found.wrong) == pytest.approx(right_if_accepted(0.5, accepts))
    assert right_if_accepted(0.5, accepts) == pytest.approx(0.45 / 0.55)


def test_whole_grades_between_borders_tie() -> None:
    """Grades 0 to 10 as a judge gives them, each a rounded normal, the ends taking what is beyond."""
    right, wrong = score_levels(Rewards(8.0, 1.5, 4.5, 2.5, low=0.0, high=10.0, whole=True))
    assert len(right) == len(wrong) == 11
    assert math.fsum(right) == pytest.approx(1) == math.fsum(wrong)
    beyond = 0.5 * (1 - math.erf(1.5 / 1.5 / math.sqrt(2)))
    assert right[10] == pytest.approx(beyond)
