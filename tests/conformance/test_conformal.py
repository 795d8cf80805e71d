"""Conformal acceptance: coverage of the p-value on exchangeable scores, and the published code's percentile beside it.

P(p <= alpha) <= alpha for exchangeable scores, for p = (1 + #{a >= s}) / (1 + |A|) (the split-conformal p-value).
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

import ttsc
from ttsc.backends.scripted import ScriptedEngine
from ttsc.compiler.values.pure import OPERATIONS

conformal_p: Any = OPERATIONS["conformal_p"].run
percentile: Any = OPERATIONS["percentile"].run


@pytest.mark.parametrize("scores", [(1.0, 2.0, 3.0, 4.0, 5.0), (1.0, 1.0, 2.0, 3.0, 3.0)])
@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.35, 0.4, 0.61, 0.8])
def test_an_exchangeable_draft_is_accepted_with_at_least_1_minus_alpha(scores: tuple[float, ...], alpha: float) -> None:
    """Every order of the scores is as likely: the last is the draft's, the others the calibration. Ties included."""
    orders = list(itertools.permutations(scores))
    accepted = sum(conformal_p(order[-1], list(order[:-1])) > alpha for order in orders)
    assert accepted / len(orders) >= 1 - alpha - 1e-12
    if len(set(scores)) == len(scores):
        assert accepted / len(orders) == pytest.approx(1 - math.floor(alpha * len(scores)) / len(scores))


def test_the_codes_percentile_lets_fewer_pass() -> None:
    """Reject from a percentile of 0.6 on: of five scores in any order the two greatest are rejected."""
    orders = list(itertools.permutations((1.0, 2.0, 3.0, 4.0, 5.0)))
    kept = sum(percentile(order[-1], list(order[:-1])) < 0.6 for order in orders)
    assert kept / len(orders) == pytest.approx(3 / 5)


def reply(prompt: str, seed: int, sampling: Any) -> str:
    return f"\\boxed{{{seed % 7}}} {'x ' * (seed % 5)}"


def perplexities(logprobs: float) -> ScriptedEngine:
    return ScriptedEngine(reply, scores=lambda before, span: logprobs)


def test_a_calibration_is_the_targets_perplexity_of_first_drafts() -> None:
    """exp of minus the mean log-probability: where every token has -2 it is e^2, whatever the length."""
    calibrate = ttsc.compile("std:conformal_accept", "calibrate")
    engines = {"draft": ScriptedEngine(reply), "target": perplexities(-2.0)}
    result = calibrate.run({"question": "2 + 2?", "samples": 5}, engine=engines)
    assert result.value == pytest.approx([math.exp(2)] * 5)
    assert not [each for each in engines["target"].records if each.kind == "generate"], "the target only reads"


@pytest.mark.parametrize(
    ("rule", "accept", "calibration", "written"),
    [
        ("percentile", 0.6, [1.0, 2.0, 3.0, 9.0, 9.0], 1),  # e^2 = 7.39 is above 3 of 5: 0.6 is rejected
        ("percentile", 0.6, [1.0, 2.0, 9.0, 9.0, 9.0], 0),  # above 2 of 5
        ("p_value", 0.6, [1.0, 2.0, 3.0, 9.0, 9.0], 0),  # (1 + 2) / 6 = 0.5 > 0.4
        ("p_value", 0.6, [1.0, 2.0, 3.0, 4.0, 9.0], 1),  # (1 + 1) / 6 = 0.33
        ("p_value", 0.9, [1.0], 0),  # 1 / 2 > 0.1: too few to reject
    ],
)
def test_who_writes_a_segment(rule: str, accept: float, calibration: list[float], written: int) -> None:
    engines = {"draft": ScriptedEngine(reply), "target": perplexities(-2.0)}
    given = {"question": "2 + 2?", "calibration": calibration, "rule": rule, "accept": accept}
    ttsc.compile("std:speculative_steps").run(given, engine=engines)
    assert sum(each.kind == "generate" for each in engines["target"].records) == written


@pytest.mark.parametrize(("rejected", "kept"), [("discard", False), ("keep", True)])
def test_a_rejected_draft_is_gone(rejected: str, kept: bool) -> None:
    """ref_async.py leaves it in the history, which is an option here."""
    engines = {
        "draft": ScriptedEngine(lambda *_: "drafted"),
        "target": ScriptedEngine(lambda *_: " \\boxed{4}", scores=lambda *_: -9.0),
    }
    given = {"question": "2 + 2?", "calibration": [1.0], "rejected": rejected}
    result = ttsc.compile("std:speculative_steps").run(given, engine=engines)
    asked = next(each for each in engines["target"].records if each.kind == "generate")
    assert ("drafted" in engines["target"].tokenizer.show(asked.request.input_ids)) == kept
    assert result.value == "4"
