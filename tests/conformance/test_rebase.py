"""REBASE's allocation (the published loop; T_r = 0.2): hand-made scores, and what holds of any.

W(scores, width): by score, descending; Z = sum exp(s / T_r); per node n = ceil(width * exp(s / T_r) / Z), then
width -= n and Z -= exp(s / T_r). Ties here go to the lower index.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from fractions import Fraction

import pytest

from ttsc.backends.protocol import Turn
from ttsc.compiler.values.draws import draw
from ttsc.runtime.values import CandidateValue, ContextValue

ROOT = ContextValue((Turn("user", "?"),))


def copies(scores: list[float], width: int, temperature: float = 0.2, finished: tuple[int, ...] = ()) -> list[int]:
    """Of each candidate how many copies `resample(method=ceiling, finished=drop, normalise=softmax)` makes."""
    pool = tuple(
        CandidateValue(ROOT, text=str(i), finish="eos" if i in finished else "stop") for i in range(len(scores))
    )
    drawn = draw("resample", "ceiling drop softmax", (pool, tuple(scores), width, temperature), random.Random(0))
    assert isinstance(drawn, tuple)
    found = Counter(int(each.text) for each in drawn)
    return [found[i] for i in range(len(scores))]


def published(scores: list[float], width: int, temperature: float = 0.2) -> list[int]:
    """The loop in exact arithmetic over the rounded exponentials, so that no share is rounded up by an error."""
    weights = [Fraction(math.exp((s - max(scores)) / temperature)) for s in scores]
    z, left, counts = sum(weights), width, [0] * len(scores)
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        counts[i] = math.ceil(left * weights[i] / z)
        left -= counts[i]
        z -= weights[i]
    return counts


@pytest.mark.parametrize(
    ("scores", "width", "counts"),
    [
        # exp(0.2 / 0.2) = e: shares 16 e / (1 + e) = 11.70 -> 12, the other has what is left
        ([0.7, 0.5], 16, [12, 4]),
        # equal scores: 7/3 -> 3, then 4/2 = 2, then 2
        ([0.4, 0.4, 0.4], 7, [3, 2, 2]),
        # early ones round up, the last may get none: 2/3 -> 1, 1/2 -> 1, 0
        ([0.4, 0.4, 0.4], 2, [1, 1, 0]),
        # e^5 = 148 times as probable: 16 * 148.41 / 149.41 = 15.89 -> 16
        ([0.0, 1.0], 16, [0, 16]),
        # in the order of the scores, not of the list: e / (1 + 2 e) * 4 = 1.69 -> 2, e / (1 + e) * 2 = 1.46 -> 2, 0
        ([0.5, 0.7, 0.7], 4, [0, 2, 2]),
        ([0.3], 5, [5]),
        ([0.3, 0.9], 0, [0, 0]),
    ],
)
def test_by_hand(scores: list[float], width: int, counts: list[int]) -> None:
    assert copies(scores, width) == counts == published(scores, width)


@pytest.mark.parametrize("seed", range(50))
def test_the_published_loop_and_what_follows_from_it(seed: int) -> None:
    rng = random.Random(seed)
    scores = [rng.choice([0.1, 0.5, rng.random()]) for _ in range(rng.randint(1, 20))]
    width, temperature = rng.randint(1, 64), rng.choice([0.1, 0.2, 1.0])
    counts = copies(scores, width, temperature)
    assert sum(counts) == width
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    assert all(counts[a] >= counts[b] for a, b in zip(order, order[1:], strict=False)), "no worse one gets more"
    total = sum(math.exp(s / temperature) for s in scores)
    assert counts[order[0]] == math.ceil(width * math.exp(scores[order[0]] / temperature) / total - 1e-9)
    wanted = published(scores, width, temperature)
    assert all(abs(a - b) <= 1 for a, b in zip(counts, wanted, strict=True))
    if len(set(scores)) == len(scores):  # shares of equal scores may be whole numbers, where rounding errors count
        assert counts == wanted


def test_finished_ones_get_nothing() -> None:
    assert copies([0.9, 0.4, 0.4], 4, finished=(0,)) == [0, 2, 2]
