"""Blocks ahead of their condition, a specialized program and pools put together, on a real server."""

from __future__ import annotations

import pytest

import ttsc
from ttsc.backends.sglang.client import SGLangEngine

PROMPTS = """
prompt solve(question: str) { user "{{ question }}" }
prompt judge_it(draft: str) { user "Is this good? {{ draft }}" }
"""
BRANCH = f"""{PROMPTS}
program either(question: str, least: int) -> str {{
    let draft = solve(question) |> sample(1, max_tokens=6) |> one |> text
    let verdict = judge_it(draft) |> sample(1, max_tokens=12) |> one
    if verdict.tokens >= least {{ return draft }}
    return solve("Say it again: " + draft) |> sample(1, max_tokens=32) |> one |> text
}}
"""
LOOP = f"""{PROMPTS}
program rounds(question: str, least: int) -> str {{
    var number = 0
    var answer = ""
    repeat 3 {{
        number = number + 1
        answer = solve(question + to_str(number)) |> sample(1, max_tokens=8) |> one |> text
    }} until (judge_it(answer) |> sample(1, max_tokens=8) |> one).tokens >= least
    return answer
}}
"""
SUM = f"""{PROMPTS}
program together(question: str, least: int) -> str {{
    let pool = (solve(question) |> sample(3, max_tokens=6)) + (solve("Briefly: " + question) |> sample(2, max_tokens=6))
    return pool |> score(c => judge_it(c.text), max_tokens=4) |> best |> text
}}
"""


@pytest.mark.parametrize("least", [1, 1000])
@pytest.mark.parametrize("text", [BRANCH, LOOP, SUM], ids=["branch", "loop", "sum"])
async def test_the_value_is_the_same(text: str, least: int, engine: SGLangEngine) -> None:
    given = {"question": "Name a colour.", "least": least}
    plain = await ttsc.compile(text, level=0).arun(given, engine=engine, seed=5)
    ahead = ttsc.compile(text, enabled=["speculate"])
    result = await ahead.arun(given, engine=engine, seed=5)
    assert result.value == plain.value
    known = await ahead.specialize(least=least).arun(question="Name a colour.", engine=engine, seed=5)
    assert known.value == plain.value


async def test_what_was_for_nothing_is_aborted(engine: SGLangEngine) -> None:
    """In one of a few runs at least: what ran ahead may have ended by itself before the verdict."""
    program = ttsc.compile(BRANCH.replace("Say it again: ", "Write a long story about this: "), enabled=["speculate"])
    for seed in range(6):
        result = await program.arun(question="Name an animal.", least=1, engine=engine, seed=seed)
        assert result.usage.requests == 3
        if result.usage.aborted:
            assert result.usage.lost_tokens < 32
            return
    pytest.fail("nothing was aborted in six runs")
