"""What a plan promises, against runs of it on other inputs and with other draws than it was made with."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

import ttsc
from ttsc.backends.simulator.latents import Answers
from ttsc.compiler.cost.distributions import Lengths
from ttsc.compiler.cost.workload import Question, Workload, Writing
from ttsc.estimates.engines import judged
from ttsc.estimates.given import stand_in_inputs
from ttsc.planning.plan_file import read_plan
from ttsc.workloads import write_workload

INPUTS = int(os.environ.get("TTSC_PLAN_INPUTS", "96"))
"""2400 and more are the full check."""

VOTE = """
use std.answers (number)
prompt pose(q: str) { user "{{ q }}" }
program vote_n(q: str, n: int = 4 in 1..32) -> str { return pose(q) |> sample(n, max_tokens=200) |> vote(by=number) }
"""
EASY_AND_HARD = Workload(
    "w",
    tuple(Question(p) for p in (0.95, 0.9, 0.85, 0.45, 0.4, 0.35)),
    {"default": Writing(Lengths.lognormal(60, 0.4), answer="Answer: {answer}")},
    collision=0.15,
)


@pytest.mark.parametrize("by_difficulty", [False, True])
def test_other_inputs_take_and_give_what_the_plan_says(tmp_path: Path, by_difficulty: bool) -> None:
    (tmp_path / "p.tts").write_text(VOTE)
    write_workload(EASY_AND_HARD, tmp_path / "w.toml")
    program = ttsc.compile(tmp_path / "p.tts", disabled=["decide_early"])
    budget = 600.0
    made = ttsc.plan(program, workload=tmp_path / "w.toml", budget=f"tokens<={budget:g}", by_difficulty=by_difficulty)
    made.write(tmp_path / "plan.json")
    assert (read_plan(tmp_path / "plan.json").by_difficulty is not None) is by_difficulty
    told = made.table.predicted if made.table is not None else made.expected
    inputs, _ = stand_in_inputs(program, {}, EASY_AND_HARD, INPUTS)
    plan = ttsc.load_plan(tmp_path / "plan.json")
    engine = ttsc.simulate(tmp_path / "w.toml", seed=17)

    async def work() -> list[ttsc.RunResult]:
        asked = [{"q": each["q"]} for each in inputs]
        return [each async for each in plan.amap(asked, engine=engine, seed=17, concurrency=1)]

    results = ttsc.in_virtual_time(work())
    answers = [Answers(EASY_AND_HARD, place) for place in range(len(EASY_AND_HARD.questions))]
    right = [judged(each.value, answers[number % len(answers)]) or 0.0 for number, each in enumerate(results)]
    tokens = [float(each.usage.prefill_tokens + each.usage.decoded_tokens) for each in results]
    assert told.accuracy is not None
    assert abs(mean(right) - told.accuracy) < 4 * error(right)
    assert abs(mean(tokens) - told.tokens) < 4 * error(tokens) + 0.01 * told.tokens
    assert mean(tokens) <= budget + 4 * error(tokens)


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def error(values: list[float]) -> float:
    """The standard error of their mean."""
    centre = mean(values)
    return math.sqrt(math.fsum((each - centre) ** 2 for each in values)) / len(values)
