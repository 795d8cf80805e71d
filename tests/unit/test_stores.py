"""Stores: files of JSON lines, what is wrong with them, and programs that learn from one input for the next."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ttsc
from ttsc.backends.scripted import ScriptedEngine
from ttsc.compiler.values.types import INT, STR, OptionalOf, RecordType
from ttsc.errors import UsageError

LESSON = RecordType("Lesson", (("text", STR), ("uses", INT), ("note", OptionalOf(STR))))
LEARN = """
store lessons: str
prompt ask_with(question: str, notes: list[str]) {
    user "{{ question }}{% for n in notes %} {{ n }}{% endfor %}"
}
program learn(question: str) -> str {
    let answer = ask_with(question, lessons) |> sample(1, max_tokens=30) |> one |> text
    lessons += answer
    return answer
}
program recall(question: str) -> int { return lessons |> length }
"""


def echo(prompt: str, seed: int, sampling: Any) -> str:
    """Says what it was asked, with a mark."""
    return "<" + prompt.partition("<|user|>")[2].partition("<|end|>")[0] + ">"


def learn(name: str = "learn") -> ttsc.CompiledProgram:
    return ttsc.compile(LEARN, program=name)


def problem(error: pytest.ExceptionInfo[UsageError]) -> str:
    return f"{error.value.problems[0].code}: {error.value.problems[0].message}"


def test_a_store_grows_from_run_to_run() -> None:
    store = ttsc.Store.memory(["old"])
    engine = ScriptedEngine(echo)
    first = learn().run(question="a", engine=engine, stores={"lessons": store})
    assert first.value == "<a old>"
    assert first.appended == {"lessons": ("<a old>",)}
    assert learn().run(question="b", engine=engine, stores={"lessons": store}).value == "<b old <a old>>"
    assert store.items == ("old", "<a old>", "<b old <a old>>")


def test_inputs_run_one_after_the_other_where_they_learn() -> None:
    engine = ScriptedEngine(echo, jitter=0.4, jitter_seed=3)

    async def results() -> list[Any]:
        found = learn().amap([{"question": q} for q in "abc"], engine=engine, concurrency=3, ordered=False)
        return [result.value async for result in found]

    assert asyncio.run(results()) == ["<a>", "<b <a>>", "<c <a> <b <a>>>"]
    assert engine.most_at_once == 1


def test_what_only_reads_runs_side_by_side() -> None:
    source = LEARN.replace("lessons += answer", "")
    engine = ScriptedEngine(echo)

    async def results() -> list[Any]:
        program = ttsc.compile(source, program="learn")
        found = program.amap([{"question": q} for q in "abc"], engine=engine, concurrency=3)
        return [result.value async for result in found]

    assert asyncio.run(results()) == ["<a>", "<b>", "<c>"]
    assert engine.most_at_once == 3


def test_a_file_keeps_them_and_an_empty_one_need_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lessons.jsonl"
    for question in "ab":
        learn().run(question=question, engine=ScriptedEngine(echo), stores={"lessons": ttsc.Store.open(path)})
    assert path.read_text() == '"<a>"\n"<b <a>>"\n'
    result = learn("recall").run(question="", stores={"lessons": ttsc.Store.open(path)})
    assert result.value == 2


def test_streamed_runs_learn_too() -> None:
    store = ttsc.Store.memory()

    async def main() -> None:
        async for _ in learn().astream(question="a", engine=ScriptedEngine(echo), stores={"lessons": store}):
            pass

    asyncio.run(main())
    assert store.items == ("<a>",)


def test_records_are_checked_when_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "lessons.jsonl"
    path.write_text('{"text": "a", "uses": 1}\n\n{"text": "b", "uses": 2, "note": "n"}\n')
    assert ttsc.Store.open(path).read(LESSON, "lessons") == (
        {"text": "a", "uses": 1, "note": None},
        {"text": "b", "uses": 2, "note": "n"},
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"text": "a", "uses": 1}\n{"text": "b", "uses": "2"}\n', ':2.uses must be an int, got the str "2"'),
        ('{"text": "a", "uses": 1}\n{"text": \n', ":2 is not JSON at character 10"),
        ("[" * 100_000, ":1 is not JSON"),
        ('{"text": "a"}\n', ":1 lacks the field 'uses'"),
        ('{"text": "a", "uses": 1, "used": 2}\n', ":1 has an unknown field 'used'"),
        ("\xff", "can't be read: it is not UTF-8 text"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "lessons.jsonl"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError) as caught:
        ttsc.Store.open(path).read(LESSON, "lessons")
    assert said in problem(caught)
    assert problem(caught).startswith("E0515")


def test_an_item_given_in_memory_is_checked_too() -> None:
    with pytest.raises(UsageError) as caught:
        learn().run(question="a", engine=ScriptedEngine(echo), stores={"lessons": ttsc.Store.memory(["a", 3])})
    assert problem(caught) == "E0515: item 2 of store 'lessons' must be a str, got the int 3"


def test_a_wrong_name_and_what_is_no_store() -> None:
    with pytest.raises(UsageError) as caught:
        learn().run(question="a", engine=ScriptedEngine(echo), stores={"lesson": ttsc.Store.memory()})
    assert problem(caught) == "E0515: the program has no store 'lesson'"
    assert caught.value.problems[0].hint == "did you mean 'lessons'?"
    with pytest.raises(UsageError) as caught:
        learn().run(question="a", engine=ScriptedEngine(echo), stores={"lessons": []})  # type: ignore[dict-item]
    assert problem(caught) == "E0515: store 'lessons' is a list"


def test_an_append_after_a_line_that_was_not_ended(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text('"a"')
    ttsc.Store.open(path).append(["b"])
    assert path.read_text() == '"a"\n"b"\n'


def test_an_append_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.jsonl"
    store = ttsc.Store.open(path)
    store.append(["a"])

    def fail(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UsageError, match="No space left"):
        store.append(["b"])
    monkeypatch.undo()
    assert store.items == ("a",)


def test_a_run_whose_items_cannot_be_kept_has_failed(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"

    def reply(prompt: str, seed: int, sampling: Any) -> str:
        path.mkdir()
        return "ok"

    with pytest.raises(ttsc.RunError) as caught:
        learn().run(question="a", engine=ScriptedEngine(reply), stores={"lessons": ttsc.Store.open(path)})
    assert caught.value.failure.code == "E0515"
    assert caught.value.result.usage.requests == 1


def test_a_store_that_breaks_within_a_batch_fails_the_later_inputs_only(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"

    async def results() -> list[ttsc.RunResult]:
        found = learn().amap(inputs(), engine=ScriptedEngine(echo), stores={"lessons": ttsc.Store.open(path)})
        return [result async for result in found]

    async def inputs() -> Any:
        yield {"question": "a"}
        while not path.exists():
            await asyncio.sleep(0.001)
        path.write_text("3\n")
        yield {"question": "b"}

    one, two = asyncio.run(results())
    assert one.value == "<a>"
    assert two.error is not None
    assert two.error.code == "E0515"


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read: Is a directory"):
        _ = ttsc.Store.open(tmp_path).items
    with pytest.raises(UsageError, match="can't be written: Is a directory"):
        ttsc.Store.open(tmp_path).append(["a"])


APPEND = """
import sys, ttsc
store = ttsc.Store.open(sys.argv[1])
for number in range(50):
    store.append([f"{sys.argv[2]}{number} " * 500, number])
"""


def test_processes_append_whole_items(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    workers = [subprocess.Popen([sys.executable, "-c", APPEND, str(path), name]) for name in "ab"]
    assert [worker.wait(50) for worker in workers] == [0, 0]
    items = ttsc.Store.open(path).items
    texts, numbers = items[::2], items[1::2]
    assert [text.partition(" ")[0][1:] for text in texts] == [str(number) for number in numbers], "whole appends"
    for name in "ab":
        own = [number for text, number in zip(texts, numbers, strict=True) if text[0] == name]
        assert own == list(range(50)), "each one's in its order"
