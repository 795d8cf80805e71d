"""What programs write on candidates: scores, step rewards and answers; one score from step rewards."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from ttsc.compiler.values.abstain import ABSTAINED
from ttsc.compiler.values.evaluation import EvaluationFailed, Operation, number, numbers, text
from ttsc.compiler.values.types import CANDIDATE, FLOAT

REDUCTIONS = ("last", "min", "mean", "prod", "max", "sum", "whole")
"""Ways to make one score of step rewards. `whole`: the candidate was scored as one step, whose reward it is."""


def _with_score(candidate: Any, score: object) -> object:
    return replace(candidate, score=float(number(score)))


def _with_scores(candidate: Any, scores: object, score: object) -> object:
    return replace(candidate, scores=tuple(float(each) for each in numbers(scores)), score=float(number(score)))


def _with_answer(candidate: Any, answer: object) -> object:
    """An abstention is no answer."""
    return replace(candidate, answer=None if answer is None or answer == ABSTAINED else text(answer))


def _reduced(scores: object, otherwise: object = None, *, attr: str) -> float:
    """One of the reductions of step rewards; `otherwise` if there is no step (published code takes -1 there)."""
    found = [float(each) for each in numbers(scores)]
    if attr not in REDUCTIONS:
        raise EvaluationFailed(f"there is no reduction `{attr}` of step rewards")
    if not found:
        if otherwise is None:
            raise EvaluationFailed("no step of the candidate has a reward")
        return float(number(otherwise))
    match attr:
        case "min":
            return min(found)
        case "max":
            return max(found)
        case "mean":
            return math.fsum(found) / len(found)
        case "sum":
            return math.fsum(found)
        case "prod":
            return math.prod(found)
        case _:
            return found[-1]


CANDIDATES = (
    Operation("with_score", _with_score, 2, 2, CANDIDATE, foldable=False, total=True),
    Operation("with_scores", _with_scores, 3, 3, CANDIDATE, foldable=False, total=True),
    Operation("with_answer", _with_answer, 2, 2, CANDIDATE, foldable=False, total=True),
    Operation("reduce_scores", _reduced, 1, 2, FLOAT, uses_attr=True),
)
