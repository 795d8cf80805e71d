"""`ttsc.plan` and `ttsc.load_plan`: what `ttsc plan` and `ttsc run plan.json` do, in a Python program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ttsc
from ttsc.compiler.cost.distributions import Lengths
from ttsc.compiler.cost.workload import Question, Workload, Writing
from ttsc.workloads import write_workload

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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "p.tts").write_text(VOTE)
    write_workload(EASY_AND_HARD, tmp_path / "w.toml")
    return tmp_path


def planned(folder: Path, **options: Any) -> Path:
    program = ttsc.compile(folder / "p.tts", disabled=["decide_early"])
    made = ttsc.plan(program, workload=folder / "w.toml", samples=6, **options)
    made.write(folder / "plan.json")
    return folder / "plan.json"


def test_what_was_planned_runs(folder: Path) -> None:
    plan = ttsc.load_plan(planned(folder, budget="calls<=5"))
    assert plan.setting == {"n": 5} and plan.models == {"policy": "Qwen3-8B"}
    engine = ttsc.simulate(folder / "w.toml")
    assert plan.run(q="How many?", engine=engine).usage.requests == 5, "the passes are the plan's, too"
    assert plan.run(q="How many?", n=3, engine=engine).usage.requests == 3
    results = mapped(plan, [{"q": "one"}, {"q": "two", "n": 2}, {"nothing": 1}], engine)
    assert [each.usage.requests for each in results] == [5, 2, 0]
    assert results[2].error is not None


def mapped(plan: ttsc.LoadedPlan, inputs: list[dict[str, Any]], engine: Any) -> list[ttsc.RunResult]:
    async def work() -> list[ttsc.RunResult]:
        return [each async for each in plan.amap(inputs, engine=engine)]

    return ttsc.in_virtual_time(work())


def test_what_changed_is_refused(folder: Path) -> None:
    path = planned(folder, budget="calls<=5")
    with pytest.raises(ttsc.UsageError, match="Qwen3-4B|qwen3-4b"):
        ttsc.load_plan(path).run(q="?", engine=ttsc.simulate(model="Qwen3-4B"))
    assert ttsc.load_plan(path, force=True).run(q="?", engine=ttsc.simulate(model="Qwen3-4B")).usage.requests == 5
    (folder / "p.tts").write_text(VOTE.replace("max_tokens=200", "max_tokens=300"))
    with pytest.raises(ttsc.UsageError, match="has changed"):
        ttsc.load_plan(path)


def test_a_table_by_difficulty_runs(folder: Path) -> None:
    path = planned(folder, budget="tokens<=600", by_difficulty=True)
    assert json.loads(path.read_text())["by_difficulty"]["probe"]
    plan = ttsc.load_plan(path)
    results = mapped(plan, [{"q": f"question {number}"} for number in range(6)], ttsc.simulate(folder / "w.toml"))
    assert len({each.usage.requests for each in results}) > 1, "some inputs get more than the probe"
    with pytest.raises(ttsc.UsageError, match="a budget is of one run"):
        plan.run(q="?", budget="calls<=9", engine=ttsc.simulate())


def test_a_program_of_no_file_has_no_plan_file(folder: Path) -> None:
    made = ttsc.plan(ttsc.compile(VOTE), workload=EASY_AND_HARD, budget="calls<=3", samples=4)
    assert made.setting == {"n": 3} and made.expected.calls <= 3 and "n=3" in str(made)
    with pytest.raises(ttsc.UsageError, match="no file"):
        made.write(folder / "other.json")
    with pytest.raises(ttsc.UsageError, match="no objective"):
        ttsc.plan(ttsc.compile(VOTE), objective="speed")  # type: ignore[arg-type]
