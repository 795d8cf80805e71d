"""Resampling, verified vote and escalation with imperfect verifiers: closed forms against runs on the scripted engine.

Two types of questions, a sampler that is right with r_i, a verifier that accepts right ones with c and rejects wrong
ones with s (Inference Scaling fLaws, 2411.17501; Variation in Verification, 2509.17995). Runs are drawn from seeds, so
the tests are the same every time; tolerances are four standard errors.
"""

from __future__ import annotations

import math
import random
from functools import cache, partial
from typing import Any

import pytest

import ttsc
from ttsc.backends.scripted import ScriptedEngine
from ttsc.compiler.cost.allocation.resampling import Kind, best_cap

RIGHT = {"easy": 0.87, "hard": 0.13}
PRIOR = {"easy": 0.58, "hard": 0.42}
COMPLETE, SOUND = 0.9, 0.75
RUNS = 40


@cache
def compiled(name: str) -> ttsc.CompiledProgram:
    return ttsc.compile(f"std:{name}")


def numbers(*parts: object) -> random.Random:
    return random.Random(repr(parts))


def solved(prompt: str, seed: int, sampling: Any) -> str:
    kind = "easy" if "easy" in prompt else "hard"
    drawn = numbers("solve", seed, prompt)
    return f"try {drawn.randint(0, 10**9)}: \\boxed{{{'yes' if drawn.random() < RIGHT[kind] else 'no'}}}"


def accepts(text: str) -> bool:
    return numbers("check", text).random() < (COMPLETE if "boxed{yes" in text else 1 - SOUND)


def engines() -> dict[str, ScriptedEngine]:
    verdict = {True: "Verdict: correct", False: "Verdict: incorrect"}
    return {
        "policy": ScriptedEngine(solved),
        "prm": ScriptedEngine(solved, reward=lambda text: 3.0 if accepts(text) else -3.0),
        "judge": ScriptedEngine(lambda prompt, seed, sampling: verdict[accepts(prompt)]),
    }


def ran(name: str, roles: tuple[str, ...], kind: str, run: int, **given: Any) -> tuple[Any, dict[str, ScriptedEngine]]:
    made = {role: engine for role, engine in engines().items() if role in roles}
    return compiled(name).run({"question": f"{kind} {run}", **given}, engine=made, seed=run), made


@pytest.mark.parametrize("most", [1, 4])
def test_resampling_draws_answers_and_abstains_as_the_formula_says(most: int) -> None:
    """E[samples] = (1 - b^K) / (1 - b); right c r, wrong (1 - s)(1 - r) of 1 - b each; the rest abstains."""
    for kind, right in RIGHT.items():
        refused = (1 - COMPLETE) * right + SOUND * (1 - right)
        expected = (1 - refused**most) / (1 - refused)
        draws, good, bad = 0, 0, 0
        for run in range(RUNS):
            result, made = ran("resample_until_verified", ("policy", "prm"), kind, run, most=most)
            draws += len(made["policy"].records)
            good += result.value == "yes"
            bad += result.value == "no"
            assert result.abstained == (result.value is None)
        near = partial(pytest.approx, abs=4 * 0.5 / math.sqrt(RUNS))
        assert draws / RUNS == pytest.approx(expected, abs=4 * most / 2 / math.sqrt(RUNS))
        assert good / RUNS == near(COMPLETE * right * expected)
        assert bad / RUNS == near((1 - SOUND) * (1 - right) * expected)


@pytest.mark.parametrize("wave", [1, 3])
def test_waves_do_not_change_who_is_first(wave: int) -> None:
    """The first accepted by index: the same texts, drawn three at once or one by one, end with the same answer."""
    texts = [f"{'long ' * (9 - i)}\\boxed{{{i}}}" for i in range(6)]
    left = list(texts)
    made = {
        "policy": ScriptedEngine(lambda *_: left.pop(0)),
        "prm": ScriptedEngine(solved, reward=lambda text: 3.0 if "{1}" in text or "{2}" in text else -3.0),
    }
    program = ttsc.compile("std:resample_until_verified")
    result = program.run({"question": "?", "most": 6, "wave": wave}, engine=made)
    assert result.value == "1"


def test_no_draws_at_all_abstains() -> None:
    result, made = ran("resample_until_verified", ("policy", "prm"), "hard", 0, most=0)
    assert result.abstained
    assert not made["policy"].records


@pytest.mark.parametrize("kind", ["easy", "hard"])
def test_a_random_accepted_solution_is_right_as_often_as_rates_say(kind: str) -> None:
    """p TPR / (p TPR + (1 - p)(1 - TNR)) among the accepted; with none accepted all take part, so p. Of n independent
    solutions the number of accepted ones does not tell which of them are right: the formula holds for any n.
    """
    p, n = RIGHT[kind], 3
    passing = p * COMPLETE + (1 - p) * (1 - SOUND)
    none = (1 - passing) ** n
    refused_right = p * (1 - COMPLETE) / (1 - passing)
    expected = (1 - none) * p * COMPLETE / passing + none * refused_right
    right = 0
    for run in range(RUNS):
        given = {"n": n, "select": "random"}
        right += ran("verified_vote", ("policy", "judge"), kind, run, **given)[0].value == "yes"
    assert right / RUNS == pytest.approx(expected, abs=4 * 0.5 / math.sqrt(RUNS))


def test_escalation_costs_k1_and_k2_for_what_failed() -> None:
    """Calls of the policy: k1 + (1 - s1) k2, with s1 the share that the check of the cheap mode accepts."""
    k2, p = 4, RIGHT["hard"]
    solved_share = p * COMPLETE + (1 - p) * (1 - SOUND)
    calls = sum(
        len(ran("escalate_on_failure", ("policy", "prm"), "hard", run, expensive=k2)[1]["policy"].records)
        for run in range(RUNS)
    )
    assert calls / RUNS == pytest.approx(1 + (1 - solved_share) * k2, abs=4 * k2 / 2 / math.sqrt(RUNS))


@pytest.mark.parametrize(("complete", "sound"), [(1.0, 0.75), (0.9, 0.6), (0.7, 0.95)])
@pytest.mark.parametrize("wrong", [-0.3, -1, -3])
def test_the_best_cap_from_the_formula(wrong: float, complete: float, sound: float) -> None:
    """Against sums over types of p b^(k-1) (c r - |V| (1 - r)(1 - s)), b being the chance that a draw is refused; the
    notebook's form has the posterior of the types in the chance of reaching draw k, too.
    """

    def value(k: int, as_published: bool) -> float:
        b = {each: (1 - complete) * RIGHT[each] + sound * (1 - RIGHT[each]) for each in RIGHT}
        reach = {each: PRIOR[each] * b[each] ** (k - 1) for each in RIGHT}
        gain = {each: complete * RIGHT[each] + wrong * (1 - RIGHT[each]) * (1 - sound) for each in RIGHT}
        exactly = sum(reach[each] * gain[each] for each in RIGHT)
        if not as_published:
            return exactly
        total = sum(reach.values())
        return exactly / total * sum(reach[each] / total * b[each] ** (k - 1) for each in RIGHT)

    for as_published in (True, False):
        sums = [sum(value(k, as_published) for k in range(1, most + 1)) for most in range(200)]
        kinds = [Kind(PRIOR[each], RIGHT[each]) for each in RIGHT]
        found = best_cap(kinds, complete, sound, 1, wrong, most=199, published=as_published)
        assert found.reward == pytest.approx(max(sums), abs=1e-12)
        assert sums[found.samples] == pytest.approx(max(sums), abs=1e-12)
