"""The Python interface, on the scripted engine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import ttsc
from ttsc.backends.protocol import EngineError, GenerateRequest, RequestRefused
from ttsc.backends.scripted import ScriptedEngine

VOTE = """
\"\"\"Majority of n answers.\"\"\"
prompt solve(question: str) {
    user "{{ question }}"
}

program vote_on(question: str, n: int = 5 in 1..16) -> str {
    return solve(question) |> sample(n, max_tokens=8) |> vote(by=text)
}
"""
ONE = """
prompt solve(question: str) {
    user "{{ question }}"
}

program one_answer(question: str, n: int = 1 in 1..4) -> str {
    let draft = solve(question) |> sample(n, max_tokens=8) |> stop_first(1) |> one
    return draft.text
}
"""
CHECKED = """
record Report {
    passed: bool
    note: str
}

extern examine(text: str, limit: int) -> Report

prompt solve(question: str) {
    user "{{ question }}"
}

program examined(question: str) -> str {
    let draft = solve(question) |> sample(1, max_tokens=8) |> one
    let report = examine(draft.text, 3)
    if report.passed { return report.note }
    return "no"
}
"""


def engine(**more: Any) -> ScriptedEngine:
    return ScriptedEngine({"sky": ["blue"], "sum": ["4", "4", "5"], "slow": ["a b c d e f g"]}, **more)


@pytest.fixture(scope="module")
def vote() -> ttsc.CompiledProgram:
    return ttsc.compile(VOTE)


def test_a_program_tells_what_it_is(vote: ttsc.CompiledProgram) -> None:
    assert (vote.name, vote.doc) == ("vote_on", "Majority of n answers.")
    assert [(item.name, str(item.value.type), item.required) for item in vote.parameters] == [
        ("question", "str", True),
        ("n", "int", False),
    ]
    assert "decide_early" in vote.plan.passes
    assert list(vote.models.values()) == [None]
    assert repr(vote) == "<ttsc program vote_on(question: str, n: int)>"


def test_a_file_a_path_and_a_text_compile(tmp_path: Path) -> None:
    file = tmp_path / "vote.tts"
    file.write_text(VOTE, encoding="utf-8")
    assert ttsc.compile(file).name == ttsc.compile(str(file)).name == ttsc.compile(VOTE, "vote_on").name
    assert ttsc.compile(VOTE, level=0).plan.passes == ()
    assert "merge_generations" not in ttsc.compile(VOTE, disabled=["merge_generations"]).plan.passes


def test_run_gives_the_value_and_its_cost(vote: ttsc.CompiledProgram) -> None:
    result = vote.run(question="sky?", engine=engine())
    assert result.value == "blue"
    assert result.usage.requests == 5
    assert result.error is None
    assert vote.run({"question": "sky?"}, n=1, engine=engine()).usage.requests == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "E0501"),
        ({"question": "?", "m": 3}, "E0502"),
        ({"question": 1}, "E0503"),
        ({"question": "?", "n": 0}, "E0504"),
    ],
)
def test_a_wrong_input_is_refused_before_anything_runs(
    vote: ttsc.CompiledProgram, given: dict[str, Any], said: str
) -> None:
    scripted = engine()
    with pytest.raises(ttsc.InputError, match=said):
        vote.run(given, engine=scripted)
    with pytest.raises(ValueError, match="given twice"):
        vote.run({"question": "?"}, question="?", engine=scripted)
    assert not scripted.records


async def test_run_inside_an_event_loop_says_what_to_do(vote: ttsc.CompiledProgram) -> None:
    with pytest.raises(ttsc.UsageError, match=r"await program\.arun"):
        vote.run(question="sky?", engine=engine())
    assert (await vote.arun(question="sky?", engine=engine())).value == "blue"


async def test_events_come_in_order_and_end_with_the_result(vote: ttsc.CompiledProgram) -> None:
    events = [event async for event in vote.astream(question="sky?", engine=engine())]
    assert isinstance(events[0], ttsc.InputStarted) and events[0].values["n"] == 5
    assert isinstance(events[1], ttsc.RequestStarted)
    assert any(isinstance(event, ttsc.Decided) and event.value for event in events)
    assert isinstance(events[-1], ttsc.RunEnded)
    assert events[-1].result.value == "blue"


async def test_leaving_a_stream_aborts_on_the_engine(vote: ttsc.CompiledProgram) -> None:
    scripted = engine(step_s=0.01)
    async with aclosing(vote.astream(question="slow?", engine=scripted)) as events:
        async for event in events:
            if isinstance(event, ttsc.RequestStarted):
                break
    assert scripted.running == 0


@pytest.mark.parametrize("ordered", [True, False])
async def test_many_inputs_share_a_session(vote: ttsc.CompiledProgram, ordered: bool) -> None:
    inputs = [{"question": "slow?" if number % 3 == 0 else "sky?"} for number in range(10)]
    results = [result async for result in vote.amap(inputs, engine=engine(), concurrency=3, ordered=ordered)]
    numbers = [result.input for result in results]
    assert sorted(numbers) == list(range(10))
    assert (numbers == sorted(numbers)) or not ordered
    assert all(result.value for result in results)


async def test_one_bad_input_stops_no_other() -> None:
    def fault(number: int, request: GenerateRequest) -> EngineError | None:
        return RequestRefused("too much", "ask less") if number == 0 else None

    inputs: list[dict[str, Any]] = [{"question": "sky?", "n": 1}, {"qestion": "sky?"}, {"question": "sky?", "n": 1}]
    program = ttsc.compile(ONE)
    results = [result async for result in program.amap(inputs, engine=engine(fault=fault), concurrency=1)]
    assert [result.error.kind if result.error else "" for result in results] == ["engine", "input", ""]
    assert results[2].value == "blue"


async def test_inputs_are_read_as_they_are_needed(vote: ttsc.CompiledProgram) -> None:
    """A source that waits for a result before it gives the next input gets it."""
    seen = asyncio.Event()

    async def source() -> AsyncIterator[dict[str, Any]]:
        yield {"question": "sky?"}
        await asyncio.wait_for(seen.wait(), 5)
        yield {"question": "sky?"}

    count = 0
    async for _ in vote.amap(source(), engine=engine()):
        count += 1
        seen.set()
    assert count == 2


def test_a_failed_run_raises_the_engines_own_error() -> None:
    def fault(number: int, request: GenerateRequest) -> EngineError | None:
        return RequestRefused("too long", "ask less")

    with pytest.raises(RequestRefused, match="too long") as caught:
        ttsc.compile(ONE).run(question="sky?", engine=engine(fault=fault))
    assert caught.value.hint == "ask less"
    assert isinstance(caught.value.__cause__, ttsc.RunError)


def test_an_unreachable_engine_says_so(vote: ttsc.CompiledProgram) -> None:
    with pytest.raises(ttsc.EngineUnavailable):
        vote.run(question="sky?", engine="http://127.0.0.1:9")
    with pytest.raises(ttsc.EngineUnavailable), ttsc.connect("http://127.0.0.1:9"):
        pass


def test_roles_are_checked(vote: ttsc.CompiledProgram) -> None:
    with pytest.raises(ttsc.UsageError, match="no model role 'jugde'"):
        vote.run(question="?", engine=engine(), models={"jugde": "x"})
    (role,) = vote.models
    assert vote.run(question="sky?", engine={role: engine()}).value == "blue"
    with pytest.raises(ttsc.UsageError, match="no engine was given"):
        vote.run(question="sky?", engine={})


# --- externs --------------------------------------------------------------------------------------------------------


@ttsc.extern
def examine(text: str, limit: int) -> dict[str, Any]:
    """Sync, a mapping."""
    return {"passed": len(text) > limit, "note": text.upper()}


@ttsc.extern(name="examine")
async def examine_later(text: str, limit: int) -> Any:
    """Async, an object."""
    await asyncio.sleep(0)
    return Report(len(text) > limit, text.upper())


@dataclass
class Report:
    passed: bool
    note: str


class Loose:
    def __init__(self) -> None:
        self.passed = True
        self.note = "LOOSE"


@pytest.mark.parametrize(
    ("externs", "value"),
    [([examine], "BLUE"), ([examine_later], "BLUE"), ({"examine": lambda text, limit: Loose()}, "LOOSE")],
)
def test_externs_are_called_with_the_declared_parameters(externs: Any, value: str) -> None:
    assert ttsc.compile(CHECKED).run(question="sky?", engine=engine(), externs=externs).value == value
    assert examine("abcd", 3) == {"passed": True, "note": "ABCD"}


def wrong_order(limit: int, text: str) -> dict[str, Any]:
    return {}


def wrong_type(text: str, limit: str) -> dict[str, Any]:
    return {}


def wrong_result(text: str, limit: int) -> int:
    return 1


@pytest.mark.parametrize(
    ("externs", "said"),
    [
        (None, "needs the extern 'examine'"),
        ({"examin": examine}, "did you mean 'examin'"),
        ({"examine": lambda text: None}, "can't be called as declared"),
        ({"examine": wrong_order}, "in another order"),
        ({"examine": wrong_type}, "takes 'limit' as str, not int"),
        ({"examine": wrong_result}, "returns int, not Report"),
    ],
)
def test_externs_that_do_not_fit_are_refused_before_anything_runs(externs: Any, said: str) -> None:
    scripted = engine()
    with pytest.raises(ttsc.UsageError, match=said):
        ttsc.compile(CHECKED).run(question="sky?", engine=scripted, externs=externs)
    assert not scripted.records


def test_an_extern_that_returns_something_else_fails_the_run() -> None:
    with pytest.raises(ttsc.RunError, match="should return Report") as caught:
        ttsc.compile(CHECKED).run(question="sky?", engine=engine(), externs={"examine": lambda text, limit: 3})
    assert caught.value.failure.kind == "extern"


# --- engines --------------------------------------------------------------------------------------------------------


class Process:
    """A server that was started: what an `EngineHandle` needs of it."""

    url = "http://127.0.0.1:1"
    model_path = "/models/m"

    def __init__(self) -> None:
        self.stopped = threading.Event()

    def stop(self) -> None:
        self.stopped.set()


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Process:
    """`ttsc.launch` starts this one, and connecting to it gives a scripted engine."""
    process = Process()

    async def connect(url: str, **_: Any) -> ScriptedEngine:
        return engine()

    monkeypatch.setattr("ttsc.backends.sglang.launcher.launch", lambda *_, **__: process)
    monkeypatch.setattr("ttsc.backends.sglang.kept.find_running", lambda *_, **__: None)
    monkeypatch.setattr("ttsc.backends.sglang.client.SGLangEngine.connect", connect)
    return process


def test_a_launched_engine_stops_with_its_context(vote: ttsc.CompiledProgram, launched: Process) -> None:
    with ttsc.launch("m") as handle:
        assert handle.url == launched.url
        assert vote.run(question="sky?", engine=handle).value == "blue"
        assert vote.run(question="sky?", engine=handle).value == "blue"
        assert not launched.stopped.is_set()
    assert launched.stopped.is_set()
    with pytest.raises(ttsc.UsageError, match="has not been started"):
        vote.run(question="sky?", engine=handle)


async def test_a_handle_serves_any_event_loop(vote: ttsc.CompiledProgram, launched: Process) -> None:
    async with ttsc.launch("m") as handle:
        here = (await vote.arun(question="sky?", engine=handle)).value
        there = await asyncio.to_thread(vote.run, question="sky?", engine=handle)
        assert here == there.value == "blue"
        assert (await handle.info()).model == "scripted"
    assert launched.stopped.is_set()


def test_without_an_engine_one_is_launched_for_the_run(vote: ttsc.CompiledProgram, launched: Process) -> None:
    assert vote.run(question="sky?").value == "blue"
    assert launched.stopped.is_set()


async def test_cancelling_a_launch_stops_what_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    process, begun = Process(), threading.Event()

    def launch(*_: Any, on_start: Any, **__: Any) -> Process:
        on_start(process)
        begun.set()
        process.stopped.wait(10)
        raise ttsc.EngineUnavailable("it ended")

    monkeypatch.setattr("ttsc.backends.sglang.launcher.launch", launch)
    task = asyncio.create_task(ttsc.launch("m").__aenter__())
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert process.stopped.is_set()
