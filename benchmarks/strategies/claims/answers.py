"""Pools of candidates as arrays: which answers are right, and what a choice among some of them gives on average."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy

from benchmarks.strategies.data_file import Measured
from benchmarks.testbed.inputs import rows

_SEED = 20261122


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


def majority_of(pool: Sequence[Any], gold: str, size: int, draws: int, numbers: numpy.random.Generator) -> float:
    """How often the commonest of `size` answers, drawn without replacement, is right; ties go to the first."""
    hits = 0
    for _ in range(draws):
        votes = Counter(
            each for each in numbers.permutation(numpy.array(pool, dtype=object))[:size] if each is not None
        )
        hits += bool(votes) and votes.most_common(1)[0][0] == gold
    return hits / draws


def majorities(measured: Measured, size: int, draws: int = 100) -> numpy.ndarray:
    """Expected accuracy of a majority of `size`, by problem."""
    numbers = numpy.random.default_rng(_SEED)
    pairs = zip(measured.values, golds(measured), strict=True)
    return numpy.array([majority_of(answers(pool), gold, size, draws, numbers) for pool, gold in pairs])
