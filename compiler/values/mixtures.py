"""A mixture of two Weibull distributions, fitted to numbers by maximum likelihood (RPC's reasoning pruning).

Densities f(x) = (k / l) (x / l)^(k - 1) exp(-(x / l)^k) with shape k and scale l; the mixture is w f1 + (1 - w) f2. The
start and the bounds are those of RPC's published code (WNJXYK/RPC); no other start is tried, so that equal numbers give
an equal fit. The component of the greater mean, l Gamma(1 + 1/k), is the upper one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ttsc.compiler.values.evaluation import EvaluationFailed, Operation, numbers
from ttsc.compiler.values.types import FLOAT, ListOf

FEWEST = 8
"""Of fewer numbers no mixture is fitted."""
_START = (0.5, 1.0, 1.0, 1.5, 2.0)
"""w, k1, l1, k2, l2."""
_BOUNDS = ((0.2, 0.8), *((0.01, None),) * 4)
_LEAST = 1e-12
"""A number of 0 counts as this, so that its logarithm is finite."""
_MOST_STEPS = 500
"""Of the search. Usual data take some 50; where a component shrinks around equal numbers it has no end."""
_MOST_POWER = 100.0
"""Greatest exponent taken of e: (x / l)^k beyond it makes a density 0 in any case, and is finite times anything."""


@dataclass(frozen=True, slots=True)
class WeibullMixture:
    """Weight of the first component, then shape and scale of each."""

    weight: float
    shapes: tuple[float, float]
    scales: tuple[float, float]

    def means(self) -> tuple[float, float]:
        """Of each component; infinite where it is out of range."""
        return _mean(self.shapes[0], self.scales[0]), _mean(self.shapes[1], self.scales[1])


def _mean(shape: float, scale: float) -> float:
    log_mean = math.log(scale) + math.lgamma(1 + 1 / shape)
    return math.exp(log_mean) if log_mean < 700 else math.inf


def _log_density(x: Any, shape: float, scale: float) -> Any:
    """Of each number of an array; beside it log(x / scale) and (x / scale)^shape."""
    import numpy as np

    ratio = np.log(x) - math.log(scale)
    power = np.exp(np.minimum(shape * ratio, _MOST_POWER))
    return math.log(shape) - math.log(scale) + (shape - 1) * ratio - power, ratio, power


def _objective(parameters: Any, x: Any) -> tuple[float, Any]:
    """Minus the log-likelihood, and its gradient by w, k1, l1, k2, l2."""
    import numpy as np

    w, shapes, scales = float(parameters[0]), parameters[1::2], parameters[2::2]
    first, second = (_log_density(x, float(k), float(s)) for k, s in zip(shapes, scales, strict=True))
    whole = np.logaddexp(math.log(w) + first[0], math.log1p(-w) + second[0])
    gradient = [-float(np.sum(np.exp(first[0] - whole) - np.exp(second[0] - whole)))]
    for share, (log_density, ratio, power), k, s in (
        (w, first, float(shapes[0]), float(scales[0])),
        (1 - w, second, float(shapes[1]), float(scales[1])),
    ):
        belongs = share * np.exp(log_density - whole)
        gradient.append(-float(np.sum(belongs * (1 / k + ratio * (1 - power)))))
        gradient.append(-float(np.sum(belongs * (k / s) * (power - 1))))
    return -float(np.sum(whole)), np.array(gradient)


def fitted(values: Sequence[float]) -> WeibullMixture | None:
    """The mixture, by L-BFGS-B within bounds. None without one: too few numbers, all equal, or the search diverged."""
    if len(values) < FEWEST or min(values) == max(values):
        return None
    import numpy as np
    from scipy.optimize import minimize

    x = np.maximum(np.array(values, dtype=float), _LEAST)
    with np.errstate(over="ignore", invalid="ignore"):
        found = minimize(
            _objective, np.array(_START), (x,), "L-BFGS-B", jac=True, bounds=_BOUNDS, options={"maxiter": _MOST_STEPS}
        )
    parameters = [float(each) for each in found.x]
    if not math.isfinite(float(found.fun)) or not all(math.isfinite(each) for each in parameters):
        return None
    w, k1, s1, k2, s2 = parameters
    return WeibullMixture(w, (k1, k2), (s1, s2))


def upper_shares(values: Sequence[float]) -> list[float]:
    """For each number the posterior probability that it is of the upper component; 1 for each without a fit."""
    mixture = fitted(values)
    if mixture is None:
        return [1.0] * len(values)
    import numpy as np

    x = np.maximum(np.array(values, dtype=float), _LEAST)
    weights = (mixture.weight, 1 - mixture.weight)
    logs = [
        math.log(weight) + _log_density(x, shape, scale)[0]
        for weight, shape, scale in zip(weights, mixture.shapes, mixture.scales, strict=True)
    ]
    means = mixture.means()
    upper = 0 if means[0] >= means[1] else 1
    shares = np.exp(logs[upper] - np.logaddexp(logs[0], logs[1]))
    return [float(each) for each in shares]


def _weibull_upper(values: object) -> list[float]:
    found = numbers(values)
    if any(each < 0 for each in found):
        raise EvaluationFailed(f"`weibull_upper` of {min(found)}: it takes numbers of at least 0")
    return upper_shares([float(each) for each in found])


MIXTURES = (Operation("weibull_upper", _weibull_upper, 1, 1, ListOf(FLOAT)),)
