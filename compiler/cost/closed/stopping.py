"""When a vote ends early: how many votes are looked at, and how often the answer at that moment is right.

Votes come one after the other. A rule is a condition on the standing: votes of the leader and of the next answer, and
how many votes are outstanding. Exact where the standings are few (their chances are carried from vote to vote), else by
seeded draws with the standard error said (`draws.py`); window voting has a formula of its own.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

Rule = Callable[[int, int, int, bool], bool]
"""Of the leader's votes, the next one's, those outstanding, and whether the leader would win a tie with the next."""

MOST_STANDINGS = 20_000


@dataclass(frozen=True, slots=True)
class Stopped:
    """votes: P(it ends after exactly i + 1 votes); right: P(the answer is right); error: standard error of `right`."""

    votes: tuple[float, ...]
    right: float
    error: float = 0.0

    @property
    def mean(self) -> float:
        """Expected number of votes looked at."""
        return math.fsum((i + 1) * chance for i, chance in enumerate(self.votes))


def surely_ahead(first: int, second: int, outstanding: int, wins_tie: bool) -> bool:
    """An exact majority: all outstanding votes for the next answer, or for a new one, would not change the winner."""
    lead = first - second
    return lead > outstanding or (lead == outstanding and wins_tie)


@lru_cache(maxsize=100_000)
def probably_ahead(first: int, second: int) -> float:
    """1 - I(1/2; first + 1, second + 1): Adaptive-Consistency's chance that the leader is the commoner of two answers:
    of first + second + 1 throws of a coin at most `first` are heads.
    """
    throws = first + second + 1
    return float(sum(math.comb(throws, each) for each in range(first + 1)) / 2**throws)


def adaptive(confidence: float) -> Rule:
    """Adaptive-Consistency's Beta criterion; a majority that is sure ends it, too."""

    def rule(first: int, second: int, outstanding: int, wins_tie: bool) -> bool:
        sure = surely_ahead(first, second, outstanding, wins_tie)
        return sure or probably_ahead(first, second) >= confidence - 1e-12

    return rule


def sprt(confidence: float, share: float) -> Rule:
    """Wald's test of `share` against 1 - `share` between the two leading answers; a sure majority ends it, too."""
    margin = sprt_margin(confidence, share)

    def rule(first: int, second: int, outstanding: int, wins_tie: bool) -> bool:
        return first - second >= margin or surely_ahead(first, second, outstanding, wins_tie)

    return rule


def sprt_margin(confidence: float, share: float) -> int:
    """The least lead d with (share / (1 - share))^d >= confidence / (1 - confidence)."""
    return max(1, math.ceil(math.log(confidence / (1 - confidence)) / math.log(share / (1 - share)) - 1e-9))


def sprt_samples(right: float, margin: int) -> float:
    """Wald's expected votes between two answers until one leads by `margin`, without an upper limit: a random walk
    between two borders (the gambler's ruin).
    """
    if abs(right - 0.5) < 1e-12:
        return float(margin**2)
    odds = (1 - right) / right
    reached = 1 / (1 + odds**margin)
    return margin * (2 * reached - 1) / (2 * right - 1)


def stopped(answers: Sequence[float], n: int, rule: Rule) -> Stopped | None:
    """The test over at most n votes; `answers`: chances, the right answer first. None if there are more than
    `MOST_STANDINGS` standings to carry.
    """
    if math.comb(n + len(answers), len(answers)) * math.factorial(min(len(answers), 6)) > MOST_STANDINGS:
        return None
    standings: dict[tuple[tuple[int, int], ...], float] = {(): 1.0}
    votes: list[float] = []
    right = 0.0
    for looked in range(1, n + 1):
        after: dict[tuple[tuple[int, int], ...], float] = defaultdict(float)
        for standing, chance in standings.items():
            for answer, share in enumerate(answers):
                if share > 0:
                    after[_voted(standing, answer)] += chance * share
        ended = 0.0
        standings = {}
        for standing, chance in after.items():
            answer, first, second, wins_tie = _leader(standing)
            if looked == n or rule(first, second, n - looked, wins_tie):
                ended += chance
                right += chance if answer == 0 else 0.0
            else:
                standings[standing] = chance
        votes.append(ended)
    return Stopped(tuple(votes), right)


def _voted(standing: tuple[tuple[int, int], ...], answer: int) -> tuple[tuple[int, int], ...]:
    """(answer, votes) in the order of each answer's first vote, with one more."""
    if all(each != answer for each, _ in standing):
        return (*standing, (answer, 1))
    return tuple((each, count + (each == answer)) for each, count in standing)


def _leader(standing: tuple[tuple[int, int], ...]) -> tuple[int, int, int, bool]:
    """The leader, its votes, the next one's, and whether it was seen before all that have as many as the next."""
    place = max(range(len(standing)), key=lambda each: (standing[each][1], -each))
    answer, first = standing[place]
    others = [(count, -each) for each, (_, count) in enumerate(standing) if each != place]
    second, nearest = max(others, default=(0, -len(standing)))
    return answer, first, second, place < -nearest


def unanimous(answers: Sequence[float], window: int) -> float:
    """q = sum over answers of p^window: the chance that one window agrees."""
    return math.fsum(share**window for share in answers)


def windowed(answers: Sequence[float], most: int, window: int) -> float:
    """Expected samples of ESC (Li et al. 2024) in whole windows, `most` of them in samples:

    w (sum over i from 0 to n - 2 of q (1 - q)^i (i + 1) + (1 - q)^(n - 1) n), n windows of w; the last one ends it
    whether it agrees or not. A remainder that fills no window comes after them.
    """
    q = unanimous(answers, window)
    full, rest = divmod(most, window)
    if full == 0:
        return float(most)
    if rest == 0:
        ends = math.fsum(q * (1 - q) ** i * (i + 1) for i in range(full - 1))
        return window * (ends + (1 - q) ** (full - 1) * full)
    ends = math.fsum(q * (1 - q) ** i * (i + 1) * window for i in range(full))
    return ends + (1 - q) ** full * most
