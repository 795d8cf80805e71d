"""Best of n by a generative verifier (2504.01005): its score rules, its cost S (1 + lambda V), its success rate."""

from __future__ import annotations

import itertools
import math
from functools import cache
from typing import Any

import pytest

import ttsc
from ttsc.backends.scripted import ScriptedEngine


@cache
def program() -> ttsc.CompiledProgram:
    return ttsc.compile("std:generative_verifier_best_of_n")


def judged(verdicts: dict[str, list[str]]) -> ScriptedEngine:
    """Verdicts of the solution whose answer is the key, in turn."""
    left = {key: list(value) for key, value in verdicts.items()}

    def reply(prompt: str, seed: int, sampling: Any) -> str:
        found = next(key for key in left if f"boxed{{{key}}}" in prompt)
        return f"checked. {left[found].pop(0)}"

    return ScriptedEngine(reply)


YES, NO, UNREAD = "Verdict: correct", "Verdict: incorrect", "it depends"


@pytest.mark.parametrize(
    ("verdicts", "select", "winner"),
    [
        ({"1": [YES, NO, NO], "2": [YES, UNREAD, UNREAD]}, "best", "2"),  # 1/3 against 1/1: unreadable ones are dropped
        ({"1": [UNREAD, UNREAD, UNREAD], "2": [YES, NO, NO]}, "best", "2"),  # none readable gives 0
        ({"1": [NO, NO, YES], "2": [NO, YES, YES]}, "weighted", "2"),  # "incorrect" holds "correct", and is a no
    ],
)
def test_scores_are_shares_of_yes(verdicts: dict[str, list[str]], select: str, winner: str) -> None:
    answers = list(verdicts)
    engines = {"policy": ScriptedEngine(lambda *_: f"\\boxed{{{answers.pop(0)}}}"), "judge": judged(verdicts)}
    result = program().run({"question": "?", "n": 2, "verifications": 3, "select": select}, engine=engines)
    assert result.value == winner


@pytest.mark.parametrize(("solutions", "checks"), [(1, 1), (3, 2), (2, 5)])
def test_it_decodes_what_the_formula_says(solutions: int, checks: int) -> None:
    """S (1 + lambda V) solutions' tokens: every solution has a tokens and every check b, so lambda = b / a."""
    engines = {
        "policy": ScriptedEngine(lambda *_: "a b c \\boxed{1}"),
        "judge": ScriptedEngine(lambda *_: f"one two. {YES}"),
    }
    program().run({"question": "?", "n": solutions, "verifications": checks, "select": "weighted"}, engine=engines)
    decoded = {role: [each.completion.output_ids for each in engine.records] for role, engine in engines.items()}
    a, b = len(decoded["policy"][0]), len(decoded["judge"][0])
    assert sum(map(len, itertools.chain(*decoded.values()))) == solutions * (a + b * checks)
    assert solutions * (a + b * checks) == pytest.approx(a * solutions * (1 + b / a * checks))


@pytest.mark.parametrize("chosen", [1, 2, 4])
def test_the_unbiased_success_rate_is_the_mean_over_all_subsets(chosen: int) -> None:
    """Sum over ranks i of right_i C(N - i - 1, S - 1) / C(N, S), best first, which benchmarks/strategies uses."""
    right = [True, False, False, True, True, False]  # by falling score
    subsets = list(itertools.combinations(range(len(right)), chosen))
    mean = sum(right[min(each)] for each in subsets) / len(subsets)
    n = len(right)
    formula = sum(math.comb(n - i - 1, chosen - 1) / math.comb(n, chosen) for i in range(n) if right[i])
    assert formula == pytest.approx(mean)
