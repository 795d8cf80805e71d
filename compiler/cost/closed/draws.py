"""Seeded draws of votes, for what has no sum that is short enough: the standings at every prefix, once for all n.

Common random numbers: every n, and every rule, is told from the same draws, so that two settings differ by what they
are and not by chance. The standard error of a mean over inputs is at most 0.5 / sqrt(inputs * draws).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from ttsc.compiler.cost.closed.stopping import Stopped, probably_ahead, sprt_margin

Stop = Literal["exact", "adaptive", "beta", "sprt", "esc"]


class Standings:
    """Standings of `draws` sequences of `most` votes on one input. `answers`: chances, the right answer first; what
    they lack of 1 is the chance of no answer, which is no vote.
    """

    def __init__(self, answers: Sequence[float], most: int, draws: int, seed: int) -> None:
        source = np.random.default_rng(seed)
        reached = np.cumsum(np.asarray(answers, dtype=float))
        drawn = np.searchsorted(reached, source.random((draws, most)), side="right")
        kinds = len(answers)
        drawn = np.where(drawn >= kinds, -1, drawn)
        self.answers = drawn
        self._most = most
        counts = np.zeros((draws, kinds), dtype=np.int32)
        seen = np.full((draws, kinds), most + 1, dtype=np.int32)
        rows = np.arange(draws)
        self.first = np.zeros((draws, most), dtype=np.int32)
        self.second = np.zeros((draws, most), dtype=np.int32)
        self.leader = np.full((draws, most), -1, dtype=np.int32)
        self.wins_tie = np.zeros((draws, most), dtype=bool)
        for step in range(most):
            vote = drawn[:, step]
            given = vote >= 0
            counts[rows[given], vote[given]] += 1
            fresh = given & (seen[rows, vote] > most)
            seen[rows[fresh], vote[fresh]] = step
            ranks = counts * (most + 2) - seen  # most votes first, then the earliest first vote
            leader = ranks.argmax(axis=1)
            best = counts[rows, leader]
            ranks[rows, leader] = np.iinfo(np.int32).min
            next_one = ranks.argmax(axis=1)
            self.first[:, step] = best
            self.second[:, step] = counts[rows, next_one] if kinds > 1 else 0
            self.leader[:, step] = np.where(best > 0, leader, -1)
            self.wins_tie[:, step] = (seen[rows, leader] < seen[rows, next_one]) if kinds > 1 else True

    def stopped(
        self, n: int, stop: Stop, confidence: float = 0.95, share: float = 0.6, window: int = 5, exact: bool = True
    ) -> Stopped:
        """How votes of n samples end under a rule. `exact`: a majority that is sure ends them, too."""
        if stop == "esc":
            return self._windowed(n, window)
        first, second = self.first[:, :n], self.second[:, :n]
        outstanding = n - 1 - np.arange(n)[None, :]
        lead = first - second
        ends = np.zeros_like(lead, dtype=bool)
        if exact or stop == "exact":
            ends = (lead > outstanding) | ((lead == outstanding) & self.wins_tie[:, :n] & (first > 0))
        if stop in ("adaptive", "beta"):
            needed = _needed(confidence, n)
            ends |= first >= needed[np.minimum(second, n)]
        elif stop == "sprt":
            ends |= lead >= sprt_margin(confidence, share)
        ends[:, n - 1] = True
        at = ends.argmax(axis=1)
        return self._told(at, self.leader[np.arange(len(at)), at], n)

    def _windowed(self, n: int, window: int) -> Stopped:
        """ESC: a dropped sample takes no place in a window."""
        draws = len(self.answers)
        at = np.full(draws, n - 1)
        answer = self.leader[:, n - 1].copy()
        for row in range(draws):
            votes = np.flatnonzero(self.answers[row, :n] >= 0)
            for begin in range(0, len(votes) - window + 1, window):
                inside = self.answers[row, votes[begin : begin + window]]
                if (inside == inside[0]).all():
                    at[row], answer[row] = votes[begin + window - 1], inside[0]
                    break
        return self._told(at, answer, n)

    def _told(self, at: np.ndarray, answer: np.ndarray, n: int) -> Stopped:
        masses = np.bincount(at, minlength=n)[:n] / len(at)
        right = float((answer == 0).mean())
        error = math.sqrt(right * (1 - right) / len(at))
        return Stopped(tuple(float(each) for each in masses), right, error)


def _needed(confidence: float, most: int) -> np.ndarray:
    """For each number of votes of the next answer, the leader's that end it."""
    needed = []
    first = 1
    for second in range(most + 1):
        while probably_ahead(first, second) < confidence - 1e-12:
            first += 1
        needed.append(first)
    return np.array(needed)
