"""Functions of numbers and of lists of numbers: elementary functions, summaries, ranks in a calibration set."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from ttsc.compiler.values.arithmetic import identity
from ttsc.compiler.values.evaluation import (
    MAX_INTEGER,
    EvaluationFailed,
    Operation,
    filled,
    is_number,
    items,
    number,
    numbers,
)
from ttsc.compiler.values.types import FLOAT, ListOf

LOGIT_EPSILON = 1e-6
"""`logit` keeps its argument this far from 0 and 1, so that it is finite: at most 13.8 either way."""


def softmax(values: list[float], temperature: float = 1.0) -> list[float]:
    """exp(v / temperature), normalised to a sum of 1; of an empty list, empty."""
    if temperature <= 0:
        raise EvaluationFailed("the temperature of a softmax must be greater than 0")
    if not values:
        return []
    top = max(values)
    powers = [math.exp((value - top) / temperature) for value in values]
    total = math.fsum(powers)
    return [power / total for power in powers]


def _logarithm(x: object) -> float:
    if number(x) <= 0:
        raise EvaluationFailed(f"`log` of {x}: it takes numbers greater than 0")
    return math.log(number(x))


def _square_root(x: object) -> float:
    if number(x) < 0:
        raise EvaluationFailed(f"`sqrt` of {x}: it takes numbers of at least 0")
    return math.sqrt(number(x))


def _exponential(x: object) -> float:
    try:
        return math.exp(number(x))
    except OverflowError as failure:
        raise EvaluationFailed(f"`exp` of {x}: number out of range") from failure


def _power(x: object, y: object) -> float:
    base, exponent = float(number(x)), float(number(y))
    if base == 0 and exponent < 0:
        raise EvaluationFailed("`power` of 0 with a negative exponent: division by zero")
    if base < 0 and not exponent.is_integer():
        raise EvaluationFailed(f"`power` of {x}: a number less than 0 takes whole exponents only")
    try:
        return math.pow(base, exponent)
    except OverflowError as failure:
        raise EvaluationFailed("`power`: number out of range") from failure


def _logit(x: object) -> float:
    """ln(x / (1 - x))."""
    if not 0 <= number(x) <= 1:
        raise EvaluationFailed(f"`logit` of {x}: it takes a probability, from 0 to 1")
    p = min(max(float(number(x)), LOGIT_EPSILON), 1 - LOGIT_EPSILON)
    return math.log(p / (1 - p))


def _sigmoid(x: object) -> float:
    """1 / (1 + exp(-x)); of large numbers without overflow."""
    if number(x) >= 0:
        return 1 / (1 + math.exp(-min(number(x), 745)))
    power = math.exp(max(number(x), -745))
    return power / (1 + power)


def _sum(values: object) -> object:
    found = numbers(values)
    return math.fsum(found) if any(isinstance(v, float) for v in found) else sum(found)


def _product(values: object) -> object:
    """1 for an empty list."""
    result: Any = 1
    for value in numbers(values):
        result = result * value
        if isinstance(result, int) and abs(result) > MAX_INTEGER:
            raise EvaluationFailed("integer out of range (64 bits)")
    return result


def mean(values: object) -> float:
    """0 for an empty list."""
    found = numbers(values)
    return math.fsum(found) / len(found) if found else 0.0


def _median(values: object) -> float:
    """The middle one, or the mean of the two middle ones."""
    ordered = sorted(number(value) for value in filled(values, "median"))
    half = len(ordered) // 2
    return float(ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2)


def _variance(values: object) -> float:
    """The mean squared distance from the mean (divided by n, not n - 1); 0 for an empty list."""
    found = numbers(values)
    centre = mean(found)
    return math.fsum((value - centre) ** 2 for value in found) / len(found) if found else 0.0


def _extreme(op: str, pick: Callable[[Any], object]) -> Callable[[object], object]:
    def extreme(values: object) -> object:
        found = filled(values, op)
        if not (all(isinstance(v, str) for v in found) or all(is_number(v) for v in found)):
            raise TypeError
        return pick(found)

    return extreme


def _percentile(x: object, values: object) -> float:
    """The share of the values that are strictly less than x."""
    found, mark = numbers(filled(values, "percentile")), float(number(x))
    return sum(value < mark for value in found) / len(found)


def _conformal_p(x: object, values: object) -> float:
    """(1 + how many values are at least x) / (1 + how many values there are): the conformal p-value of x."""
    found, mark = numbers(values), float(number(x))
    return (1 + sum(value >= mark for value in found)) / (1 + len(found))


def _entropy(values: object) -> float:
    """-sum p log2 p over the shares p of the distinct values; 0 for an empty list."""
    found = items(values)
    shares = [count / len(found) for count in Counter(identity(each) for each in found).values()]
    return math.fsum(share * -math.log2(share) for share in shares)


def _softmax(values: object, temperature: object = 1.0) -> list[float]:
    return softmax(numbers(values), number(temperature))


MATHEMATICS = (
    Operation("abs", lambda x: abs(number(x)), 1, 1, None, total=True),
    Operation("exp", _exponential, 1, 1, FLOAT),
    Operation("log", _logarithm, 1, 1, FLOAT),
    Operation("sqrt", _square_root, 1, 1, FLOAT),
    Operation("power", _power, 2, 2, FLOAT),
    Operation("logit", _logit, 1, 1, FLOAT),
    Operation("sigmoid", _sigmoid, 1, 1, FLOAT, total=True),
    Operation("softmax", _softmax, 1, 2, ListOf(FLOAT)),
    Operation("sum", _sum, 1, 1, None),
    Operation("product", _product, 1, 1, None),
    Operation("mean", mean, 1, 1, FLOAT),
    Operation("median", _median, 1, 1, FLOAT),
    Operation("variance", _variance, 1, 1, FLOAT),
    Operation("entropy", _entropy, 1, 1, FLOAT, total=True),
    Operation("minimum", _extreme("minimum", min), 1, 1, None),
    Operation("maximum", _extreme("maximum", max), 1, 1, None),
    Operation("percentile", _percentile, 2, 2, FLOAT),
    Operation("conformal_p", _conformal_p, 2, 2, FLOAT, total=True),
)
