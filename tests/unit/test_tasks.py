"""A file that stands in for `std.task`: for a whole program by --task and task=, for one strategy by `use … for`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ttsc
from ttsc.backends.scripted import ScriptedEngine
from ttsc.cli import run
from ttsc.compiler.ir.printer import print_program
from ttsc.errors import UsageError
from ttsc.grammar.diagnostics import CompileError

TASK = """
prompt solve(question: str) { user "Q: {{ question }}" }
function answer(text: str) -> str? = find(text, "A:([0-9]+)", 1)
"""
OTHER = """
prompt solve(question: str) { user "Other: {{ question }}" }
"""
VOTE = """
use std.task (solve, answer, step_end)
program vote_on(question: str, n: int = 3) -> str? {
    return solve(question) |> sample(n, until=step_end()) |> vote(by=answer)
}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lib").mkdir()
    for name, text in (("lib/task", TASK), ("lib/other", OTHER), ("lib/strategy", VOTE), ("vote_on", VOTE)):
        (tmp_path / f"{name}.tts").write_text("model policy\n" + text if name != "lib/task" else text)
    return tmp_path


def prompts(program: ttsc.CompiledProgram) -> str:
    return print_program(program.compiled.built)


def test_a_task_stands_in_for_the_librarys_and_what_it_lacks_is_the_librarys(folder: Path) -> None:
    program = ttsc.compile(folder / "vote_on.tts", task=folder / "lib" / "task.tts")
    assert '"Q: {{ question }}"' in prompts(program) and '"A:([0-9]+)"' in prompts(program)
    assert r'"\n\n"' in prompts(program), "the end of a step is std.task's"
    assert "Put the final answer" in prompts(ttsc.compile(folder / "vote_on.tts"))
    engine = ScriptedEngine(lambda *_: "It is A:42")
    assert program.run(question="6 * 7", engine=engine).value == "42"


def test_a_task_reaches_the_strategies_that_a_program_uses() -> None:
    text = "use std.self_consistency (self_consistency)\nprogram p(q: str) -> str? { return self_consistency(q) }"
    assert '"Q: {{ question }}"' in prompts(ttsc.compile(text, task=TASK))
    own = text.replace("(self_consistency)\n", "(self_consistency) for std.task\n", 1)
    assert "Put the final answer" in prompts(ttsc.compile(own, task=TASK)), "the use says which"


def test_a_task_may_build_on_the_librarys_own(folder: Path) -> None:
    task = 'use std.task (answer)\nfunction concluded(text: str) -> str? = answer(text + "}")\n'
    text = (
        'use std.task (concluded)\nmodel m\nprompt put(q: str) { user "{{ q }}" }\n'
        "program p(q: str) -> str? { return concluded(put(q) |> sample(1) |> one |> text) }"
    )
    assert ttsc.compile(text, task=task).run(q="?", engine=ScriptedEngine(lambda *_: r"\boxed{7")).value == "7"


def test_one_strategy_with_two_tasks(folder: Path) -> None:
    (folder / "lib" / "again.tts").write_text(
        "use strategy (vote_on) for other\nprogram again(question: str) -> str? { return vote_on(question) }\n"
    )
    (folder / "both.tts").write_text(
        "use lib.strategy (vote_on) for lib.task\nuse lib.again (again)\n"
        "program both(question: str) -> str? {\n    let first = vote_on(question)\n"
        "    return first if first != none else again(question)\n}\n"
    )
    seen = prompts(ttsc.compile(folder / "both.tts"))
    assert '"Q: {{ question }}"' in seen and '"Other: {{ question }}"' in seen


def test_a_program_may_be_its_own_task(folder: Path) -> None:
    (folder / "own.tts").write_text(
        f"use lib.strategy (vote_on) for own\n{OTHER}\nprogram p(question: str) -> str? {{ return vote_on(question) }}"
    )
    assert '"Other: {{ question }}"' in prompts(ttsc.compile(folder / "own.tts"))


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ('prompt answer(text: str) { user "{{ text }}" }', "function answer(text: str) -> str?"),
        ("function answer(text: str) -> str = text", "function answer(text: str) -> str?"),
        ("function answer(said: str) -> str? = said", "function answer(text: str) -> str?"),
        ("function answer(text: str, n: int) -> str? = text", "function answer(text: str) -> str?"),
        ("function step_end() -> int = 3", "function step_end() -> str"),
        ("extern answer(text: str) -> str?", "function answer(text: str) -> str?"),
    ],
)
def test_what_does_not_fit_is_said_once_at_its_place(folder: Path, declared: str, expected: str) -> None:
    task = folder / "lib" / "task.tts"
    task.write_text(declared)
    with pytest.raises(CompileError) as raised:
        ttsc.compile(folder / "vote_on.tts", task=task)
    (found,) = raised.value.diagnostics
    assert found.code == "E0211" and found.span.source.path == str(task) and found.label == f"expected {expected}"


def test_further_parameters_need_a_default(folder: Path) -> None:
    task = 'function answer(text: str, mark: str = "A:") -> str? = text + mark\n'
    assert 'const "A:"' in prompts(ttsc.compile(folder / "vote_on.tts", task=task))


def test_a_file_without_a_tasks_names_is_none(folder: Path) -> None:
    with pytest.raises(CompileError, match="declares nothing of what strategies take"):
        ttsc.compile(folder / "vote_on.tts", task="std:answers")
    with pytest.raises(UsageError, match="no file"):
        ttsc.compile(folder / "vote_on.tts", task=folder / "absent.tts")


def test_a_task_sees_files_below_its_own_folder_only(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "marks.tts").write_text('function mark() -> str = "A:"\n')
    (elsewhere / "task.tts").write_text("use marks (mark)\nfunction answer(text: str) -> str? = text + mark()\n")
    program = ttsc.compile(folder / "vote_on.tts", task=elsewhere / "task.tts")
    assert 'const "A:"' in prompts(program)
    (folder / "outside.tts").write_text(f"use {elsewhere.name}.marks (mark)\n{VOTE}model policy\n")
    with pytest.raises(CompileError, match="nothing to use"):
        ttsc.compile(folder / "outside.tts", task=elsewhere / "task.tts")


def test_a_trace_knows_its_task(folder: Path) -> None:
    task = folder / "lib" / "task.tts"
    program = ttsc.compile(folder / "vote_on.tts", task=task)
    trace = folder / "run.trace"
    first = program.run(question="6 * 7", engine=ScriptedEngine(lambda *_: "A:42"), trace=trace)
    task.unlink()
    (again,) = ttsc.replay(trace)
    assert again.value == first.value == "42"


def test_a_journal_of_another_task_is_refused(folder: Path) -> None:
    journal = folder / "run.journal"
    engine = ScriptedEngine(lambda *_: "A:42")
    ttsc.compile(folder / "vote_on.tts", task=TASK).run(question="?", engine=engine, journal=journal)
    with pytest.raises(UsageError) as raised:
        ttsc.compile(folder / "vote_on.tts").run(question="?", engine=engine, journal=journal)
    assert raised.value.problems[0].code == "E0517"


def test_a_plan_names_its_task(folder: Path) -> None:
    plan = folder / "plans" / "plan.json"
    plan.parent.mkdir()
    task = str(folder / "lib" / "task.tts")
    arguments = ["plan", str(folder / "vote_on.tts"), "--task", task, "--set", "n=3", "--samples", "4", "-o", str(plan)]
    assert run(arguments) == 0
    assert json.loads(plan.read_text())["task"] == "../lib/task.tts"
    loaded = ttsc.load_plan(plan, force=True)
    assert '"Q: {{ question }}"' in prompts(loaded.program)
    assert run(["run", str(plan), "--task", task]) == 2
    Path(task).write_text(OTHER)
    with pytest.raises(UsageError) as raised:
        ttsc.load_plan(plan)
    assert raised.value.problems[0].code == "E0583"


@pytest.mark.parametrize(
    "command",
    [
        ["check"],
        ["dump", "--stage", "ir"],
        ["build"],
        ["show", "--json"],
        ["explain", "--samples", "4", "--no-savings"],
    ],
)
def test_commands_take_a_task(folder: Path, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    file, task = str(folder / "vote_on.tts"), folder / "lib" / "task.tts"
    assert run([*command, file, "--task", str(task)]) == 0
    capsys.readouterr()
    task.write_text("function answer(text: str) -> int = 3\n")
    assert run([*command, file, "--task", str(task)]) == 3
    assert "E0211" in capsys.readouterr().err


def test_a_built_file_says_its_task(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["build", str(folder / "vote_on.tts"), "--task", str(folder / "lib" / "task.tts")]) == 0
    built = capsys.readouterr().out
    assert "with the task" in built and "A:([0-9]+)" in built


def test_tests_run_with_a_task(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "vote_on.tts"
    file.write_text(
        file.read_text()
        + 'test "42" {\n    model policy => ["A:42"]\n    let found = vote_on("?")\n    expect found == "42"\n}\n'
    )
    assert run(["test", str(file), "--task", str(folder / "lib" / "task.tts")]) == 0
    assert run(["test", str(file)]) == 1
    capsys.readouterr()
