"""Iterative deepening's budgets (2502.05449) and the anytime score (2505.13438), from their formulas."""

from __future__ import annotations

import math
from typing import Any

import pytest

import ttsc
from ttsc.backends.scripted import ScriptedEngine


@pytest.mark.parametrize(("first", "growth", "longest"), [(8, 2.0, 64), (8, 2.0, 80), (10, 3.0, 100), (16, 1.5, 16)])
def test_a_chain_has_ceil_log_borders(first: int, growth: float, longest: int) -> None:
    """1 + ceil(log_g(L / b0)) generations, which together with the triggers fill L: b0, g b0, … up to L."""
    engine = ScriptedEngine(lambda *_: "a " * longest)
    given = {"question": "?", "n": 1, "first": first, "growth": growth, "longest": longest, "trigger": "X"}
    ttsc.compile("std:iterative_deepening").run(given, engine=engine)
    rounds = math.ceil(math.log(longest / first) / math.log(growth) - 1e-9)
    limits = [each.request.sampling.max_tokens for each in engine.records]
    assert len(limits) == 1 + rounds
    borders = [min(longest, round(first * growth**i)) for i in range(1 + rounds)]
    trigger = 2  # "\n" and "X"
    assert limits == [first, *(after - before - trigger for before, after in zip(borders, borders[1:], strict=False))]


@pytest.mark.parametrize(("prior", "power"), [(0.0, 0), (1.0, 1), (1000.0, 1000)])
def test_the_anytime_score_is_the_priors_mean_of_accuracies(prior: float, power: int) -> None:
    """A trace of 7 tokens, cut at 1, 3 and 5, and whole at 9 and 12; forced answers are right from 3 tokens on."""
    budgets, trace = [1, 3, 5, 9, 12], "a b c d"

    def reply(prompt: str, seed: int, sampling: Any) -> str:
        if not prompt.endswith("\\boxed{"):
            return f"{trace}</think>"
        return "right}" if "b" in prompt.rpartition("<think>")[2].partition("</think>")[0] else "wrong}"

    engine = ScriptedEngine(reply)
    given = {"question": "?", "gold": "right", "budgets": budgets, "summaries": 2, "prior": prior, "gap": ""}
    result = ttsc.compile("std:anytime_score").run(given, engine=engine, evaluation=True)
    weights = [(b / 12) ** power for b in budgets]
    expected = sum(w for b, w in zip(budgets, weights, strict=True) if b >= 3) / sum(weights)
    assert result.value == pytest.approx(expected)
    assert len(engine.records) == 1 + 2 * 4, "the two budgets that the trace fits in share their answers"
