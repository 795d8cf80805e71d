"""Calibration on a simulated engine gives back the workload that the simulator was given."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ttsc
from ttsc.backends.simulator.drawn import WorkloadOutcomes
from ttsc.calibration.calibrate import Calibration
from ttsc.compiler.cost.distributions import Lengths
from ttsc.compiler.cost.workload import Question, Revisions, Rewards, Verdicts, Workload, Writing
from ttsc.stand_ins import with_stand_ins

PROGRAMS = Path(__file__).resolve().parents[2] / "programs"
FORM = "\\boxed{{{answer}}}\nAnswer: {answer}"
INPUTS, SAMPLES = 24, 16
REVISED = """
prompt solve(question: str) { user "{{ question }}" }
prompt again() { user "Is this right? Try again." }
function answer(text: str) -> str? = find_last(text, "Answer: *(-?[0-9]+)", 1)
program revised(question: str, n: int = 4 in 1..8) -> str {
    return solve(question)
        |> sample(n, temperature=0.8, max_tokens=400)
        |> refine(again(), temperature=0.8, max_tokens=400)
        |> vote(by=answer, otherwise="")
}
"""


def planted(seed: int) -> Workload:
    numbers = random.Random(seed)
    return Workload(
        "planted",
        tuple(Question(round(numbers.betavariate(1.5, 1.2), 3)) for _ in range(INPUTS)),
        {
            "default": Writing(Lengths.lognormal(numbers.uniform(30, 60), 0.3), answer=FORM),
            "branch": Writing(Lengths.lognormal(15, 0.3), Lengths((2, 3, 4)), answer=FORM),
            "judge": Writing(Lengths.constant(2)),
        },
        {"default": Verdicts(numbers.uniform(0.7, 0.95), numbers.uniform(0.1, 0.4))},
        {"default": Rewards(1.5, 1.0, -0.5, 0.7, question_sd=0.4)},
        {"default": Revisions(numbers.uniform(0.1, 0.5), numbers.uniform(0.05, 0.2))},
        collision=numbers.uniform(0.1, 0.5),
    )


def rows_for(workload: Workload, seed: int) -> list[dict[str, str]]:
    outcomes = WorkloadOutcomes(workload, seed)
    return [{"question": f"question {i}", "gold": outcomes.answers(i).right} for i in range(INPUTS)]


def measured(workload: Workload, program: Any, seed: int) -> Calibration:
    rows = rows_for(workload, seed)
    return ttsc.compile(program).calibrate(rows, samples=SAMPLES, engine=ttsc.simulate(workload, seed=seed), seed=seed)


def near(found: Calibration, name: str, wanted: float, group: str = "") -> None:
    """Within twice the interval: with it, one of twenty of these would fail."""
    (one,) = [each for each in found.figures if each.name == name and each.group.startswith(group)]
    assert one.low is not None and one.high is not None
    spread = one.high - one.low
    assert one.low - spread / 2 <= wanted <= one.high + spread / 2, (name, wanted, one)


@pytest.mark.parametrize("seed", range(3))
def test_samples_and_a_judge(seed: int) -> None:
    workload = planted(seed)
    found = measured(workload, PROGRAMS / "verified_vote.tts", seed)
    accuracies = [each.accuracy for each in workload.questions]
    got = [each.accuracy for each in found.workload.questions]
    for wanted, each in zip(accuracies, got, strict=True):
        assert abs(each - wanted) <= 4 * math.sqrt(max(wanted * (1 - wanted), 0.02) / SAMPLES)
    assert math.fsum(got) / INPUTS == pytest.approx(math.fsum(accuracies) / INPUTS, abs=0.07)
    near(found, "right ones accepted", workload.verdicts["default"].true_positive)
    near(found, "wrong ones accepted", workload.verdicts["default"].false_positive)
    near(found, "tokens of a generation", workload.writing["default"].tokens.mean, "sample:policy")
    assert found.workload.collision == pytest.approx(workload.collision, abs=0.12)
    assert found.failed == 0


@pytest.mark.parametrize("seed", range(2))
def test_revisions(seed: int) -> None:
    workload = planted(seed)
    found = measured(workload, REVISED, seed)
    near(found, "wrong ones made right", workload.revisions["default"].fixes)
    near(found, "right ones made wrong", workload.revisions["default"].breaks)


def test_a_host_functions_stand_in() -> None:
    workload = replace(planted(5), verdicts={"passes": Verdicts(0.9, 0.25)})
    source = """
    prompt solve(question: str) { user "{{ question }}" }
    extern passes(question: str, solution: str) -> bool
    function answer(text: str) -> str? = find_last(text, "Answer: *(-?[0-9]+)", 1)
    program passed(question: str, n: int = 4 in 1..8) -> str {
        return solve(question)
            |> sample(n, max_tokens=400)
            |> filter(c => passes(question, c.text))
            |> vote(by=answer, otherwise="")
    }
    """
    program, rows = ttsc.compile(source), rows_for(workload, 5)
    functions = with_stand_ins(program.ir, None, workload, inputs=rows, seed=5)
    found = program.calibrate(rows, samples=SAMPLES, engine=ttsc.simulate(workload, seed=5), externs=functions, seed=5)
    near(found, "right ones accepted", 0.9, "passes")
    near(found, "wrong ones accepted", 0.25, "passes")
    assert set(found.workload.verdicts) == {"passes"}, "what a host function does is no default for models"


@pytest.mark.parametrize("name", ["beam_search", "particle_filter"])
def test_steps_and_a_reward_model(name: str) -> None:
    """Both keep what the reward model likes, and are measured by what they would write if they kept all."""
    workload = planted(7)
    found = measured(workload, PROGRAMS / f"{name}.tts", 7)
    near(found, "right", math.fsum(each.accuracy for each in workload.questions) / INPUTS)
    rewards = found.workload.rewards["reward:prm"]
    assert rewards.right_mean == pytest.approx(1.5, abs=0.35) and rewards.wrong_mean == pytest.approx(-0.5, abs=0.35)
    assert rewards.right_sd == pytest.approx(1.0, abs=0.25) and rewards.wrong_sd == pytest.approx(0.7, abs=0.25)
    steps = found.workload.writing["branch:policy"].steps
    assert steps is not None and steps.mean == pytest.approx(3, abs=0.25)


def test_what_was_learned_is_learned_again() -> None:
    """A workload that was measured, simulated and measured again is the same within its noise."""
    first = measured(planted(3), PROGRAMS / "best_of_n.tts", 3)
    again = measured(first.workload, PROGRAMS / "best_of_n.tts", 4)
    for one, other in zip(first.workload.questions, again.workload.questions, strict=True):
        assert abs(one.accuracy - other.accuracy) <= 4 * math.sqrt(0.25 / SAMPLES)
    grades, later = (each.workload.rewards["judge:policy"] for each in (first, again))
    assert later.right_mean == pytest.approx(grades.right_mean, abs=0.5)
    assert later.wrong_mean == pytest.approx(grades.wrong_mean, abs=0.7)
    lengths, later_lengths = (each.workload.writing["sample:policy"].tokens for each in (first, again))
    assert later_lengths.mean == pytest.approx(lengths.mean, rel=0.06)
    assert again.workload.writing["sample:policy"].answer == first.workload.writing["sample:policy"].answer
