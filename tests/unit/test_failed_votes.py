"""A vote of which every candidate failed has no result: `otherwise` is for candidates that gave no answer."""

from __future__ import annotations

import pytest

import ttsc
from ttsc.backends.protocol import ContextTooLong, RequestRefused
from ttsc.backends.scripted import ScriptedEngine

VOTE = """
prompt solve(question: str) { user "{{ question }}" }
program p(question: str) -> str { return solve(question) |> sample(4) |> vote(by=last_number, otherwise="nobody") }
"""


@pytest.mark.parametrize("level", [0, 2])
def test_all_failed(level: ttsc.Level) -> None:
    engine = ScriptedEngine({}, fault=lambda number, request: RequestRefused("not today", "ask tomorrow"))
    with pytest.raises(RequestRefused, match="not today"):
        ttsc.compile(VOTE, level=level).run(question="?", engine=engine)


@pytest.mark.parametrize("level", [0, 2])
def test_all_too_long(level: ttsc.Level) -> None:
    with pytest.raises(ContextTooLong):
        ttsc.compile(VOTE, level=level).run(question="?", engine=ScriptedEngine({}, context_tokens=10))


@pytest.mark.parametrize("level", [0, 2])
def test_no_answer(level: ttsc.Level) -> None:
    engine = ScriptedEngine(lambda prompt, seed, sampling: "no idea")
    assert ttsc.compile(VOTE, level=level).run(question="?", engine=engine).value == "nobody"


@pytest.mark.parametrize("level", [0, 2])
def test_some_failed(level: ttsc.Level) -> None:
    def fault(number: int, request: object) -> RequestRefused | None:
        return RequestRefused("not today") if number < 3 else None

    engine = ScriptedEngine(lambda prompt, seed, sampling: "it is 5", fault=fault)
    assert ttsc.compile(VOTE, level=level).run(question="?", engine=engine).value == "5"
