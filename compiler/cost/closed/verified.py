"""Verdicts of an imperfect verifier: who votes, who is returned, how long it takes until one is accepted."""

from __future__ import annotations

from dataclasses import dataclass

from ttsc.compiler.cost.closed.voting import Votes
from ttsc.compiler.cost.workload import Verdicts


@dataclass(frozen=True, slots=True)
class Rates:
    """P(accepted | right), P(accepted | wrong)."""

    right: float
    wrong: float


def rates(verdicts: Verdicts, accuracy: float) -> Rates:
    """A verifier's rates on an input of this accuracy. A reply that is no verdict accepts nothing."""
    right, wrong = verdicts.true_positive, verdicts.false_positive
    for edge, true_positive, false_positive in verdicts.by_accuracy:
        if accuracy >= edge:
            right, wrong = true_positive, false_positive
    return Rates(right * (1 - verdicts.no_verdict), wrong * (1 - verdicts.no_verdict))


def accepted(right: float, rates: Rates) -> float:
    """P(one sample is accepted)."""
    return right * rates.right + (1 - right) * rates.wrong


def right_if_accepted(right: float, rates: Rates) -> float:
    """P(right | accepted), which no number of samples exceeds: p TPR / (p TPR + (1 - p) FPR); p if nothing is."""
    chance = accepted(right, rates)
    return right if chance == 0 else right * rates.right / chance


def verified_vote(
    votes: Votes, right: float, n: int, rates: Rates, otherwise: bool = True, valid: float = 1.0
) -> float:
    """P(the majority of the accepted is right). `otherwise`: if none is accepted all of them vote, which then are n
    that gave no accepted answer; else nothing is answered. `valid`: chance that a sample gives an answer; one that
    gives none is no vote, accepted or not.
    """
    chance = accepted(right, rates)
    if chance <= 0:
        return votes.accuracy(right, n, valid) if otherwise else 0.0
    found = votes.accuracy(right_if_accepted(right, rates), n, chance * valid)
    none = 1 - chance * valid
    if otherwise and chance < 1:
        rejected = right * (1 - rates.right) / (1 - chance)
        found += none**n * votes.accuracy(rejected, n, (1 - chance) * valid / none)
    return found


@dataclass(frozen=True, slots=True)
class Resampled:
    """right: P(a right one is returned); wrong: P(a wrong one is); else none is accepted. samples: expected draws."""

    right: float
    wrong: float
    samples: float


def resampled(right: float, rates: Rates, most: int) -> Resampled:
    """One sample after the other until the verifier accepts, `most` times: the number of draws is geometric, cut."""
    chance = accepted(right, rates)
    reached = float(most) if chance <= 0 else (1 - (1 - chance) ** most) / chance
    return Resampled(reached * right * rates.right, reached * (1 - right) * rates.wrong, reached)
