"""The claim about a generative verifier, against voting at equal cost (When To Solve, When To Verify, 2504.01005).

S solutions with V checks each cost S (1 + lambda V) solutions, lambda being tokens of a check over tokens of a
solution, and are compared with a vote of equal cost.
"""

from __future__ import annotations

import math

import numpy

from benchmarks.strategies.claims.answers import golds, majorities, rates
from benchmarks.strategies.claims.claim import Examined, Found
from benchmarks.strategies.data_file import Measured
from benchmarks.strategies.statistics import mean

_POOL = "pool-one-temperature"


def best_of(pool: Measured, solutions: int) -> numpy.ndarray:
    """Expected accuracy of the best of so many solutions by the share of their checks that say yes, by problem, over
    all subsets of the pool. Of equal ones each wins as often.
    """
    found = []
    for candidates, gold in zip(pool.values, golds(pool), strict=True):
        scores = [_score(each) for each in candidates]
        ways, total, below = math.comb(len(candidates), solutions), 0.0, 0
        for level in sorted(set(scores)):
            of_level = [each for each, score in zip(candidates, scores, strict=True) if score == level]
            highest = math.comb(below + len(of_level), solutions) - math.comb(below, solutions)
            total += highest / ways * sum(each[0] == gold for each in of_level) / len(of_level)
            below += len(of_level)
        found.append(total)
    return numpy.array(found)


def _score(candidate: tuple[str | None, int, int]) -> float:
    """Of one with an answer the share of yes among the verdicts that were read, 0 without any."""
    answer, yes, read = candidate
    return yes / read if read and answer is not None else 0.0


def modelled(pool: Measured, right: numpy.ndarray, solutions: int, checks: int) -> float:
    """The accuracy that follows from the judge's rates alone, were verdicts independent of each other and the same for
    every problem: each solution is right with r_i and scores a share of `checks` that is binomial with rate c or f.
    """
    accepted, asked = {True: 0, False: 0}, {True: 0, False: 0}
    for candidates, gold in zip(pool.values, golds(pool), strict=True):
        for answer, yes, read in candidates:
            if answer is not None:
                accepted[answer == gold] += yes
                asked[answer == gold] += read
    c, f = accepted[True] / asked[True], accepted[False] / asked[False]
    good = numpy.array([math.comb(checks, k) * c**k * (1 - c) ** (checks - k) for k in range(checks + 1)])
    bad = numpy.array([math.comb(checks, k) * f**k * (1 - f) ** (checks - k) for k in range(checks + 1)])
    total = numpy.zeros(len(right))
    for k in range(checks + 1):
        hit, miss = right * good[k], (1 - right) * bad[k]
        at_most = right * good[: k + 1].sum() + (1 - right) * bad[: k + 1].sum()
        below = at_most - hit - miss
        chance = at_most**solutions - numpy.maximum(0.0, below) ** solutions  # that k is the greatest
        total += numpy.where(hit + miss > 0, hit / numpy.maximum(1e-12, hit + miss), 0.0) * chance
    return float(total.mean())


def _crosses(found: Found) -> tuple[bool, str, tuple[tuple[str, ...], ...]]:
    pool, votes = found["pool-judge"], found[_POOL]
    right, most = rates(votes), votes.settings["n"]
    solved = sum(pool.roles["policy.decoded"]) / sum(pool.roles["policy.calls"])
    checked = sum(pool.roles["judge.decoded"]) / sum(pool.roles["judge.calls"])
    ratio = checked / solved
    by_vote = majorities(votes)
    table: list[tuple[str, ...]] = [
        (
            "S",
            "V",
            "cost",
            "best by the judge",
            "predicted",
            "a vote of this cost",
            "difference",
            "predicted difference",
        )
    ]
    agree, sure, ahead = 0, 0, []
    checks = int(pool.settings["checks"])
    for size in (1, 2, 4, 8, 16):
        cost = size * (1 + ratio * checks)
        if size > pool.settings["n"] or cost > most:
            continue
        ours, theirs = best_of(pool, size), _between(by_vote, cost)
        gain = mean(ours - theirs)
        model = modelled(pool, right, size, checks)
        told = model - float(theirs.mean())
        table.append(
            (
                str(size),
                str(checks),
                f"{cost:.1f}",
                _percent(float(ours.mean())),
                _percent(model),
                _percent(float(theirs.mean())),
                gain.percent(sign=True),
                f"{100 * told:+.1f} %",
            )
        )
        if gain.low > 0 or gain.high < 0:
            sure += 1
            agree += (gain.value > 0) == (told > 0)
        if gain.low > 0:
            ahead.append(cost)
    said = (
        f"A check costs {ratio:.2f} of a solution's tokens (lambda), so S solutions with V checks cost S (1 + "
        f"{ratio:.2f} V). The judge's best "
        f"is ahead of a vote of equal cost from a cost of {min(ahead):.1f} solutions on. "
        if ahead
        else f"A check costs {ratio:.2f} of a solution's tokens (lambda). The judge's best is nowhere "
        "surely ahead of a vote of equal cost. "
    ) + (
        f"Where the difference is sure, its sign is the predicted one in {agree} of {sure} cases. Predicted is what "
        f"follows "
        "from the judge's rates of yes and the problems' rates of right solutions alone."
    )
    return agree == sure and sure > 0, said, tuple(table)


def _between(by_size: dict[int, numpy.ndarray], size: float) -> numpy.ndarray:
    """Of a size that is no whole number, between its neighbours."""
    below, above = math.floor(size), math.ceil(size)
    part = size - below
    return (1 - part) * by_size[below] + part * by_size[above]


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


CLAIMS = (Examined("A generative verifier crosses the vote where cost and rates say", (_POOL, "pool-judge"), _crosses),)
