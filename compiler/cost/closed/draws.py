"""Seeded draws of votes, for what has no sum that is short enough: the standings at every prefix, once for all n.

Common random numbers: every n, and every rule, is told from the same draws, so that two settings differ by what they
are and not by chance. The standard error of a mean over inputs is at most 0.5 / sqrt(inputs * draws).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
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
        self._kept: tuple[tuple[int, str, float, float], tuple[Table, Table]] | None = None
        shares = np.ones(len(inputs)) if weights is None else np.asarray(weights, dtype=float)
        self.weights: Table = np.repeat(shares / shares.sum() / draws, draws)
        drawn = np.random.default_rng(seed).random((most, len(inputs), draws))
        votes: Table = np.empty((most, len(inputs), draws), dtype=np.int32)
        kinds = max(map(len, inputs))
        for row, each in enumerate(inputs):
            found: Table = np.searchsorted(np.cumsum(each), drawn[:, row], side="right")
            found[found == len(each)] = kinds  # no answer
            votes[:, row] = found
        self._stand(votes.reshape(most, -1), kinds)

    def _stand(self, votes: Table, kinds: int) -> None:
        """Who leads after each vote, and who follows. An answer's rank is its votes, and among equals who came first:
        no two that have votes are equal. A vote moves one answer up, so the two best are known without the others.
        """
        most, count = votes.shape
        unit = most + 2
        own: Table = np.arange(count) * (kinds + 1)
        ranks: Table = np.full(count * (kinds + 1), -(most + 1), dtype=np.int32)
        leader: Table = np.full(count, -1, dtype=np.int32)
        first: Table = np.full(count, -(most + 1), dtype=np.int32)
        second: Table = first.copy()
        leaders, firsts, seconds = (np.empty((most, count), dtype=np.int32) for _ in range(3))
        for step, vote in enumerate(votes):
            place = own + vote
            before = ranks[place]
            rank = np.where(before < 0, unit - step, before + unit)
            ranks[place] = rank
            rank = np.where(vote < kinds, rank, -unit)
            leads = rank > first
            second = np.where(leads & (vote != leader), first, np.where(leads, second, np.maximum(second, rank)))
            first = np.where(leads, rank, first)
            leader = np.where(leads, vote, leader)
            leaders[step], firsts[step], seconds[step] = leader, first, second
        self.answers: Table = np.where(votes < kinds, votes, -1).T
        self.leader: Table = leaders.T
        self.first: Table = -(-firsts.T // unit)
        self.second: Table = -(-seconds.T // unit)
        self.wins_tie: Table = self.first * unit - firsts.T < self.second * unit - seconds.T

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
        needed = _needed(confidence, n)
        begin = sprt_margin(confidence, share) if stop == "sprt" else int(needed[0])
        times: Table = np.zeros(n + 1)
        done: Table = np.zeros(len(at), dtype=int)
        missing: Table = np.full(len(at), begin)
        rows: Table = np.arange(len(at))
        while len(rows):
            asked = np.minimum(-(-np.maximum(1, missing) // wave) * wave, n - done)
            times += np.bincount(asked, weights=self.weights[rows], minlength=n + 1)
            done += asked
            going = done <= at[rows]
            rows, done = rows[going], done[going]
            first, second = self.first[rows, done - 1], self.second[rows, done - 1]
            if stop == "sprt":
                missing = sprt_margin(confidence, share) - (first - second)
            else:
                missing = needed[np.minimum(second, n)] - first
        return {int(size): float(times[size]) for size in np.flatnonzero(times)}

    def decided(self, n: int) -> tuple[Table, Table]:
        """For each sequence after which of n votes its majority is sure (from 0), and its answer (0 is right)."""
        return self._at(n, "exact", 0.5, 0.6)

    def _at(self, n: int, stop: Stop, confidence: float, share: float) -> tuple[Table, Table]:
        """Kept until it is asked for another rule: whoever wants the rounds wants the accuracy, too."""
        rule = (n, stop, confidence, share)
        if self._kept is None or self._kept[0] != rule:
            self._kept = rule, self._ended(n, stop, confidence, share)
        return self._kept[1]

    def _ended(self, n: int, stop: Stop, confidence: float, share: float) -> tuple[Table, Table]:
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


@lru_cache(maxsize=256)
def _needed(confidence: float, most: int) -> Table:
    """For each number of votes of the next answer, how many of the leader's end it."""
    needed = []
    first = 1
    for second in range(most + 1):
        while probably_ahead(first, second) < confidence - 1e-12:
            first += 1
        needed.append(first)
    return np.array(needed)
