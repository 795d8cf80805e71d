"""Intervals: against tables and formulas, and that they hold what they promise."""

from __future__ import annotations

import math
import random

import pytest

from ttsc.calibration.intervals import Interval, mean, rate, student

T_TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 5: 2.571, 10: 2.228, 23: 2.069, 30: 2.042, 100: 1.984}


@pytest.mark.parametrize(("freedom", "expected"), T_TABLE.items())
def test_students_quantiles_are_those_of_the_table(freedom: int, expected: float) -> None:
    assert student(freedom) == pytest.approx(expected, abs=0.004)


def test_independent_samples_have_wilsons_interval() -> None:
    found = rate([(1, 1)] * 30 + [(0, 1)] * 70)
    assert found is not None
    z, n, p = student(99), 100 / (100 / 99), 0.3  # the cluster variance divides by 99
    center, spread = (p + z * z / (2 * n)) / (1 + z * z / n), 0.0
    spread = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert (found.low, found.high) == pytest.approx((center - spread, center + spread))
    assert (found.estimate, found.samples, found.inputs) == (0.3, 100, 100)


def test_samples_that_are_all_alike_count_once_for_each_input() -> None:
    alike, once = rate([(10, 10)] * 5 + [(0, 10)] * 5), rate([(1, 1)] * 5 + [(0, 1)] * 5)
    assert alike is not None and once is not None
    assert (alike.low, alike.high) == pytest.approx((once.low, once.high))


def test_nothing_seen_is_no_certainty() -> None:
    none = rate([(0, 16)] * 4)
    assert none is not None and none.low == 0.0 and none.high > 0.5
    one = rate([(3, 4)])
    assert one is not None and one.high - one.low > 0.8
    assert rate([]) is None and rate([(0, 0)]) is None and mean({}) is None


def test_the_mean_of_clusters() -> None:
    found = mean({0: [1.0, 1.0], 1: [3.0, 3.0], 2: [2.0, 2.0]})
    assert found is not None and found.estimate == 2.0
    assert found.half_width == pytest.approx(student(2) * math.sqrt(1 / 3))
    single = mean({0: [1.0, 5.0]})
    assert single is not None and single.estimate == 3.0 and single.half_width == math.inf


def test_four_times_the_inputs_halve_the_width() -> None:
    assert Interval(0.5, 0.4, 0.6, 100, 20).enough(0.05) == 80
    assert Interval(0.5, 0.4, 0.6, 100, 20).enough(0.1) == 20
    assert Interval(0.5, 0.5, 0.5, 100, 20).enough(0.05) == 2


@pytest.mark.parametrize(("inputs", "samples"), [(12, 8), (30, 16), (60, 4)])
def test_the_true_rate_is_inside_as_often_as_promised(inputs: int, samples: int) -> None:
    """Rates of inputs are drawn from Beta(1.2, 0.8), as clustered as calibration meets them."""
    numbers, held, rounds = random.Random(5), 0, 400
    for _ in range(rounds):
        rates = [numbers.betavariate(1.2, 0.8) for _ in range(inputs)]
        found = rate([(sum(numbers.random() < p for _ in range(samples)), samples) for p in rates])
        assert found is not None
        held += found.low <= 0.6 <= found.high
    assert held / rounds > 0.925


def test_the_true_mean_is_inside_as_often_as_promised() -> None:
    numbers, held, rounds = random.Random(6), 0, 400
    for _ in range(rounds):
        levels = [numbers.gauss(10, 3) for _ in range(15)]
        found = mean({i: [level + numbers.gauss(0, 1) for _ in range(8)] for i, level in enumerate(levels)})
        assert found is not None
        held += found.low <= 10 <= found.high
    assert held / rounds > 0.925
