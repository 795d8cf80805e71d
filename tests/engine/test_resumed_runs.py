"""Journals and replays on the real engine, whose seeds decide: a resumed run gives the values of an unbroken one,
and a replay, which has neither the engine nor its tokenizer, gives the results of the run.
"""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

import ttsc

PROGRAMS = Path(__file__).parents[2] / "programs"
QUESTIONS = [{"question": f"How much is {number} + 25?"} for number in (17, 4, 31)]
SETTINGS: dict[str, dict[str, Any]] = {
    "self_consistency": {"n": 4},
    "first_finish": {},
    "tree_search": {"rounds": 2, "step_tokens": 24},
    "budget_forcing": {"extensions": 1},
}


async def run(name: str, url: str, **more: Any) -> list[ttsc.RunResult]:
    program = ttsc.compile(PROGRAMS / f"{name}.tts")
    given = [{**question, **SETTINGS[name]} for question in QUESTIONS]
    return [result async for result in program.amap(given, engine=url, seed=11, **more)]


@pytest.mark.parametrize("name", SETTINGS)
async def test_a_resumed_run_gives_the_values_of_an_unbroken_one(name: str, engine_url: str, tmp_path: Path) -> None:
    program, journal = ttsc.compile(PROGRAMS / f"{name}.tts"), tmp_path / "journal"
    unbroken = await run(name, engine_url)
    given = [{**question, **SETTINGS[name]} for question in QUESTIONS]
    async with aclosing(  # type: ignore[type-var]
        program.amap(given, engine=engine_url, seed=11, journal=journal, ordered=False)
    ) as some:
        await anext(some)
    resumed = await run(name, engine_url, journal=journal)
    assert [each.value for each in resumed] == [each.value for each in unbroken]
    assert any(each.usage.taken_requests == each.usage.requests > 0 for each in resumed), "one had ended"


@pytest.mark.parametrize("name", SETTINGS)
async def test_a_replay_gives_the_results_of_the_run(name: str, engine_url: str, tmp_path: Path) -> None:
    results = await run(name, engine_url, trace=tmp_path / "run.jsonl")
    assert ttsc.replay(tmp_path / "run.jsonl") == results
