"""Pools of candidates as arrays: which answers are right, and what a choice among some of them gives on average."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy

from benchmarks.strategies.data_file import Measured
from benchmarks.testbed.inputs import rows

_SEED = 20261122
_DRAWS = 200


@cache
def _golds(count: int, seed: int) -> tuple[str, ...]:
    return tuple(each["gold"] for each in rows(count, seed))


def golds(measured: Measured) -> tuple[str, ...]:
    """The right answers of its problems."""
    return _golds(measured.problems, measured.provenance["problem_seed"])


def answers(candidates: Sequence[Any]) -> list[Any]:
    """Of one problem; a candidate is its answer, or a list that begins with it."""
    return [each[0] if isinstance(each, list) else each for each in candidates]


def coverage(measured: Measured, right: Sequence[str]) -> list[int]:
    """pass@n: whether any candidate of each problem is right."""
    return [int(gold in answers(pool or [])) for pool, gold in zip(measured.values, right, strict=True)]


def rates(measured: Measured) -> numpy.ndarray:
    """The share of right candidates of each problem."""
    found = zip(measured.values, golds(measured), strict=True)
    return numpy.array([numpy.mean([each == gold for each in answers(pool)]) for pool, gold in found])


def majorities(measured: Measured) -> dict[int, numpy.ndarray]:
    """Expected accuracy of a majority of each size, by problem: answers drawn without replacement, `_DRAWS` times. The
    first of equal counts wins, which in a random order is each of them as often.
    """
    numbers = numpy.random.default_rng(_SEED)
    found = []
    for pool, gold in zip(measured.values, golds(measured), strict=True):
        given = answers(pool)
        names = [gold, *sorted({each for each in given if each is not None} - {gold})]
        votes = numpy.array([[int(each == name) for name in names] for each in given])
        orders = numpy.argsort(numbers.random((_DRAWS, len(given))), axis=1)
        counts = votes[orders].cumsum(axis=1)  # draw, size, answer
        most = counts.max(axis=2, keepdims=True)
        tied = (counts == most) & (most > 0)
        won = tied[:, :, 0] / numpy.maximum(1, tied.sum(axis=2))
        found.append(won.mean(axis=0))
    by_size = numpy.array(found).T
    return dict(enumerate(by_size, 1))
