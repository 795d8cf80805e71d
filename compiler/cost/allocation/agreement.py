"""Difficulty told by agreement: how many of the first few votes are for one answer, and what more votes then give.

The votes of the probe are the first of those that follow, as in a run (a sample's seed is its place in the pool): so
what agreed in the probe agrees in the vote.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ttsc.compiler.cost.closed.draws import Standings


@dataclass(frozen=True, slots=True)
class Given:
    """Of the inputs whose `votes` leading votes of the probe agree: their `share`; of n votes for them: how often they
    are right, and P(they are decided after i + 1).
    """

    votes: int
    share: float
    right: float
    finished: tuple[float, ...]


def by_agreement(standings: Standings, probe: int, n: int, early: bool) -> tuple[Given, ...]:
    """For each number of agreeing votes among the first `probe`, ascending; those that don't occur are left out.

    `early`: votes end as soon as they are sure, those of the probe too: more than a majority is then not seen to agree.
    """
    known = standings.decided(probe)[0] if early else np.full(len(standings.weights), probe - 1)
    leading = standings.first[np.arange(len(known)), known]
    at, answer = standings.decided(n)
    if not early:
        at, answer = np.full(len(at), n - 1), standings.leader[:, n - 1]
    weights = standings.weights
    found = []
    for votes in range(probe + 1):
        rows = leading == votes
        share = float(weights[rows].sum())
        if share > 0:
            right = float(weights[rows & (answer == 0)].sum()) / share
            masses = np.bincount(at[rows], weights=weights[rows], minlength=n)[:n] / share
            found.append(Given(votes, share, right, tuple(float(each) for each in masses)))
    return tuple(found)
