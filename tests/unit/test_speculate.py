"""Blocks that start ahead of their condition: what they save, what becomes of those that were for nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ttsc
from ttsc.backends.protocol import Sampling
from ttsc.backends.scripted import ScriptedEngine
from ttsc.compiler.plan.nodes import Plan
from ttsc.runtime.events import Event, RunResult

PROMPTS = """
prompt solve(question: str) { user "{{ question }}" }
prompt right(draft: str) { user "judge {{ draft }}" }
"""
REFINE = f"""{PROMPTS}
program refine_once(question: str) -> str {{
    let draft = solve(question) |> sample(1, max_tokens=64) |> one |> text
    let verdict = right(draft) |> sample(1, max_tokens=64) |> one |> text
    if verdict == "good good good good" {{ return draft }}
    return solve("again " + draft) |> sample(1, max_tokens=64) |> one |> text
}}
"""
ROUNDS = f"""{PROMPTS}
program until_right(question: str, n: int = 3) -> str {{
    var number = 0
    var answer = ""
    repeat n {{
        number = number + 1
        answer = solve(question + to_str(number)) |> sample(1, max_tokens=64) |> one |> text
    }} until (right(answer) |> sample(1, max_tokens=64) |> one |> text) == "good good good good"
    return answer
}}
"""
CHECKED = f"""{PROMPTS}
extern look(text: str) -> str
program checked(question: str) -> str {{
    let verdict = right(question) |> sample(1, max_tokens=64) |> one |> text
    if verdict == "good good good good" {{
        let draft = solve(question) |> sample(1, max_tokens=64) |> one |> text
        return look(draft)
    }}
    return look(verdict)
}}
"""
NESTED = f"""{PROMPTS}
program nested(question: str) -> str {{
    let verdict = right(question) |> sample(1, max_tokens=64) |> one |> text
    if verdict == "good good good good" {{
        let other = right("more " + question) |> sample(1, max_tokens=64) |> one |> text
        if other == "good good good good" {{
            return solve(question) |> sample(1, max_tokens=64) |> one |> text
        }}
    }}
    return question
}}
"""


class Judged:
    """Replies: drafts of 10 words, and verdicts of 4, good for the prompts that hold one of the words."""

    def __init__(self, *good: str) -> None:
        self.good = good

    def __call__(self, prompt: str, seed: int, sampling: Sampling) -> str:
        if "judge" not in prompt:
            return f"draft{seed % 1000} " + "and so on " * 3
        return " ".join(["good" if any(word in prompt for word in self.good) else "bad"] * 4)


def run(
    text: str, engine: ScriptedEngine, enabled: bool = True, level: ttsc.Level = 2, **given: Any
) -> tuple[RunResult, list[Event]]:
    events: list[Event] = []
    program = ttsc.compile(text, level=level, enabled=["speculate"] if enabled else [])
    result = program.run(question="q", engine=engine, seed=3, on_event=events.append, **given)
    assert engine.running == 0, "nothing is left decoding"
    return result, events


def asked(engine: ScriptedEngine) -> list[tuple[str, bool]]:
    """The requests in order: the last line of each prompt, and whether it was aborted."""
    decode = engine.tokenizer.decode
    return [(decode(each.request.input_ids), each.aborted) for each in engine.records]


def plan_of(text: str) -> Plan:
    return ttsc.compile(text, enabled=["speculate"]).plan


@pytest.mark.parametrize("good", [(), ("judge",)])
@pytest.mark.parametrize("text", [REFINE, ROUNDS, NESTED])
@pytest.mark.parametrize("level", [1, 2])
def test_the_value_is_the_same(text: str, good: tuple[str, ...], level: ttsc.Level) -> None:
    expected, _ = run(text, ScriptedEngine(Judged(*good)), enabled=False, level=0)
    for jitter in (0.0, 0.4):
        engine = ScriptedEngine(Judged(*good), jitter=jitter, jitter_seed=7)
        assert run(text, engine, level=level)[0].value == expected.value


def test_a_branch_runs_beside_what_its_condition_waits_for() -> None:
    """Draft, then the judge and the refinement side by side."""
    plain, ahead = ScriptedEngine(Judged()), ScriptedEngine(Judged())
    assert run(REFINE, plain, enabled=False)[0].value == run(REFINE, ahead)[0].value
    assert len(plain.records) == len(ahead.records) == 3
    judge, refinement = ahead.records[1:]
    assert judge.last_step is not None and refinement.first_step is not None
    assert refinement.first_step <= judge.first_step + 1 < judge.last_step  # type: ignore[operator]
    assert plain.records[2].first_step > plain.records[1].last_step  # type: ignore[operator]
    assert ahead.step < plain.step


def test_the_branch_that_was_for_nothing_is_aborted() -> None:
    engine = ScriptedEngine(Judged("judge"))
    result, _ = run(REFINE, engine)
    assert [aborted for _, aborted in asked(engine)] == [False, False, True]
    assert result.usage.requests == 3 and "draft" in result.value
    assert [request.abortable for request in plan_of(REFINE).requests] == [False, False, True]


def test_the_next_round_starts_before_the_verdict_on_this_one() -> None:
    plain, ahead = ScriptedEngine(Judged()), ScriptedEngine(Judged())
    assert run(ROUNDS, plain, enabled=False)[0].value == run(ROUNDS, ahead)[0].value
    assert len(plain.records) == len(ahead.records) == 6, "no round beyond the limit"
    assert ahead.step < plain.step


def test_the_round_that_was_for_nothing_is_aborted() -> None:
    def reply(prompt: str, seed: int, sampling: Sampling) -> str:
        return "good good good good" if "judge" in prompt else "a " * (4 if "q1" in prompt else 40)

    engine, plain = ScriptedEngine(reply), ScriptedEngine(reply)
    assert run(ROUNDS, engine)[0].value == run(ROUNDS, plain, enabled=False)[0].value
    assert len(plain.records) == 2
    drafts = [(prompt, aborted) for prompt, aborted in asked(engine) if "judge" not in prompt]
    assert [aborted for _, aborted in drafts] == [False, True]


@pytest.mark.parametrize("good", [True, False])
def test_calls_of_host_functions_wait(good: bool) -> None:
    """The draft is decoded beside the verdict, and looked at only if that is good."""
    engine = ScriptedEngine(Judged("judge") if good else Judged())
    looked: list[str] = []

    def look(text: str) -> str:
        looked.append(text)
        return "seen"

    result, _ = run(CHECKED, engine, externs={"look": look})
    assert result.value == "seen"
    assert len(looked) == 1 and looked[0].startswith("draft" if good else "bad")
    assert len(engine.records) == 2


def test_a_block_within_a_block_is_certain_when_both_are() -> None:
    for good, requests in ((("more",), 3), (("judge",), 3)):
        engine = ScriptedEngine(Judged(*good))
        plain = ScriptedEngine(Judged(*good))
        assert run(NESTED, engine)[0].value == run(NESTED, plain, enabled=False)[0].value
        assert len(engine.records) == requests


def test_speculative_requests_make_room_and_are_promoted() -> None:
    """One place: the judge goes first, although the other branch was asked for at the same time."""
    engine = ScriptedEngine(Judged(), slots=1)
    run(CHECKED, engine, externs={"look": lambda text: text})
    assert "judge" in asked(engine)[0][0]


def test_nothing_is_ahead_under_a_budget() -> None:
    engine, plain = ScriptedEngine(Judged()), ScriptedEngine(Judged())
    limited, _ = run(REFINE, engine, budget="tokens<=10k")
    unlimited, _ = run(REFINE, plain, enabled=False)
    steps = [[(each.first_step, each.last_step) for each in one.records] for one in (engine, plain)]
    assert limited.value == unlimited.value and steps[0] == steps[1]


def test_only_where_it_is_asked_for() -> None:
    assert "speculate" not in ttsc.compile(REFINE).plan.passes
    assert "speculate" in plan_of(REFINE).passes


@pytest.mark.parametrize("text", [REFINE, ROUNDS, NESTED, CHECKED])
@pytest.mark.parametrize("good", [(), ("judge",)])
async def test_a_trace_replays(text: str, good: tuple[str, ...], tmp_path: Path) -> None:
    """What ran ahead for nothing had been asked for as well, and comes to the same end."""
    program = ttsc.compile(text, enabled=["speculate"])
    inputs = [{"question": f"question {number}"} for number in range(2)]
    engine = ScriptedEngine(Judged(*good), jitter=0.3, jitter_seed=1)
    path = tmp_path / "run.jsonl"
    externs = {"look": lambda text: f"seen {len(text)}"} if text == CHECKED else {}
    results = [each async for each in program.amap(inputs, engine=engine, trace=path, seed=3, externs=externs)]
    assert ttsc.replay(path) == results
