"""Every program of the repository runs on the simulator, with what the workload says coming out of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

import ttsc
from ttsc.backends.simulator.judging import is_right
from ttsc.backends.simulator.latents import Answers
from ttsc.compiler.cost.closed.voting import Votes
from ttsc.compiler.cost.distributions import Lengths
from ttsc.compiler.cost.workload import Question, Workload, Writing
from ttsc.compiler.cost.workload_file import default_workload
from ttsc.runtime.events import RunResult
from ttsc.simulation import in_virtual_time, simulate
from ttsc.stand_ins import with_stand_ins

PROGRAMS = Path(__file__).parents[2] / "programs"
INPUTS = {
    "with_notes": "contexts",
    "llm_judge": "essays",
    "iterative_retrieval": "rivers",
    "code_monkeys": "tasks",
    "verify_and_refine": "tasks",
    "tip_suggestion": "topics",
}
UNJUDGED = {"llm_judge", "tip_suggestion"}
"""What gives no answer: a grade, a list of texts."""


def values_for(name: str) -> list[dict[str, Any]]:
    lines = (PROGRAMS / "inputs" / f"{INPUTS.get(name, 'questions')}.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return [{"task": each["task"]} for each in found] if name == "code_monkeys" else found


def ran(
    program: Any, values: list[dict[str, Any]], workload: Workload, tmp_path: Path, **settings: Any
) -> list[RunResult]:
    async def work() -> list[RunResult]:
        return [
            result
            async for result in program.amap(
                [{**each, **settings} for each in values],
                engine=simulate(workload),
                seed=3,
                externs=with_stand_ins(program.ir, None, workload, inputs=values) if program.ir.externs else None,
                artifacts=str(tmp_path),
            )
        ]

    return in_virtual_time(work())


@pytest.mark.parametrize("path", sorted(PROGRAMS.glob("*.tts")), ids=lambda path: path.stem)
def test_a_program_gives_results_as_the_built_in_workload_says(path: Path, tmp_path: Path) -> None:
    program, workload = ttsc.compile(path, program=path.stem), default_workload()
    values = values_for(path.stem)
    found = ran(program, (values * 6)[:6], workload, tmp_path)
    assert [result.error for result in found] == [None] * 6
    judged = [is_right(workload, number, result.value) for number, result in enumerate(found)]
    if path.stem in UNJUDGED:
        assert judged == [None] * 6 and all(result.value for result in found)
    else:
        assert None not in judged and any(result.value for result in found)


@pytest.mark.parametrize(
    "name", ["beam_search", "budget_forcing", "iterative_retrieval", "tree_search", "verified_vote"]
)
def test_passes_change_no_result(name: str, tmp_path: Path) -> None:
    path, workload = PROGRAMS / f"{name}.tts", default_workload()
    plain, optimized = (
        [result.value for result in ran(ttsc.compile(path, name, level), values_for(name)[:2], workload, tmp_path)]
        for level in (0, 2)
    )
    assert plain == optimized


HARD = (0.15, 0.35, 0.5, 0.65, 0.9)
SPREAD = Workload(
    "spread",
    tuple(Question(each) for each in HARD),
    {"default": Writing(Lengths((40, 60)), answer="\\boxed{{{answer}}}")},
    collision=0.25,
)
MAJORITY = r"""
use std.answers (boxed)
prompt solve(question: str) { user "{{ question }}" }
program majority(question: str, n: int = 1 in 1..64) -> str {
    return solve(question) |> sample(n, max_tokens=128) |> vote(by=boxed)
}
program checked(question: str) -> str? {
    return solve(question)
        |> sample(1, max_tokens=128)
        |> verify(c => check(question, c.text), max_tokens=4)
        |> vote(by=boxed, otherwise=abstain)
}
prompt check(question: str, solution: str) { user "{{ question }}\n{{ solution }}\nIs it right? Yes or no." }
"""
N = 500


def accuracies(found: list[RunResult]) -> list[float]:
    """By question."""
    right = [is_right(SPREAD, number, result.value) for number, result in enumerate(found)]
    assert None not in right
    return [mean(map(bool, right[place :: len(HARD)])) for place in range(len(HARD))]


@pytest.mark.parametrize("n", [1, 5])
def test_a_majority_is_right_as_often_as_the_closed_form_says(n: int, tmp_path: Path) -> None:
    program = ttsc.compile(MAJORITY, program="majority")
    found = ran(program, [{"question": f"question {number}"} for number in range(N)], SPREAD, tmp_path, n=n)
    votes = Votes(Answers(SPREAD, 0).wrong(1.0), n)
    for found_, accuracy in zip(accuracies(found), HARD, strict=True):
        expected = votes.accuracy(accuracy, n)
        assert n > 1 or expected == pytest.approx(accuracy)
        assert abs(found_ - expected) < 4 * math.sqrt(expected * (1 - expected) * len(HARD) / N)


def test_what_a_verifier_lets_through_is_right_as_often_as_its_rates_say(tmp_path: Path) -> None:
    program = ttsc.compile(MAJORITY, program="checked")
    found = ran(program, [{"question": f"question {number}"} for number in range(N)], SPREAD, tmp_path)
    passed = [number for number, result in enumerate(found) if result.value is not None]
    right = [bool(is_right(SPREAD, number, found[number].value)) for number in passed]
    accepts = mean(0.8 * each + 0.2 * (1 - each) for each in HARD)
    assert abs(len(passed) / N - accepts) < 4 * math.sqrt(0.25 / N)
    assert abs(mean(right) - mean(0.8 * each for each in HARD) / accepts) < 4 * math.sqrt(0.25 / len(right))


def test_another_seed_of_the_workload_is_another_sample(tmp_path: Path) -> None:
    program = ttsc.compile(MAJORITY, program="majority")
    first, again, other = (
        in_virtual_time(program.arun(question="q", n=9, engine=simulate(SPREAD, seed=seed))).usage for seed in (1, 1, 2)
    )
    assert first == again and first != other


def test_wrong_host_functions_are_as_wrong_as_the_workload_says() -> None:
    """A stand-in decides by the marks, or by the answer, in what it is given."""
    source = (
        "use std.answers (boxed)\nrecord Report { passed: bool, note: str }\n"
        "extern tests(code: str) -> Report\nextern grade(code: str) -> float\nextern same(code: str) -> bool\n"
        'oracle extern truth(question: str) -> str\nprompt solve(q: str) { user "{{ q }}" }\n'
        "program p(q: str) -> bool { let c = solve(q) |> sample(1, max_tokens=128) |> one\n"
        'let r = tests(c.text)\nreturn r.passed and same(c.text) and grade(c.text) > -100.0 and truth(q) != "" }'
    )
    program = ttsc.compile(source)
    inputs = [{"q": f"question {number}"} for number in range(len(HARD))]
    exact = with_stand_ins(program.ir, None, SPREAD, inputs=inputs)
    answers = [Answers(SPREAD, place) for place in range(len(HARD))]
    assert [exact["truth"](each["q"]) for each in inputs] == [each.right for each in answers]
    assert exact["same"](f"It is {answers[2].right}.") is True and exact["same"](answers[2].text(1)) is False
    assert exact["tests"](answers[1].right)["passed"] is True and isinstance(exact["tests"]("x")["note"], str)
    found = in_virtual_time(program.arun(q="question 4", engine=simulate(SPREAD), externs=exact, evaluation=True))
    assert found.error is None and isinstance(found.value, bool)
    rates = replace(default_workload().verdicts["default"], true_positive=0.0, false_positive=1.0)
    wrong = with_stand_ins(program.ir, None, replace(SPREAD, verdicts={"extern": rates}), inputs=inputs)
    assert wrong["same"](answers[2].right) is False and wrong["same"]("nonsense") is True
    assert with_stand_ins(program.ir, {"same": len}, SPREAD)["same"] is len
