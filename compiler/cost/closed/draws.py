"""Seeded draws of votes, for what has no sum that is short enough: the standings at every prefix, once for all n.

Common random numbers: every n, and every rule, is told from the same draws, so that two settings differ by what they
are and not by chance. The standard error of a mean over inputs is at most 0.5 / sqrt(inputs * draws).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ttsc.compiler.cost.closed.stopping import Stopped, probably_ahead, sprt_margin

Stop = Literal["exact", "adaptive", "beta", "sprt", "esc"]

Table = Any
"""A numpy array with a row for each sequence of votes and a column for each of its prefixes."""


class Standings:
    """Standings of `draws` sequences of `most` votes on each input. `inputs`: for each the chances of its answers, the
    right one first; what they lack of 1 is the chance of no answer, which is no vote. `weights`: of inputs, in means.
    """

    def __init__(
        self,
        inputs: Sequence[Sequence[float]],
        most: int,
        draws: int,
        seed: int,
        weights: Sequence[float] | None = None,
    ) -> None:
        kinds = max(2, *(len(each) for each in inputs)) if len(inputs) > 1 else max(2, len(inputs[0]))
        chances = np.zeros((len(inputs), kinds))
        for row, each in enumerate(inputs):
            chances[row, : len(each)] = each
        reached = np.repeat(np.cumsum(chances, axis=1), draws, axis=0)
        shares = np.ones(len(inputs)) if weights is None else np.asarray(weights, dtype=float)
        self.weights: Table = np.repeat(shares / shares.sum() / draws, draws)
        self._draw(reached, most, np.random.default_rng(seed))

    def _draw(self, reached: Table, most: int, source: Any) -> None:
        count, kinds = reached.shape
        rows = np.arange(count)
        votes: Table = np.zeros((count, kinds), dtype=np.int32)
        seen: Table = np.full((count, kinds), most + 1, dtype=np.int32)
        self.answers: Table = np.full((count, most), -1, dtype=np.int32)
        self.first: Table = np.zeros((count, most), dtype=np.int32)
        self.second: Table = np.zeros((count, most), dtype=np.int32)
        self.leader: Table = np.full((count, most), -1, dtype=np.int32)
        self.wins_tie: Table = np.zeros((count, most), dtype=bool)
        for step in range(most):
            vote = (source.random(count)[:, None] >= reached).sum(axis=1)
            given = np.flatnonzero(vote < kinds)
            answer = vote[given]
            self.answers[given, step] = answer
            votes[given, answer] += 1
            seen[given, answer] = np.minimum(seen[given, answer], step)
            ranks = votes * (most + 2) - seen  # most votes first, then the earliest first vote
            leader = ranks.argmax(axis=1)
            best = votes[rows, leader]
            ranks[rows, leader] = np.iinfo(np.int32).min
            following = ranks.argmax(axis=1)
            self.first[:, step] = best
            self.second[:, step] = votes[rows, following]
            self.leader[:, step] = np.where(best > 0, leader, -1)
            self.wins_tie[:, step] = seen[rows, leader] < np.maximum(seen[rows, following], 0)

    def stopped(self, n: int, stop: Stop, confidence: float = 0.95, share: float = 0.6, window: int = 5) -> Stopped:
        """How the votes of n samples end under a rule. A majority that is sure ends them, too, but for "esc", where the
        last window alone counts.
        """
        at, answer = self._windowed(n, window) if stop == "esc" else self._at(n, stop, confidence, share)
        masses = np.bincount(at, weights=self.weights, minlength=n)[:n]
        right = float(self.weights[answer == 0].sum())
        error = math.sqrt(max(0.0, right * (1 - right)) * float((self.weights**2).sum()))
        return Stopped(tuple(float(each) for each in masses), right, error)

    def rounds(self, n: int, stop: Stop, confidence: float, share: float, wave: int) -> dict[int, float]:
        """How many rounds of how many samples at once, on average, where no more begin than the rule is sure to need,
        in whole waves: by the number at once.
        """
        at, _ = self._at(n, stop, confidence, share)
        first, second = self.first[:, :n], self.second[:, :n]
        if stop == "sprt":
            missing = sprt_margin(confidence, share) - (first - second)
        else:
            missing = _needed(confidence, n)[np.minimum(second, n)] - first
        begin = sprt_margin(confidence, share) if stop == "sprt" else int(_needed(confidence, 0)[0])
        counted: dict[int, float] = {}
        done: Table = np.zeros(len(at), dtype=int)
        ask: Table = np.full(len(at), begin)
        open_rows = np.arange(len(at))
        while len(open_rows):
            asked = np.maximum(1, ask[open_rows])
            asked = np.minimum(-(-asked // wave) * wave, n - done[open_rows])
            for size in np.unique(asked):
                weight = float(self.weights[open_rows[asked == size]].sum())
                counted[int(size)] = counted.get(int(size), 0.0) + weight
            done[open_rows] += asked
            ask[open_rows] = missing[open_rows, done[open_rows] - 1]
            open_rows = open_rows[done[open_rows] <= at[open_rows]]
        return counted

    def decided(self, n: int) -> tuple[Table, Table]:
        """For each sequence after which of n votes its majority is sure (from 0), and its answer (0 is right)."""
        return self._at(n, "exact", 0.5, 0.6)

    def _at(self, n: int, stop: Stop, confidence: float, share: float) -> tuple[Table, Table]:
        first, second = self.first[:, :n], self.second[:, :n]
        outstanding: Table = n - 1 - np.arange(n)[None, :]
        lead = first - second
        ends: Table = (lead > outstanding) | ((lead == outstanding) & self.wins_tie[:, :n] & (first > 0))
        if stop in ("adaptive", "beta"):
            ends = ends | (first >= _needed(confidence, n)[np.minimum(second, n)])
        elif stop == "sprt":
            ends = ends | (lead >= sprt_margin(confidence, share))
        ends[:, n - 1] = True
        at = ends.argmax(axis=1)
        return at, self.leader[np.arange(len(at)), at]

    def _windowed(self, n: int, window: int) -> tuple[Table, Table]:
        """ESC: a sample without an answer takes no place in a window."""
        at: Table = np.full(len(self.answers), n - 1)
        answer: Table = self.leader[:, n - 1].copy()
        if n >= window and (self.answers[:, :n] >= 0).all():
            windows = self.answers[:, : n - n % window].reshape(len(at), -1, window)
            agree = (windows == windows[:, :, :1]).all(axis=2)
            found = np.flatnonzero(agree.any(axis=1))
            which = agree[found].argmax(axis=1)
            at[found] = (which + 1) * window - 1
            answer[found] = windows[found, which, 0]
            return at, answer
        for row, sequence in enumerate(self.answers[:, :n]):
            places = np.flatnonzero(sequence >= 0)
            whole = len(places) // window
            if not whole:
                continue
            windows = sequence[places[: whole * window]].reshape(whole, window)
            agree = np.flatnonzero((windows == windows[:, :1]).all(axis=1))
            if len(agree):
                at[row], answer[row] = places[(agree[0] + 1) * window - 1], windows[agree[0], 0]
        return at, answer


def _needed(confidence: float, most: int) -> Table:
    """For each number of votes of the next answer, how many of the leader's end it."""
    needed = []
    first = 1
    for second in range(most + 1):
        while probably_ahead(first, second) < confidence - 1e-12:
            first += 1
        needed.append(first)
    return np.array(needed)
