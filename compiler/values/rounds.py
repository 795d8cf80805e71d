"""Rounds of comparisons: who meets whom in a tournament, and who has won how often."""

from __future__ import annotations

from ttsc.compiler.values.evaluation import EvaluationFailed, Operation, boolean, items, items_fit
from ttsc.compiler.values.lists import pair
from ttsc.compiler.values.types import FLOAT, ListOf


def _pairs(values: object) -> list[dict[str, object]]:
    """Neighbours: first and second, third and fourth; the odd one out is paired with none and so goes through."""
    found = items(values)
    return [pair(found[i], found[i + 1] if i + 1 < len(found) else None) for i in range(0, len(found), 2)]


def _combinations(values: object) -> list[dict[str, object]]:
    """Each with each that comes later: (0, 1), (0, 2), …, (1, 2), …"""
    found = items(values)
    items_fit(len(found) * (len(found) - 1) // 2)
    return [pair(a, b) for i, a in enumerate(found) for b in found[i + 1 :]]


def _wins(values: object, verdicts: object) -> list[float]:
    """How often each element won, a draw being half a win."""
    n, found = len(items(values)), items(verdicts)
    if len(found) != n * (n - 1) // 2:
        raise EvaluationFailed(f"a round robin of {n} takes {n * (n - 1) // 2} comparisons, and {len(found)} are there")
    wins = [0.0] * n
    at = 0
    for i in range(n):
        for j in range(i + 1, n):
            verdict = found[at]
            at += 1
            share = 0.5 if verdict is None else float(boolean(verdict))
            wins[i] += share
            wins[j] += 1 - share
    return wins


ROUNDS = (
    Operation("pairs", _pairs, 1, 1, None, foldable=False, total=True),
    Operation("combinations", _combinations, 1, 1, None, foldable=False),
    Operation("round_robin_wins", _wins, 2, 2, ListOf(FLOAT)),
)
