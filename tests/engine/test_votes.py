"""Votes that stop when they are sure, on a real engine: the same answer as when all votes are waited for."""

from __future__ import annotations

from typing import Any

import pytest

import ttsc

pytestmark = pytest.mark.timeout(300)
N = 10
HEAD = 'use std.answers (number)\nprompt solve(q: str) { user "{{ q }} Answer with a number." }\n'


def run(url: str, arguments: str, level: ttsc.Level) -> tuple[Any, ttsc.Decided, int]:
    """The answer, what decided it, and how many requests were sent."""
    text = f"""{HEAD}
program p(q: str) -> str? {{
    return solve(q)
        |> sample({N}, max_tokens=24, temperature=0.8)
        |> vote(by=number, otherwise=none, {arguments})
}}"""
    events: list[ttsc.Event] = []
    result = ttsc.compile(text, level=level).run(q="How much is 2 + 2?", engine=url, seed=5, on_event=events.append)
    decided = next(event for event in events if isinstance(event, ttsc.Decided))
    return result.value, decided, sum(isinstance(event, ttsc.RequestStarted) for event in events)


@pytest.mark.parametrize(
    "arguments",
    [
        "stop=adaptive, confidence=0.8",
        "stop=beta, confidence=0.8",
        "stop=esc, window=2",
        "stop=sprt, share=0.75, confidence=0.8",
        "wave=2",
    ],
)
def test_the_answer_is_that_of_all_votes(engine_url: str, arguments: str) -> None:
    value, early, sent = run(engine_url, arguments, 2)
    expected, late, all_sent = run(engine_url, arguments, 0)
    assert value == expected
    assert all_sent == N
    assert early.rule == late.rule
    if arguments != "wave=2":
        assert (early.looked, early.confidence) == (late.looked, late.confidence)
        if "beta" not in arguments:
            assert sent - early.looked in ((0, 1) if "esc" in arguments else (0,)), "no more than ends a wave"
