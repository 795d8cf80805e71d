"""The strategies that the test bed can't show (they need words, code or JSON), on a small general model and SGLang: the
same value as written and optimised, within static bounds, with requests to every role. What they are worth such a model
can't tell.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import ttsc
from ttsc.backends.sglang.client import SGLangEngine

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.strategies.counting import Counting, StaticBounds  # noqa: E402
from benchmarks.strategies.entries import CLAIMS, read  # noqa: E402

QUESTION = "A hen lays 2 eggs a day. How many eggs does she lay in 7 days?"
TASK = """use std.answers (number)

function answer(text: str) -> str? = number(text)
"""
"""The library's own, where any number is an answer: this model does not box its own."""
CASES: dict[str, dict[str, Any]] = {
    "trimmed_thinking": {"budget": 64, "segment_tokens": 16, "segments": 4, "least": 2, "answering": 16},
    "judge_with_extended_thinking": {"n": 2, "thinking": 32, "max_tokens": 48},
    "anytime_score": {"gold": "14", "budgets": [16, 48], "summaries": 2, "answering": 16},
    "hinted_tool_use": {"hints": ["Let me run this.\n```python\nprint(2 * 7)\n"], "thinking": 48, "answering": 16},
    "resample_until_passed": {"tests": ["assert True"], "most": 2, "max_tokens": 48},
    "fewest_failed_steps": {"n": 2, "max_tokens": 48, "graph_tokens": 48},
    "step_importance": {"max_tokens": 48, "max_steps": 4},
}


def test_no_strategy_is_left_out() -> None:
    """Whatever is not on the test bed is here."""
    skipped = {entry.name for entry in read() if entry.skip and entry.family != CLAIMS}
    assert skipped == set(CASES)


async def ran(name: str, level: ttsc.Level, engine: SGLangEngine, task: Path) -> tuple[Any, str, set[str]]:
    """The value, what exceeded a bound, and the roles that were asked."""
    program = ttsc.compile(f"std:{name}", level=level, task=task)
    bounds, counting, asked = StaticBounds(program), Counting(), set()

    def seen(event: ttsc.Event) -> None:
        counting(event)
        if isinstance(event, ttsc.RequestStarted):
            asked.add(event.role)

    values = {"question": QUESTION, **CASES[name]}
    [result] = [
        each
        async for each in program.amap(
            [values], engine=engine, seed=5, evaluation=name == "anytime_score", on_event=seen
        )
    ]
    assert result.error is None
    return result.value, bounds.exceeded(values, counting.runs[0]), asked


@pytest.mark.parametrize("name", CASES)
async def test_a_strategy_on_a_general_model(name: str, engine: SGLangEngine, tmp_path: Path) -> None:
    task = tmp_path / "task.tts"
    task.write_text(TASK, encoding="utf-8")
    written, over, _ = await ran(name, 0, engine, task)
    optimised, over_too, asked = await ran(name, 2, engine, task)
    assert (over, over_too) == ("", "")
    assert written == optimised
    assert asked == set(ttsc.compile(f"std:{name}").models)
