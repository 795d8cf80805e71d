"""AB-MCTS-M's posterior predictive distribution (2503.04412) against plain quadrature over all three parameters.

y = alpha_j + sigma_y e, alpha_j ~ N(mu, sigma_a), mu ~ N(.5, .2), sigma_a ~ HalfNormal(.2), sigma_y ~ HalfNormal(.3).
Here the likelihood of a group is that of the normal vector whose covariance is sigma_y^2 I + sigma_a^2 J, by its own
inverse, at each point of a grid over (mu, sigma_a, sigma_y); nothing is integrated analytically but the group means.
"""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest

from ttsc.compiler.values.mixed_model import Group, group, posterior
from ttsc.compiler.values.trees import Moments

DATA = ([0.2, 0.35, 0.3], [0.8, 0.9], [0.55], [])
POINTS = 48


def moments(values: list[float]) -> Moments:
    found = Moments()
    for value in values:
        found = found.with_value(value)
    return found


def log_density(values: list[float], mu: float, between: float, within: float) -> float:
    n = len(values)
    if not n:
        return 0.0
    covariance = within**2 * np.eye(n) + between**2 * np.ones((n, n))
    away = np.array(values) - mu
    sign, log_determinant = np.linalg.slogdet(covariance)
    assert sign > 0
    return float(-0.5 * (away @ np.linalg.solve(covariance, away) + log_determinant))


def by_quadrature() -> list[tuple[float, float]]:
    """Mean and standard deviation of the next value of each group and of a new one."""
    mus = np.linspace(-0.1, 1.1, 25)
    betweens = (np.arange(POINTS) + 0.5) / POINTS * 0.8
    withins = (np.arange(POINTS) + 0.5) / POINTS * 1.0
    total, firsts, seconds = 0.0, np.zeros(len(DATA) + 1), np.zeros(len(DATA) + 1)
    a, w, m = np.meshgrid(betweens, withins, mus, indexing="ij")
    logs = -((m - 0.5) ** 2) / (2 * 0.2**2) - a**2 / (2 * 0.2**2) - w**2 / (2 * 0.3**2)
    for values in DATA:
        n = len(values)
        if n:  # of sigma_y^2 I + sigma_a^2 J the eigenvalues are sigma_y^2 (n - 1 times) and sigma_y^2 + n sigma_a^2
            mean = sum(values) / n
            along = n * (mean - m) ** 2
            across = sum((v - mean) ** 2 for v in values)
            greater = w**2 + n * a**2
            logs = logs - 0.5 * (along / greater + across / w**2 + np.log(greater) + (n - 1) * np.log(w**2))
    weights = np.exp(logs - logs.max())
    total = weights.sum()
    for j, values in enumerate((*DATA, [])):
        n = len(values)
        share = n * a**2 / (n * a**2 + w**2)
        centre = m + share * ((sum(values) / n if n else 0.0) - m)
        spread = a**2 * (1 - share) + w**2
        firsts[j] = (weights * centre).sum() / total
        seconds[j] = (weights * (spread + centre**2)).sum() / total
    return [(float(f), math.sqrt(float(s - f * f))) for f, s in zip(firsts, seconds, strict=True)]


def test_the_eigenvalues_that_the_quadrature_uses() -> None:
    values, mu, between, within = [0.2, 0.35, 0.3], 0.4, 0.15, 0.1
    n, mean = 3, sum(values) / 3
    greater = within**2 + n * between**2
    by_parts = -0.5 * (
        n * (mean - mu) ** 2 / greater
        + sum((v - mean) ** 2 for v in values) / within**2
        + math.log(greater)
        + (n - 1) * math.log(within**2)
    )
    assert log_density(values, mu, between, within) == pytest.approx(by_parts)


def test_draws_have_the_predictive_moments() -> None:
    """Within 4 standard errors of 4,000 draws, and 1 % for the grid of the reference."""
    wanted = by_quadrature()
    rng = Random(5)
    made = posterior([group(moments(values)) for values in DATA])
    drawn = np.array([made.draw(rng) for _ in range(4000)])
    for j, (mean, deviation) in enumerate(wanted):
        assert drawn[:, j].mean() == pytest.approx(mean, abs=4 * deviation / math.sqrt(4000) + 0.002)
        assert drawn[:, j].std() == pytest.approx(deviation, rel=0.06)
    assert wanted[0][0] < wanted[2][0] < wanted[1][0], "groups keep means of their own, drawn towards each other"
    assert wanted[0][0] > 0.3 - 0.02 and wanted[1][0] < 0.85, "shrunken"


def test_nothing_seen_is_the_prior() -> None:
    """Of y: variance .2^2 + E sigma_a^2 + E sigma_y^2 = .04 + .04 + .09: the mean square of a half-normal is s^2."""
    made = posterior([])
    weights = made.weights()
    variance = 0.04 + sum(p * (a**2 + y**2) for p, (a, y) in zip(weights, made.scales, strict=True))
    assert variance == pytest.approx(0.17, rel=0.005)


def test_equal_values_have_a_proper_posterior() -> None:
    made = posterior([group(moments([0.5] * 6)), group(moments([0.5] * 3))])
    assert all(math.isfinite(value) for value in made.draw(Random(0)))
    assert group(moments([0.25, 0.75])) == Group(2, 0.5, 0.125)
