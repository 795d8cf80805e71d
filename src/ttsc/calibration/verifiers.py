"""Verifiers in figures: rates of yes/no verdicts by difficulty; numbers of right and wrong candidates, how well they
order, and how they are calibrated.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ttsc.calibration.observations import Rating
from ttsc.compiler.cost.workload import Rewards, Verdicts

EDGES = (0.0, 0.25, 0.5, 0.75)
"""Lower edges of the bins of difficulty: an input's accuracy."""
LEAST_IN_BIN = 20
"""Right candidates, and wrong ones, that a bin must have."""


def verdict_counts(ratings: Iterable[Rating], right: bool) -> dict[int, tuple[int, int]]:
    """Accepted ones and all candidates that are right (or wrong), by input; those that were judged."""
    found: dict[int, tuple[int, int]] = {}
    for each in ratings:
        if each.right is right and isinstance(each.value, bool):
            hits, size = found.get(each.input, (0, 0))
            found[each.input] = (hits + each.value, size + 1)
    return found


def verdicts(ratings: Sequence[Rating], accuracies: Mapping[int, float]) -> Verdicts:
    """By difficulty where two bins or more have enough candidates of both kinds. A rate that nothing was seen of is the
    one that a workload has by default.
    """
    assumed = Verdicts()
    accepted = _pooled(ratings, True), _pooled(ratings, False)
    rows = []
    for low, high in zip(EDGES, (*EDGES[1:], math.inf), strict=True):
        here = [each for each in ratings if low <= accuracies.get(each.input, -1) < high]
        right, wrong = _pooled(here, True), _pooled(here, False)
        if right[1] >= LEAST_IN_BIN and wrong[1] >= LEAST_IN_BIN:
            rows.append((low, right[0] / right[1], wrong[0] / wrong[1]))
    silent = sum(each.value is None for each in ratings)
    return Verdicts(
        true_positive=accepted[0][0] / accepted[0][1] if accepted[0][1] else assumed.true_positive,
        false_positive=accepted[1][0] / accepted[1][1] if accepted[1][1] else assumed.false_positive,
        by_accuracy=tuple(rows) if len(rows) > 1 else (),
        no_verdict=silent / len(ratings) if ratings else 0.0,
    )


def _pooled(ratings: Iterable[Rating], right: bool) -> tuple[int, int]:
    counts = verdict_counts(ratings, right).values()
    return sum(hits for hits, _ in counts), sum(size for _, size in counts)


def numbers(ratings: Iterable[Rating], right: bool) -> dict[int, list[float]]:
    """The numbers that right (or wrong) candidates were given, by input."""
    found: dict[int, list[float]] = defaultdict(list)
    for each in ratings:
        if each.right is right and isinstance(each.value, float):
            found[each.input].append(each.value)
    return found


def rewards(ratings: Sequence[Rating], bounded: bool) -> Rewards | None:
    """None unless right and wrong candidates were rated. `bounded`: the numbers are grades, which have ends.

    The deviation that all candidates of an input share is found from pairs of them: what their residuals have in
    common.
    """
    groups = {right: numbers(ratings, right) for right in (True, False)}
    flat = {right: [each for values in group.values() for each in values] for right, group in groups.items()}
    if not flat[True] or not flat[False]:
        return None
    means = {right: math.fsum(values) / len(values) for right, values in flat.items()}
    variances = {right: _variance(values) for right, values in flat.items()}
    residuals: dict[int, list[float]] = defaultdict(list)
    for right, group in groups.items():
        for number, values in group.items():
            residuals[number] += [each - means[right] for each in values]
    pairs = sum(len(each) * (len(each) - 1) for each in residuals.values())
    common = math.fsum(math.fsum(each) ** 2 - math.fsum(r * r for r in each) for each in residuals.values())
    shared = min(max(0.0, common / pairs) if pairs else 0.0, min(variances.values()))
    every = [*flat[True], *flat[False]]
    return Rewards(
        right_mean=means[True],
        right_sd=math.sqrt(variances[True] - shared),
        wrong_mean=means[False],
        wrong_sd=math.sqrt(variances[False] - shared),
        question_sd=math.sqrt(shared),
        low=min(every) if bounded else None,
        high=max(every) if bounded else None,
        whole=all(each == int(each) for each in every),
    )


def auc(ratings: Sequence[Rating]) -> float | None:
    """The chance that a right candidate has a greater number than a wrong one, of any inputs, ties counting half (Mann,
    Whitney). None if there are none of a kind.
    """
    right = [each for values in numbers(ratings, True).values() for each in values]
    wrong = sorted(each for values in numbers(ratings, False).values() for each in values)
    if not right or not wrong:
        return None
    won = math.fsum(bisect_left(wrong, each) + bisect_right(wrong, each) for each in right)
    return won / (2 * len(right) * len(wrong))


def calibration(ratings: Iterable[Rating], bins: int = 5) -> list[tuple[float, float, int]]:
    """`(mean number, share that is right, candidates)` of bins with about as many candidates each, the least numbers
    first. Equal numbers are in one bin.
    """
    rated = sorted((each.value, each.right) for each in ratings if isinstance(each.value, float))
    found: list[tuple[float, float, int]] = []
    start = 0
    for place in range(1, bins + 1):
        end = max(start, len(rated) * place // bins)
        while 0 < end < len(rated) and rated[end][0] == rated[end - 1][0]:
            end += 1
        here = rated[start:end]
        if here:
            found.append((math.fsum(v for v, _ in here) / len(here), sum(r for _, r in here) / len(here), len(here)))
        start = end
    return found


def _variance(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    middle = math.fsum(values) / len(values)
    return math.fsum((each - middle) ** 2 for each in values) / (len(values) - 1)
