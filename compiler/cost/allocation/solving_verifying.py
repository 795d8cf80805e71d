"""Solving or verifying: S solutions with V verdicts on each cost S (1 + lambda V), in tokens of one solution, where
lambda is how long a verdict is against a solution ("When To Solve, When To Verify", Singhi et al. 2025).

V = 0 is the plain vote (self-consistency); else the solution with the greatest share of "yes" wins. Compare them at
equal cost, never at equal S.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ttsc.compiler.cost.closed.choosing import best_of_n, yes_levels
from ttsc.compiler.cost.closed.verified import rates
from ttsc.compiler.cost.closed.voting import Votes
from ttsc.compiler.cost.workload import Question, Verdicts

SOLUTIONS = tuple(2**each for each in range(9))
VERDICTS = tuple(2**each for each in range(6))

Accuracy = Callable[[int, int], float]
"""Mean accuracy of S solutions with V verdicts each."""


@dataclass(frozen=True, slots=True)
class Split:
    """`cost` in tokens of one solution."""

    solutions: int
    verdicts: int
    cost: float
    accuracy: float


def cost_of(solutions: int, verdicts: int, relative: float) -> float:
    """S (1 + lambda V)."""
    return solutions * (1 + relative * verdicts)


def accuracy_of(questions: Sequence[Question], verdicts: Verdicts, votes: Votes) -> Accuracy:
    """What S solutions and V verdicts each give on a workload, by the formulas of votes and of the best of n."""
    weights = math.fsum(each.weight for each in questions)

    def accuracy(solutions: int, count: int) -> float:
        total = 0.0
        for each in questions:
            if count == 0:
                total += each.weight * votes.accuracy(each.accuracy, solutions)
            else:
                chances = rates(verdicts, each.accuracy)
                right, wrong = yes_levels(chances.right, count), yes_levels(chances.wrong, count)
                total += each.weight * best_of_n(each.accuracy, solutions, right, wrong)
        return total / weights

    return accuracy


def best_split(
    accuracy: Accuracy,
    budget: float,
    relative: float,
    solutions: Sequence[int] = SOLUTIONS,
    verdicts: Sequence[int] = (0, *VERDICTS),
) -> Split | None:
    """The most accurate split on the grid that costs no more than `budget`, the cheaper of equals; None if none
    does.
    """
    best: Split | None = None
    for each in solutions:
        for count in verdicts:
            cost = cost_of(each, count, relative)
            if cost > budget + 1e-9:
                continue
            split = Split(each, count, cost, accuracy(each, count))
            if best is None or (split.accuracy, -split.cost) > (best.accuracy + 1e-12, -best.cost):
                best = split
    return best


def crossing(
    accuracy: Accuracy,
    relative: float,
    solutions: Sequence[int] = SOLUTIONS,
    verdicts: Sequence[int] = VERDICTS,
) -> Split | None:
    """The cheapest split with verdicts that is at least as accurate as the best vote for the same cost, and more
    accurate than every cheaper vote; None if the vote is better at every cost of the grid.
    """
    votes = {each: accuracy(each, 0) for each in solutions}
    grid = sorted((cost_of(each, count, relative), each, count) for each in solutions for count in verdicts)
    for cost, each, count in grid:
        if cost > max(solutions):
            return None
        vote = max(votes[number] for number in solutions if number <= cost + 1e-9)
        found = accuracy(each, count)
        if found > vote:
            return Split(each, count, cost, found)
    return None


def exponent(budgets: Sequence[float], chosen: Sequence[float]) -> float:
    """The slope a of log(chosen) over log(budget), least squares: chosen ~ budget^a."""
    xs, ys = [math.log(each) for each in budgets], [math.log(each) for each in chosen]
    mean_x, mean_y = math.fsum(xs) / len(xs), math.fsum(ys) / len(ys)
    spread = math.fsum((x - mean_x) ** 2 for x in xs)
    if spread == 0:
        raise ValueError("a slope needs two budgets")
    return math.fsum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
