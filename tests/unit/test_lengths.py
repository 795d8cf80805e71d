"""Distributions of lengths and accuracies: moments, survival, order statistics against their definitions."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from ttsc.compiler.cost.distributions import Lengths, beta_cdf, beta_means


def test_moments_and_survival_of_values() -> None:
    lengths = Lengths((10, 20, 20, 50))
    assert (lengths.mean, lengths.second_moment) == (25, (100 + 400 + 400 + 2500) / 4)
    assert [lengths.survival(each) for each in (0, 10, 19.5, 20, 49, 50)] == [1, 0.75, 0.75, 0.25, 0.25, 0]
    assert lengths.capped(20).values == (10, 20, 20, 20)


@pytest.mark.parametrize("values", [(), (-1, 2), (3, 2)])
def test_what_is_no_distribution(values: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="lengths are"):
        Lengths(values)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_order_statistics_by_enumeration(n: int) -> None:
    lengths = Lengths((1, 2, 2, 7, 11))
    for k in range(1, n + 1):
        drawn = [sorted(each)[k - 1] for each in itertools.product(lengths.values, repeat=n)]
        assert lengths.order_statistic(k, n) == pytest.approx(sum(drawn) / len(drawn))


@pytest.mark.parametrize(("mean", "cv"), [(200, 0.6), (1000, 1.5), (40, 0.1)])
def test_lognormal_has_the_moments_that_were_asked_for(mean: float, cv: float) -> None:
    lengths = Lengths.lognormal(mean, cv, points=20_000)
    assert lengths.mean == pytest.approx(mean, rel=2e-3)
    assert lengths.second_moment == pytest.approx(mean**2 * (1 + cv**2), rel=2e-2)
    median = mean / math.sqrt(1 + cv**2)
    assert lengths.survival(median) == pytest.approx(0.5, abs=0.01 + 0.4 / (median * cv))


def test_quantiles_are_linear_between() -> None:
    lengths = Lengths.from_quantiles([(0, 0), (0.5, 100), (1, 1000)], points=10_000)
    assert lengths.survival(50) == pytest.approx(0.75, abs=0.01)
    assert lengths.survival(550) == pytest.approx(0.25, abs=0.01)


def test_draws_follow_the_distribution_and_those_beyond_a_length_too() -> None:
    lengths, source = Lengths((5, 10, 15, 20)), random.Random(1)
    drawn = [lengths.draw(source) for _ in range(8000)]
    assert {each: drawn.count(each) / 8000 for each in lengths.values} == pytest.approx(
        dict.fromkeys(lengths.values, 0.25), abs=0.02
    )
    beyond = [lengths.draw_beyond(10, source) for _ in range(200)]
    assert set(beyond) == {15, 20}
    assert lengths.draw_beyond(20, source) is None


@pytest.mark.parametrize(("a", "b"), [(2.0, 1.5), (0.3, 0.2), (100.0, 300.0), (1.0, 1.0), (30.0, 2.0)])
def test_beta_by_integrating_its_density(a: float, b: float) -> None:
    """The density in t, x = (1 - cos(pi t)) / 2, which has no pole at the ends for a, b of 0.5 or more."""
    n = 40_000
    xs = [(1 - math.cos(math.pi * (i + 0.5) / n)) / 2 for i in range(n)]
    weights = [x ** (a - 0.5) * (1 - x) ** (b - 0.5) for x in xs]
    total = sum(weights)
    at = (1 - math.cos(math.pi * (n // 3) / n)) / 2
    tolerance = 2e-3 if min(a, b) < 0.5 else 1e-4
    assert beta_cdf(at, a, b) == pytest.approx(sum(weights[: n // 3]) / total, abs=tolerance)


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_values_for_a_beta_distribution_have_its_mean_and_nearly_its_variance(count: int) -> None:
    a, b = 2.0, 1.5
    values = beta_means(a, b, count)
    assert sum(values) / count == pytest.approx(a / (a + b))
    variance = sum((each - a / (a + b)) ** 2 for each in values) / count
    full = a * b / ((a + b) ** 2 * (a + b + 1))
    assert variance <= full
    if count == 64:
        assert variance == pytest.approx(full, rel=0.01)
