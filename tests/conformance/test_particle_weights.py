"""Particle filters: weights are odds (2502.01618), and the entropic temperature (2510.05825), by hand."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from random import Random

import pytest

import ttsc
from ttsc.backends.scripted import ScriptedEngine
from ttsc.compiler.values.draws import draw
from ttsc.compiler.values.pure import evaluate


@dataclass(frozen=True)
class Particle:
    text: str
    finished: bool = False


def shares(rewards: list[float], temperature: float = 1.0) -> tuple[float, ...]:
    logits = tuple(evaluate("logit", "", (r,)) for r in rewards)
    found = evaluate("softmax", "", (logits, temperature))
    assert isinstance(found, tuple)
    return found


def test_the_softmax_of_logits_is_the_share_of_the_odds() -> None:
    """Odds of .2, .5 and .8 are 1/4, 1 and 4, of 21/4 together. Of .99 they are 99, so it counts 99 times .5."""
    assert shares([0.2, 0.5, 0.8]) == pytest.approx((1 / 21, 4 / 21, 16 / 21))
    assert shares([0.99, 0.5]) == pytest.approx((0.99, 0.01))
    assert shares([0.2, 0.8], 2.0) == pytest.approx((1 / 5, 4 / 5)), "at tau = 2 square roots of the odds, 1/2 and 2"


def drawn(rewards: list[float], method: str, n: int, seed: int, finished: str = "resample") -> list[str]:
    pool = [Particle(name) for name in "abc"]
    logits = [math.log(r / (1 - r)) for r in rewards]
    reference = (pool[0],) if method == "conditional" else ()
    found = draw("resample", f"{method} {finished} softmax", (pool, logits, n, 1.0, *reference), Random(seed))
    assert isinstance(found, tuple)
    return [each.text for each in found]


def test_draws_are_in_proportion_to_the_odds() -> None:
    counts = Counter(name for seed in range(1500) for name in drawn([0.2, 0.5, 0.8], "categorical", 2, seed))
    for name, share in zip("abc", (1 / 21, 4 / 21, 16 / 21), strict=True):
        assert abs(counts[name] / 3000 - share) < 4 * math.sqrt(share * (1 - share) / 3000)


def test_a_conditional_draw_keeps_the_reference_and_draws_the_others_from_all() -> None:
    """The reference has the first place for certain; each other place is the reference's again with its share."""
    pools = [drawn([0.2, 0.5, 0.8], "conditional", 3, seed) for seed in range(1500)]
    assert all(len(pool) == 3 and pool[0] == "a" for pool in pools)
    counts = Counter(name for pool in pools for name in pool[1:])
    for name, share in zip("abc", (1 / 21, 4 / 21, 16 / 21), strict=True):
        assert abs(counts[name] / 3000 - share) < 4 * math.sqrt(share * (1 - share) / 3000)


LEVELLED = """
use std.entropic_particle_filter (levelled)
program tau(w: list[float], t: int, threshold: float, least: float) -> float {
    return levelled(w, t, 10, threshold, least)
}
"""


PROGRAM = ttsc.compile(LEVELLED)


def tau(w: list[float], t: int, threshold: float = 0.5, least: float = 1.0) -> float:
    value = PROGRAM.run(w=w, t=t, threshold=threshold, least=least, engine=ScriptedEngine({})).value
    assert isinstance(value, float)
    return value


def test_the_entropic_temperature() -> None:
    """W = .7, .1, .1, .1: ESS = 1 / (.49 + .03) = 1.923, below half of 4. tau = 4 / 1.923 * (1 - t / 10) = 2.08 * ….

    At t = 8 it would be .416, and stays at 1. W = .4, .2, .2, .2: ESS = 1 / .28 = 3.57: 1.
    """
    few = [0.7, 0.1, 0.1, 0.1]
    assert tau(few, 2) == pytest.approx(2.08 * 0.8)
    assert tau(few, 8) == 1.0
    assert tau(few, 8, least=0.1) == pytest.approx(2.08 * 0.2)
    assert tau([0.4, 0.2, 0.2, 0.2], 2) == 1.0
    assert tau([0.4, 0.2, 0.2, 0.2], 2, threshold=1.0, least=0.1) == pytest.approx(4 * 0.28 * 0.8)
