"""What a run is given besides its parameters: budgets, oracles, folders of offline values, pictures, abstentions."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_programs import Captured

import ttsc
from ttsc.backends.protocol import Image
from ttsc.backends.scripted import ScriptedEngine
from ttsc.budgets import read_budget
from ttsc.cli import run as main
from ttsc.compiler.ir.nodes import Limit, Parameter, Value
from ttsc.compiler.values.types import IMAGE, INT, STR, Interval, ListOf, OptionalOf, RecordType, Type
from ttsc.errors import InputError, UsageError
from ttsc.images import MAX_BYTES, read_image
from ttsc.inputs import bind, from_text

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8
JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 8
VOTE = """
prompt solve(question: str) { user "{{ question }}" }
program vote_on(question: str, n: int = 5) -> str BUDGET {
    return solve(question) |> sample(n, max_tokens=8) |> vote(by=text)
}
"""
JUDGED = """
prompt solve(question: str) { user "{{ question }}" }
program judged(question: str, oracle gold: str) -> bool {
    return (solve(question) |> sample(1, max_tokens=8) |> one |> text) == gold
}
"""
NOTES = """
prompt study(context: str) { user "notes on {{ context }}" }
prompt answer_from(notes: str, question: str) { user "{{ notes }} {{ question }}" }
program with_notes(context: str, question: str) -> str {
    offline let notes = study(context) |> sample(1, max_tokens=30) |> one |> text
    return answer_from(notes, question) |> sample(1, max_tokens=30) |> one |> text
}
"""
UNSURE = """
prompt solve(question: str) { user "{{ question }}" }
program unsure(question: str) -> str? {
    let answer = solve(question) |> sample(1, max_tokens=8) |> one |> text
    if answer == "sure" { return answer }
    return abstain
}
"""
LOOK = """
prompt describe(picture: Image) { user "{{ picture }} What is it?" }
program look(picture: Image) -> str {
    return describe(picture) |> sample(1, max_tokens=8) |> one |> text
}
"""


def yes(**more: Any) -> ScriptedEngine:
    return ScriptedEngine(lambda prompt, seed, sampling: "yes", **more)


def problems(caught: pytest.ExceptionInfo[UsageError]) -> list[tuple[str, str]]:
    return [(each.code, each.message) for each in caught.value.problems]


# --- budgets ---


def test_clauses_are_read_in_the_units_of_the_language() -> None:
    assert read_budget("tokens<=20k, latency <= 500ms,calls<=100") == (
        Limit("tokens", 20_000.0),
        Limit("latency", 0.5),
        Limit("calls", 100.0),
    )
    assert read_budget("latency<=2min") == (Limit("latency", 120.0),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the budget clause '' limits nothing"),
        ("tokens=20k", "the budget clause 'tokens=20k' limits nothing"),
        ("token<=20k", "a budget can't limit 'token'"),
        ("latency<=20", "latency can't be limited to 20"),
        ("tokens<=20s", "tokens can't be limited to 20s"),
        ("tokens<=many", "tokens: 'many' is not a number"),
        ("calls<=0", "a budget of no calls lets nothing run"),
        ("calls<=1, calls<=2", "the budget limits 'calls' twice"),
    ],
)
def test_wrong_clauses(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_budget(text)
    assert problems(caught) == [("E0510", said)]


def test_a_budget_of_the_program_and_one_of_the_run() -> None:
    program = ttsc.compile(VOTE.replace("BUDGET", "budget calls <= 2"))
    own = program.run(question="?", engine=yes())
    assert (own.cut, own.reason, own.usage.requests) == (True, "calls <= 2", 2)
    given = program.run(question="?", engine=yes(), budget="calls<=3")
    assert (given.value, given.reason, given.usage.requests) == ("yes", "calls <= 3", 3)


def test_a_budget_that_needs_a_cost_model_is_refused_unless_another_is_given() -> None:
    program = ttsc.compile(VOTE.replace("BUDGET", "budget cost <= $0.05"))
    engine = yes()
    with pytest.raises(UsageError) as caught:
        program.run(question="?", engine=engine)
    assert [code for code, _ in problems(caught)] == ["E0516"]
    assert "`cost <= $0.05`" in problems(caught)[0][1]
    assert engine.records == []
    assert program.run(question="?", engine=engine, budget="calls<=9").value == "yes"


# --- oracles ---


def test_an_oracle_is_refused_outside_of_evaluation_before_anything_runs() -> None:
    program = ttsc.compile(JUDGED)
    engine = yes()
    for given in ({"question": "?", "gold": "yes"}, {"question": "?"}):
        with pytest.raises(UsageError) as caught:
            program.run(given, engine=engine)
        assert [code for code, _ in problems(caught)] == ["E0512"]
    assert engine.records == []
    assert program.run(question="?", gold="yes", engine=engine, evaluation=True).value is True


# --- offline values ---


def test_offline_values_are_kept_in_the_folder(tmp_path: Path) -> None:
    program = ttsc.compile(NOTES)
    engine = yes()
    for question in "ab":
        program.run(context="c", question=question, engine=engine, artifacts=tmp_path)
    assert len(engine.records) == 3, "the notes once, and two answers"
    program.run(context="c", question="c", engine=engine, artifacts=tmp_path, refresh_offline=True)
    assert len(engine.records) == 5
    assert len(list(tmp_path.iterdir())) == 1


def test_without_a_folder_they_are_in_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTSC_DATA_DIR", str(tmp_path))
    ttsc.compile(NOTES).run(context="c", question="?", engine=yes())
    assert len(list((tmp_path / "offline").iterdir())) == 1


# --- abstentions ---


def test_an_abstention_is_in_the_result() -> None:
    result = ttsc.compile(UNSURE).run(question="?", engine=yes())
    assert (result.value, result.abstained, result.error) == (None, True, None)
    sure = ttsc.compile(UNSURE).run(question="?", engine=ScriptedEngine(lambda p, s, k: "sure"))
    assert (sure.value, sure.abstained) == ("sure", False)


# --- pictures ---


@pytest.mark.parametrize(
    ("data", "media_type"),
    [(PNG, "image/png"), (JPEG, "image/jpeg"), (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"), (b"GIF89a\0", "image/gif")],
)
def test_a_picture_is_what_its_bytes_say(tmp_path: Path, data: bytes, media_type: str) -> None:
    path = tmp_path / "picture"
    path.write_bytes(data)
    encoded = base64.b64encode(data).decode()
    expected = Image(data, media_type)
    for value in (data, path, str(path), f"@{path}", {"path": str(path)}, {"base64": encoded}, expected):
        assert read_image(value) == expected
    assert read_image({"base64": encoded, "media_type": media_type}) == expected


def parameter(kind: Type) -> list[Parameter]:
    return [Parameter(Value("%p", kind), "p")]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"hello", "parameter 'p' is no PNG, JPEG, WebP or GIF"),
        ("none.png", "parameter 'p' names a file that can't be read, 'none.png': No such file or directory"),
        (7, "parameter 'p' must be a picture: a file's path, bytes, or base 64"),
        ({"base64": "???"}, "parameter 'p' is not base 64"),
        ({"path": "a", "more": 1}, "parameter 'p' must be a picture: a file's path, bytes, or base 64"),
        ("a\0b", "parameter 'p' names no file: the path holds a zero character"),
        ({"base64": base64.b64encode(PNG).decode(), "media_type": "image/jpeg"},
         "parameter 'p' is said to be image/jpeg, but its bytes are image/png"),
        (PNG + bytes(MAX_BYTES), "parameter 'p' is 20 MB, more than 20 MB"),
    ],
)  # fmt: skip
def test_what_is_no_picture_says_so(value: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        bind(parameter(IMAGE), {"p": value})
    assert problems(caught) == [("E0514", said)]


def test_lists_of_pictures_and_settings(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    assert bind(parameter(ListOf(IMAGE)), {"p": [str(path), PNG]})["p"] == [Image(PNG, "image/png")] * 2
    assert from_text(parameter(IMAGE), "p", f"@{path}") == f"@{path}"
    assert from_text(parameter(IMAGE), "p", '{"path": "a"}') == {"path": "a"}
    assert from_text(parameter(ListOf(IMAGE)), "p", '["a"]') == ["a"]


def test_a_picture_reaches_the_engine(tmp_path: Path) -> None:
    engine = yes()
    assert ttsc.compile(LOOK).run(picture=PNG, engine=engine).value == "yes"
    assert [each.data for each in engine.records[0].request.images] == [PNG]


def test_an_engine_that_takes_none_is_not_asked() -> None:
    engine = yes(abilities=frozenset({"generate"}))
    with pytest.raises(ttsc.AbilityMissing):
        ttsc.compile(LOOK).run(picture=PNG, engine=engine)
    assert engine.records == []


# --- records, limits, ranges ---


STEP = RecordType(
    "Step",
    (("text", STR), ("grade", INT), ("kinds", ListOf(STR)), ("note", OptionalOf(STR))),
    (("grade", Interval(0, 10)), ("kinds", ("a", "b"))),
)


def test_fields_that_may_be_none_may_be_left_out() -> None:
    value = {"text": "t", "grade": 3, "kinds": ["a"]}
    assert bind(parameter(STEP), {"p": value})["p"] == {**value, "note": None}
    assert bind(parameter(ListOf(OptionalOf(STEP))), {"p": [None, value]})["p"] == [None, {**value, "note": None}]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"grade": 11}, ("E0504", "parameter 'p'.grade is 11, outside of 0..10")),
        ({"kinds": ["a", "c"]}, ("E0504", "parameter 'p'.kinds is \"c\", outside of [\"a\", \"b\"]")),
        ({"grade": "3"}, ("E0503", "parameter 'p'.grade must be an int, got the str \"3\"")),
    ],
)  # fmt: skip
def test_fields_keep_to_their_ranges(change: dict[str, Any], said: tuple[str, str]) -> None:
    with pytest.raises(InputError) as caught:
        bind(parameter(STEP), {"p": {"text": "t", "grade": 3, "kinds": ["a"], **change}})
    assert problems(caught) == [said]


def test_lists_keep_to_their_limits() -> None:
    """Also where a type that differs in nothing else was used before."""
    assert bind(parameter(ListOf(INT)), {"p": [1, 2, 3]})["p"] == [1, 2, 3]
    with pytest.raises(InputError) as caught:
        bind(parameter(ListOf(INT, 2)), {"p": [1, 2, 3]})
    assert problems(caught) == [("E0504", "parameter 'p' has 3 items, more than the 2 it may hold")]


# --- the command line ---


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    def written(source: str) -> str:
        path = tmp_path / "program.tts"
        path.write_text(source, encoding="utf-8")
        return str(path)

    return written


URL = ["--engine", "http://scripted"]


def test_the_budget_of_the_command_line_cuts_with_exit_code_4(
    write: Callable[[str], str], scripted: Callable[..., ScriptedEngine], output: Captured
) -> None:
    engine = scripted()
    file = write(VOTE.replace("BUDGET", ""))
    assert main(["run", file, "--set", "question=sky", "--budget", "calls<=2", *URL]) == 4
    out, err = output()
    assert out == "blue\n"
    assert "calls <= 2; the answer is the best so far" in err
    assert len(engine.records) == 2
    assert main(["run", file, "--set", "question=sky", "--budget", "calls<2", *URL]) == 2
    assert "error[E0510]" in output()[1]


def test_the_command_line_evaluates_only_when_told(
    write: Callable[[str], str], scripted: Callable[..., ScriptedEngine], output: Captured
) -> None:
    scripted()
    line = ["run", write(JUDGED), "--input", '{"question": "sky", "gold": "blue"}', *URL]
    assert main(line) == 2
    assert "error[E0512]" in output()[1]
    assert main([*line, "--evaluation"]) == 0
    assert output()[0] == "true\n"


def test_an_abstention_on_the_command_line(
    write: Callable[[str], str], scripted: Callable[..., ScriptedEngine], output: Captured
) -> None:
    scripted()
    line = ["run", write(UNSURE), "--set", "question=sky", *URL]
    assert main(line) == 0
    assert output()[0] == "(abstained)\n"
    assert main([*line, "--json"]) == 0
    row = json.loads(output()[0])
    assert (row["abstained"], row["value"]) == (True, None)


LEARN = """
store lessons: str
prompt solve(question: str) { user "{{ question }}" }
program learn(question: str) -> int {
    lessons += solve(question) |> sample(1, max_tokens=8) |> one |> text
    return lessons |> length
}
"""


def test_stores_on_the_command_line(
    write: Callable[[str], str], scripted: Callable[..., ScriptedEngine], output: Captured, tmp_path: Path
) -> None:
    scripted()
    inputs = tmp_path / "in.jsonl"
    inputs.write_text('{"question": "sky"}\n{"question": "sky 2"}\n')
    line = ["run", write(LEARN), "--inputs", str(inputs), *URL]
    assert main(line) == 0
    out, err = output()
    assert out.splitlines() == ["1", "2"]
    assert "lessons is empty, and what is added to it is lost at the end; --store lessons=FILE.jsonl says" in err
    store = tmp_path / "lessons.jsonl"
    assert main([*line, "--store", f"lessons={store}"]) == 0
    out, err = output()
    assert "is lost" not in err
    assert "2 items added to lessons" in err
    assert store.read_text() == '"blue"\n"blue"\n'
    assert main([*line, "--store", f"lesson={store}"]) == 2
    assert "did you mean 'lessons'?" in output()[1]
    store.write_text("3\n")
    assert main([*line, "--store", f"lessons={store}"]) == 2
    assert f"{store}:1 must be a str, got the int 3" in output()[1]
    assert main([*line, "--store", "lessons"]) == 2


def test_pictures_on_the_command_line(
    write: Callable[[str], str], scripted: Callable[..., ScriptedEngine], output: Captured, tmp_path: Path
) -> None:
    engine = scripted()
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    assert main(["run", write(LOOK), "--set", f"picture=@{path}", *URL]) == 0
    assert [each.media_type for each in engine.records[0].request.images] == ["image/png"]
    assert main(["run", write(LOOK), "--set", "picture=@none.png", *URL]) == 2
    assert "error[E0514]" in output()[1]


def test_offline_values_on_the_command_line(
    write: Callable[[str], str], scripted: Callable[..., ScriptedEngine], tmp_path: Path
) -> None:
    engine = scripted()
    line = ["run", write(NOTES), "--set", "context=c", "--set", "question=sky", *URL]
    folder = ["--artifacts", str(tmp_path / "kept")]
    for more, asked in (([], 2), ([], 3), (["--refresh-offline"], 5)):
        assert main([*line, *folder, *more]) == 0
        assert len(engine.records) == asked
