"""Allocation models against published figures, planted parameters and brute force."""

from __future__ import annotations

import itertools
import math

import pytest

from ttsc.compiler.cost.allocation.difficulty import bin_of, matched_model, quantile_edges
from ttsc.compiler.cost.allocation.resampling import Kind, best_cap, draw_value
from ttsc.compiler.cost.allocation.retrieval import Gains, Observation, Spending, best_spending, fit
from ttsc.compiler.cost.allocation.saturation import gain, saturation_of, saturation_point
from ttsc.compiler.cost.allocation.solving_verifying import (
    accuracy_of,
    best_split,
    cost_of,
    crossing,
    exponent,
)
from ttsc.compiler.cost.allocation.temperatures import best_grid, coverage, expected_samples
from ttsc.compiler.cost.closed.voting import Votes, wrong_answers
from ttsc.compiler.cost.workload import Question, Verdicts

FLAWS = (Kind(0.58, 0.87), Kind(0.42, 0.13))


@pytest.mark.parametrize(
    ("value_wrong", "samples", "published", "exact"),
    [
        (-0.7, 3, 0.5541, 0.5246),
        (-1, 2, 0.4884, 0.4724),
        (-2, 1, 0.3388, 0.3388),
        (-4, 1, 0.1184, 0.1184),
        (-8, 0, 0, 0),
    ],
)
def test_the_best_cap_of_resampling(value_wrong: float, samples: int, published: float, exact: float) -> None:
    """The table of the model's notebook (types .87 and .13, completeness 1, soundness .75), both ways."""
    as_published = best_cap(FLAWS, 1, 0.75, 1, value_wrong, published=True)
    as_derived = best_cap(FLAWS, 1, 0.75, 1, value_wrong)
    assert (as_published.samples, as_derived.samples) == (samples, samples)
    assert as_published.reward == pytest.approx(published, abs=5e-5)
    assert as_derived.reward == pytest.approx(exact, abs=5e-5)


def test_a_draw_adds_what_all_outcomes_say() -> None:
    """The first three draws, every outcome one by one, with an incomplete verifier."""
    complete, sound, value = 0.8, 0.7, -1.5
    rewards = [0.0, 0.0, 0.0]
    for kind in FLAWS:
        outcomes = {
            (True, True): kind.right * complete,
            (True, False): kind.right * (1 - complete),
            (False, True): (1 - kind.right) * (1 - sound),
            (False, False): (1 - kind.right) * sound,
        }
        for draws in itertools.product(outcomes, repeat=3):
            chance = kind.prior * math.prod(outcomes[each] for each in draws)
            for place, (right, accepted) in enumerate(draws):
                if accepted:
                    rewards[place] += chance * (1 if right else value)
                    break
    for place, reward in enumerate(rewards):
        assert draw_value(FLAWS, place + 1, complete, sound, 1, value) == pytest.approx(reward, abs=1e-12)


def test_one_type_has_no_finite_best_cap() -> None:
    assert best_cap([Kind(1, 0.5)], 0.9, 0.9, 1, -1, most=10).samples == 10
    assert best_cap([Kind(1, 0.1)], 0.5, 0.5, 1, -4, most=60).samples == 0


def test_the_saturation_point_is_the_first_small_gain() -> None:
    for p, threshold, highest in ((0.3, 0.01, 1.0), (0.05, 0.001, 0.8), (0.9, 0.05, 1.0)):
        point = saturation_point(p, threshold, highest)
        assert gain(p, point, highest) <= threshold < gain(p, point - 1, highest)
        assert saturation_of([p], threshold, highest) == point
    assert saturation_point(0.001, 0.01) == 0
    assert saturation_point(1.0, 0.01) == 1


def test_a_mean_chance_saturates_too_early() -> None:
    """Half of the inputs at 0.9, half at 0.02: the mean of the gains decays by the hard half."""
    chances = [0.9, 0.02]
    point = saturation_of(chances, 0.001)
    assert sum(gain(p, point) for p in chances) / 2 <= 0.001 < sum(gain(p, point - 1) for p in chances) / 2
    assert point > 100 > saturation_point(sum(chances) / 2, 0.001)


def workload() -> list[Question]:
    return [Question(p) for p in (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)]


def test_the_vote_is_better_at_small_budgets_and_verdicts_at_large_ones() -> None:
    accuracy = accuracy_of(workload(), Verdicts(0.85, 0.25), Votes(wrong_answers(0.4), 256))
    relative = 1.0
    found = crossing(accuracy, relative)
    assert found is not None
    assert found.cost == cost_of(found.solutions, found.verdicts, relative) == found.solutions * (1 + found.verdicts)
    below = best_split(accuracy, found.cost - 1e-6, relative)
    at = best_split(accuracy, found.cost, relative)
    above = best_split(accuracy, 256, relative)
    assert below is not None and at is not None and above is not None
    assert below.verdicts == 0
    assert at.verdicts > 0
    assert above.verdicts > 0
    assert above.accuracy >= at.accuracy > below.accuracy


def test_a_split_is_the_best_of_the_whole_grid() -> None:
    accuracy = accuracy_of(workload(), Verdicts(0.9, 0.1), Votes(wrong_answers(0.4), 64))
    sizes, counts = (1, 2, 4, 8, 16), (0, 1, 2, 4)
    for budget in (1, 7, 20, 64):
        best = best_split(accuracy, budget, 0.5, sizes, counts)
        grid = [(s, v) for s in sizes for v in counts if s * (1 + 0.5 * v) <= budget]
        assert best is not None
        assert best.accuracy == pytest.approx(max(accuracy(s, v) for s, v in grid))
    assert best_split(accuracy, 0.5, 0.5, sizes, counts) is None


def test_a_verifier_that_knows_nothing_never_pays() -> None:
    accuracy = accuracy_of(workload(), Verdicts(0.5, 0.5), Votes(wrong_answers(0.4), 256))
    assert crossing(accuracy, 1.0) is None
    assert accuracy(16, 4) == pytest.approx(sum(each.accuracy for each in workload()) / 7)


def test_an_exponent_is_the_slope_of_the_logarithms() -> None:
    budgets = [2.0**each for each in range(1, 9)]
    assert exponent(budgets, [3 * each**0.57 for each in budgets]) == pytest.approx(0.57)


def test_the_fit_for_retrieval_finds_planted_numbers() -> None:
    a, b, c = (0.31, 0.12, 0.4), (0.9, 0.5), -1.3
    tasks = [Gains(0.12, 0.03), Gains(0.3, 0.1), Gains(0.05, 0.2)]
    observations = []
    for k, m, n in itertools.product((0, 1, 5, 20), (0, 1, 8), (1, 2, 4)):
        for gains in tasks:
            logs = [math.log(each + 0.01) for each in (k, m, n)]
            value = sum(x * y for x, y in zip(a, logs, strict=True)) + c
            value += b[0] * gains.document * logs[0] + b[1] * gains.shot * logs[1]
            share = 1 / (1 + math.exp(-value))
            observations.append(Observation(Spending(k, m, n), gains, (share - 0.005) / 0.99))
    found = fit(observations)
    assert found.a == pytest.approx(a, abs=1e-6)
    assert found.b == pytest.approx(b, abs=1e-6)
    assert found.c == pytest.approx(c, abs=1e-6)
    assert found.residual < 1e-9
    grid = [Spending(k, m, n) for k, m, n in itertools.product((0, 5, 20), (0, 8), (1, 4))]
    best = best_spending(found, tasks, grid, lambda each: each.documents * 200 + each.shots * 600 <= 5000)
    assert best == Spending(20, 0, 4)
    assert best_spending(found, tasks, grid, lambda each: False) is None
    with pytest.raises(ValueError, match="two different tasks"):
        fit([each for each in observations if each.gains == tasks[0]])


def test_samples_go_to_the_temperatures_that_cover_most() -> None:
    chances = {0.0: [1.0, 0.0, 0.0], 0.6: [0.7, 0.3, 0.02], 1.2: [0.4, 0.25, 0.15]}
    for budget in (1, 3, 5):
        found = best_grid(chances, budget)
        assert sum(found.values()) <= budget
        every = [
            dict(zip(chances, counts, strict=True))
            for counts in itertools.product(range(budget + 1), repeat=3)
            if sum(counts) == budget
        ]
        assert coverage(chances, found) >= (1 - 1 / math.e) * max(coverage(chances, each) for each in every)
    single = {0.6: [0.3], 1.2: [0.4]}
    assert best_grid(single, 4) == {0.6: 0, 1.2: 4}
    assert coverage(chances, {0.0: 3, 0.6: 0, 1.2: 0}) == pytest.approx(1 / 3)
    assert coverage(chances, {0.0: 0, 0.6: 2, 1.2: 1}) == pytest.approx(
        1 - (0.09 * 0.6 + 0.49 * 0.75 + 0.98**2 * 0.85) / 3
    )


def test_leaving_early_saves_samples() -> None:
    assert expected_samples(13, 16, 0.25, 4) == pytest.approx(0.75 * 13 * 16 + 0.25 * 13 * 4)


def test_bins_of_difficulty_hold_as_many_inputs() -> None:
    accuracies = [each / 100 for each in range(100)]
    edges = quantile_edges(accuracies, 5)
    assert edges == pytest.approx((0.2, 0.4, 0.6, 0.8))
    assert [sum(bin_of(each, edges) == i for each in accuracies) for i in range(5)] == [20] * 5
    assert bin_of(0.2, edges) == 1
    assert quantile_edges([0.5] * 8, 4) == ()


def test_a_larger_model_is_matched_by_more_inference() -> None:
    """6 P D_pre + 2 P D_inf for a model of M P parameters, against 6 P D_pre + 2 P (x D_inf) for the small one."""
    larger, pretraining, inference = 14.0, 100.0, 79.0
    matched = matched_model(inference, larger, pretraining)
    assert 6 * pretraining + 2 * matched * inference == pytest.approx(larger * (6 * pretraining + 2 * inference))
