"""A journal: what is done is not done again, a run that was cut off ends as an unbroken one, and what is of something
else is refused.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ttsc
from ttsc.backends.protocol import RequestFailed, Sampling
from ttsc.backends.scripted import ScriptedEngine, ScriptedTokenizer
from ttsc.runtime.events import AnswerTaken, Event

PROGRAM = """
prompt solve(question: str) {
    user "{{ question }}"
}

prompt judge(question: str, answer: str) {
    user "{{ question }}: is {{ answer }} right?"
}

program voted(question: str, n: int = 5 in 1..16) -> str {
    let answer = solve(question) |> sample(n, max_tokens=8) |> vote(by=text)
    let verdict = judge(question, answer) |> sample(2, max_tokens=8) |> vote(by=text)
    return answer + ", " + verdict
}
"""
ACTING = """
extern note(text: str) -> int
environment extern act(text: str) -> int

prompt solve(question: str) {
    user "{{ question }}"
}

program acted(question: str) -> int {
    let draft = solve(question) |> sample(1, max_tokens=8) |> one
    let noted = note(draft.text)
    return act(draft.text) + noted
}
"""
STORING = """
store lessons: str

prompt solve(question: str, known: list[str]) {
    user "{{ known | length }}: {{ question }}"
}

program stored(question: str) -> str {
    let draft = solve(question, lessons) |> sample(1, max_tokens=8) |> one
    lessons += [draft.text]
    return draft.text
}
"""


def said(prompt: str, seed: int, sampling: Sampling) -> str:
    """One of a few answers, by the seed."""
    return ("yes", "no", "well then")[seed % 3] + " so" * (seed % 5)


def engine(tokenizer: ScriptedTokenizer | None = None, **more: Any) -> ScriptedEngine:
    return ScriptedEngine(said, tokenizer=tokenizer, **more)


def inputs(count: int) -> list[dict[str, Any]]:
    return [{"question": f"question {number}?"} for number in range(count)]


async def values_of(
    program: ttsc.CompiledProgram, given_: list[dict[str, Any]], on: ScriptedEngine, **more: Any
) -> list[ttsc.RunResult]:
    found = [result async for result in program.amap(given_, engine=on, ordered=False, **more)]
    return sorted(found, key=lambda result: result.input)


async def some_of(count: int, results: AsyncIterator[ttsc.RunResult]) -> None:
    """Take so many results, and then stop the run."""
    async with aclosing(results) as running:  # type: ignore[type-var]
        for _ in range(count):
            await anext(running)


def copied(path: Path) -> Path:
    """The journal as a process that was killed now would leave it."""
    copy = path.with_name(f"killed-{random.random()}")
    for end in ("", "-wal"):
        file = path.with_name(path.name + end)
        if file.exists():
            copy.with_name(copy.name + end).write_bytes(file.read_bytes())
    return copy


async def test_a_run_that_was_cut_off_takes_what_it_had(tmp_path: Path) -> None:
    program, path, tokenizer = ttsc.compile(PROGRAM), tmp_path / "journal", ScriptedTokenizer()
    unbroken = await values_of(program, inputs(6), engine(tokenizer))
    first = engine(tokenizer, step_s=0.002)
    await some_of(2, program.amap(inputs(6), engine=first, journal=path, concurrency=3, ordered=False))
    assert first.running == 0
    again, events = engine(tokenizer), []
    resumed = await values_of(program, inputs(6), again, journal=path, on_event=events.append)
    assert [result.value for result in resumed] == [result.value for result in unbroken]
    answered = [record.request for record in first.records if record.completion and record.completion.finish != "abort"]
    asked = [record.request for record in again.records]
    known = {(request.input_ids, request.sampling.seed) for request in answered}
    assert not known & {(request.input_ids, request.sampling.seed) for request in asked}, "asked twice"
    taken = [event for event in events if isinstance(event, AnswerTaken)]
    usage = [result.usage for result in resumed]
    assert sum(each.taken_requests for each in usage) >= len(taken)
    assert sum(each.requests - each.taken_requests for each in usage) == len(asked)


async def test_a_journal_that_is_whole_asks_nothing(tmp_path: Path) -> None:
    program, path, tokenizer = ttsc.compile(PROGRAM), tmp_path / "journal", ScriptedTokenizer()
    first = await values_of(program, inputs(3), engine(tokenizer), journal=path)
    silent = engine(tokenizer)
    second = await values_of(program, inputs(4), silent, journal=path)
    assert [each.value for each in second[:3]] == [each.value for each in first]
    assert len({record.request.input_ids for record in silent.records if "question 3" in str(record)}) <= 2
    assert all(each.usage.taken_requests == each.usage.requests > 0 for each in second[:3])
    assert second[3].usage.taken_requests == 0
    assert len(silent.records) == second[3].usage.requests


async def test_an_input_that_failed_is_run_again_from_its_answers(tmp_path: Path) -> None:
    program, path, tokenizer = ttsc.compile(PROGRAM), tmp_path / "journal", ScriptedTokenizer()

    def fault(number: int, request: Any) -> Any:
        asked = tokenizer.show(request.input_ids)
        return RequestFailed("boom") if "right?" in asked else None

    failing = engine(tokenizer, fault=fault)
    (failed,) = await values_of(program, inputs(1), failing, journal=path)
    assert failed.error is not None
    whole = engine(tokenizer)
    (result,) = await values_of(program, inputs(1), whole, journal=path)
    assert result.error is None
    assert all("right?" in tokenizer.show(record.request.input_ids) for record in whole.records)
    (unbroken,) = await values_of(program, inputs(1), engine(tokenizer))
    assert result.value == unbroken.value


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 120), st.integers(0, 1000), st.integers(0, 3))
def test_killed_at_any_event_it_ends_as_an_unbroken_run(events: int, jitter_seed: int, flushed: int) -> None:
    async def scenario(path: Path) -> None:
        program, tokenizer = ttsc.compile(PROGRAM), ScriptedTokenizer()
        unbroken = await values_of(program, inputs(4), engine(tokenizer))
        kill, seen = asyncio.Event(), 0

        def on_event(event: Event) -> None:
            nonlocal seen
            seen += 1
            if seen == events:
                kill.set()

        shaken = engine(tokenizer, jitter=0.4, jitter_seed=jitter_seed)
        copies: list[Path] = []

        async def watch() -> None:
            await kill.wait()
            if flushed:
                await asyncio.sleep(0.01 * flushed)
            copies.append(copied(path))

        watcher = asyncio.ensure_future(watch())
        await values_of(program, inputs(4), shaken, journal=path, on_event=on_event, concurrency=3)
        kill.set()
        await watcher
        resumed = await values_of(program, inputs(4), engine(tokenizer), journal=copies[0])
        assert [each.value for each in resumed] == [each.value for each in unbroken]
        assert all(each.error is None for each in resumed)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder) / "journal"))


# --- what belongs to something else ---


async def refusal(program: ttsc.CompiledProgram, path: Path, **more: Any) -> str:
    on = more.pop("engine", None) or engine()
    with pytest.raises(ttsc.UsageError) as caught:
        async with program.open(engine=on, journal=path, **more):
            pass
    (problem,) = caught.value.problems
    assert problem.code == "E0517" and problem.hint
    return problem.message


async def test_a_journal_of_something_else_is_refused(tmp_path: Path) -> None:
    program, path = ttsc.compile(PROGRAM), tmp_path / "journal"
    await values_of(program, inputs(1), engine(), journal=path)
    assert "was changed" in await refusal(ttsc.compile(PROGRAM.replace("sample(2", "sample(3")), path)
    assert "compiled at -O2" in await refusal(ttsc.compile(PROGRAM, level=0), path)
    assert "the program 'voted'" in await refusal(ttsc.compile(STORING), path)
    assert "no budget" in await refusal(program, path, budget="calls<=9")
    assert "policy=scripted" in await refusal(program, path, engine=engine(model="another"))
    only_a_comment = ttsc.compile("# a comment\n" + PROGRAM)
    async with only_a_comment.open(engine=engine(), journal=path) as runs:
        assert runs.journal is not None and runs.journal.resumed


async def test_inputs_that_changed_are_noticed(tmp_path: Path) -> None:
    program, path = ttsc.compile(PROGRAM), tmp_path / "journal"
    await values_of(program, inputs(2), engine(), journal=path)
    results = await values_of(program, [inputs(1)[0], {"question": "another?"}], engine(), journal=path)
    assert results[0].error is None
    error = results[1].error
    assert error is not None and error.code == "E0517" and "input 1 had other values" in error.message
    (seeded,) = await values_of(program, inputs(1), engine(), journal=path, seed=5)
    assert seeded.error is not None and "seed 0" in seeded.error.message


async def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    program, path = ttsc.compile(PROGRAM), tmp_path / "journal"
    async with program.open(engine=engine(), journal=path):
        assert "in use by another run" in await refusal(program, path)
    async with program.open(engine=engine(), journal=path):
        pass


async def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    program, path = ttsc.compile(PROGRAM), tmp_path / "journal"
    path.write_text("this is a text, and it is long enough to be one " * 40)
    assert "is no journal" in await refusal(program, path)
    other = tmp_path / "other"
    with closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE t (x)")
    assert "another program's database" in await refusal(program, other)
    later = tmp_path / "later"
    await values_of(program, inputs(1), engine(), journal=later)
    with closing(sqlite3.connect(later)) as database:
        database.execute("PRAGMA user_version=99")
    assert "format 99" in await refusal(program, later)
    assert "can't be used" in await refusal(program, tmp_path / "nowhere" / "journal")


async def test_a_journal_that_can_not_be_written_any_more_loses_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, path = ttsc.compile(PROGRAM), tmp_path / "journal"
    async with program.open(engine=engine(), journal=path) as runs:
        assert runs.journal is not None
        await runs.journal.flush()

        def full(*_: Any) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr("ttsc.runtime.journal_file.JournalFile._commit", full)
        result = await runs.run(program.check_input(inputs(1)[0]))
        assert result.error is None and result.value
        with pytest.raises(ttsc.UsageError) as caught:
            while runs.journal.problem is None:
                await asyncio.sleep(0.001)
            await runs.run(program.check_input(inputs(2)[1]), number=1)
        assert caught.value.problems[0].code == "E0517" and "disk is full" in caught.value.problems[0].message
        assert runs.journal.problem is not None


# --- what programs do to the world ---


async def test_calls_that_ended_are_not_made_again(tmp_path: Path) -> None:
    program, path, tokenizer = ttsc.compile(ACTING), tmp_path / "journal", ScriptedTokenizer()
    made: list[str] = []
    failing = True

    def note(text: str) -> int:
        made.append("note")
        return 1

    async def act(text: str) -> int:
        made.append("act")
        if failing:
            raise ValueError("the world is closed")
        return 2

    functions: Mapping[str, Any] = {"note": note, "act": act}
    (first,) = await values_of(program, inputs(1), engine(tokenizer), journal=path, externs=functions)
    assert first.error is not None and "the world is closed" in first.error.message
    failing = False
    silent = engine(tokenizer)
    (second,) = await values_of(program, inputs(1), silent, journal=path, externs=functions)
    assert second.error == first.error, "what has failed in the world is not tried again"
    assert made == ["note", "act"] and silent.records == []
    assert second.usage.taken_calls == 2 == second.usage.extern_calls


async def test_a_call_that_was_under_way_is_neither_made_again_nor_taken_for_done(tmp_path: Path) -> None:
    program, path, tokenizer = ttsc.compile(ACTING), tmp_path / "journal", ScriptedTokenizer()
    copies: list[Path] = []

    async def act(text: str) -> int:
        copies.append(copied(path))
        return 2

    functions: Mapping[str, Any] = {"note": lambda text: 1, "act": act}
    (first,) = await values_of(program, inputs(1), engine(tokenizer), journal=path, externs=functions)
    assert first.value == 3
    (second,) = await values_of(program, inputs(1), engine(tokenizer), journal=copies[0], externs=functions)
    assert second.error is not None and second.error.code == "R0514"
    assert len(copies) == 1, "it was not called again"


@pytest.mark.parametrize("kept", ["file", "memory"])
async def test_stores_get_each_item_once(kept: str, tmp_path: Path) -> None:
    program, path, tokenizer = ttsc.compile(STORING), tmp_path / "journal", ScriptedTokenizer()
    plain_store = ttsc.Store.memory()
    unbroken = await values_of(program, inputs(5), engine(tokenizer), stores={"lessons": plain_store})
    file = ttsc.Store.open(tmp_path / "lessons.jsonl")
    store = file if kept == "file" else ttsc.Store.memory()
    await some_of(3, program.amap(inputs(5), engine=engine(tokenizer), journal=path, stores={"lessons": store}))
    store = file if kept == "file" else ttsc.Store.memory()
    resumed = await values_of(program, inputs(5), engine(tokenizer), journal=path, stores={"lessons": store})
    assert [each.value for each in resumed] == [each.value for each in unbroken]
    assert store.items == plain_store.items


@pytest.mark.parametrize("written", [False, True])
async def test_items_that_were_being_written_are_written_once(written: bool, tmp_path: Path) -> None:
    program, tokenizer, path = ttsc.compile(STORING), ScriptedTokenizer(), tmp_path / "journal"
    copies: list[Path] = []

    class Watched(type(ttsc.Store.memory())):  # type: ignore[misc]
        def append(self, items: Any) -> None:
            if not written:
                copies.append(copied(path))
            super().append(items)
            if written:
                copies.append(copied(path))

    first = Watched(())
    await values_of(program, inputs(1), engine(tokenizer), journal=path, stores={"lessons": first})
    held = ttsc.Store.memory(first.items if written else ())
    silent = engine(tokenizer)
    (result,) = await values_of(program, inputs(1), silent, journal=copies[0], stores={"lessons": held})
    assert result.error is None and silent.records == []
    assert held.items == first.items and len(held.items) == 1


async def test_a_budget_counts_what_was_spent_before(tmp_path: Path) -> None:
    program, path, tokenizer = ttsc.compile(PROGRAM), tmp_path / "journal", ScriptedTokenizer()
    copies: list[Path] = []
    async with program.open(engine=engine(tokenizer, step_s=0.01), journal=path, budget="calls<=7") as runs:
        assert runs.journal is not None

        async def copy() -> None:
            await runs.journal.flush()
            copies.append(copied(path))

        def on_event(event: Event) -> None:
            if isinstance(event, ttsc.Decided):
                asyncio.ensure_future(copy())

        whole = await runs.run(program.check_input(inputs(1)[0]), on_event=on_event)
    assert not whole.cut and whole.usage.requests == 7
    second = engine(tokenizer)
    (resumed,) = await values_of(program, inputs(1), second, journal=copies[0], budget="calls<=7")
    assert resumed.value == whole.value and resumed.usage.taken_requests >= 3
    assert resumed.usage.requests - resumed.usage.taken_requests == len(second.records) == 2


async def test_a_run_of_one_input_has_a_journal_too(tmp_path: Path) -> None:
    program, path, tokenizer = ttsc.compile(PROGRAM), tmp_path / "journal", ScriptedTokenizer()
    first = await program.arun(question="sky?", engine=engine(tokenizer), journal=path, trace=tmp_path / "run.jsonl")
    silent = engine(tokenizer)
    events = [event async for event in program.astream(question="sky?", engine=silent, journal=path)]
    (ended,) = events
    assert isinstance(ended, ttsc.RunEnded) and ended.result.value == first.value and silent.records == []
    (replayed,) = ttsc.replay(tmp_path / "run.jsonl")
    assert replayed == first
