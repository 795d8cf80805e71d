"""`test` blocks: what they run, what they measure, what they say when they fail."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from ttsc.cli.app import app
from ttsc.compiler.plan.nodes import Level
from ttsc.compiler.semantics.check import check
from ttsc.grammar.source import Source
from ttsc.library import FileLibrary
from ttsc.testing.running import Outcome, run_test

HEAD = """
use std.answers (boxed)
prompt solve(question: str) { user "{{ question }}" }
program majority(question: str, n: int = 3) -> str {
    return solve(question) |> sample(n) |> vote(by=boxed)
}
"""


def outcome(text: str, level: Level = 2) -> Outcome:
    checked = check(Source("t.tts", text), FileLibrary())
    return asyncio.run(run_test(checked.tests[0], level=level))


@pytest.mark.parametrize("level", [0, 2])
def test_a_test_that_passes(level: Level) -> None:
    result = outcome(
        HEAD
        + r"""
        test "majority" {
            model policy => ["\\boxed{4}", "\\boxed{5}", "\\boxed{4}"]
            let answer = majority("2 + 2?")
            expect answer == "4"
            expect calls == 3 and tokens > 0
        }
        """,
        level,
    )
    assert result.passed, result.failures
    assert result.measures["calls"] == 3


def test_each_failure_says_what_was_seen() -> None:
    result = outcome(
        HEAD
        + r"""
        test "majority" {
            model policy => ["\\boxed{5}"]
            let answer = majority("2 + 2?")
            expect answer == "4"
            expect calls < 2
        }
        """
    )
    assert [f.message for f in result.failures] == ['expected answer == "4"', "expected calls < 2"]
    assert [f.hint for f in result.failures] == [
        'the left side is "5", the right side "4"',
        "the left side is 3, the right side 2",
    ]


def test_patterns_choose_among_replies() -> None:
    result = outcome(
        r"""
        prompt ask_it(q: str) { user "{{ q }}" }
        program two(a: str, b: str) -> list[str] {
            return [a, b] |> each(q => ask_it(q) |> sample(1) |> one |> text)
        }
        test "patterns" {
            model policy => ["something else"]
            model policy "colou?r" => ["red"]
            let said = two("Which color?", "Which day?")
            expect said == ["red", "something else"]
        }
        """
    )
    assert result.passed, result.failures


def test_externs_and_stores_are_stood_in_for() -> None:
    result = outcome(
        """
        extern double(x: int) -> int
        store notes: str
        program p(n: int) -> int {
            notes += "seen"
            return double(n) + length(notes)
        }
        test "stubs" {
            extern double(x) = x * 2 if x > 0 else 0
            store notes = ["one", "two"]
            let a = p(4)
            let b = p(-1)
            expect a == 11
            expect b == 4
            expect externs == 2
        }
        """
    )
    assert result.passed, result.failures


def test_an_extern_without_a_stub_is_named() -> None:
    result = outcome(
        """
        extern double(x: int) -> int
        program p(n: int) -> int { return double(n) }
        test "stubs" { let a = p(4) expect a == 8 }
        """
    )
    (failure,) = result.failures
    assert failure.message == "the test does not say what extern 'double' gives"
    assert failure.hint == "add extern double(x) = …"


def test_a_model_without_a_script_is_named() -> None:
    result = outcome(HEAD + 'test "silent" { let a = majority("2 + 2?") expect a == "4" }')
    assert "model 'policy' was asked" in result.failures[0].message


def test_rewards_are_scripted() -> None:
    result = outcome(
        r"""
        use std.answers (boxed)
        model policy, prm
        prompt solve(question: str) { user "{{ question }}" }
        program best_of(question: str) -> str? {
            return solve(question) |> sample(2) |> score(prm) |> best(by=score) |> boxed
        }
        test "the better one" {
            model policy => ["\\boxed{1}", "\\boxed{2}"]
            model prm "boxed\\{2" => 0.9
            model prm => 0.1
            let answer = best_of("?")
            expect answer == "2"
        }
        """
    )
    assert result.passed, result.failures


# --- the command


def command(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["test", *args], standalone_mode=False)
    code = result.return_value if result.exception is None else -1
    return code, result.output


FAILING = HEAD + (
    'test "right" { model policy => "\\\\boxed{4}" let a = majority("?") expect a == "4" }\n'
    'test "wrong" { model policy => "\\\\boxed{5}" let a = majority("?") expect a == "4" }\n'
)


def test_the_command_reports_and_fails(tmp_path: Path) -> None:
    file = tmp_path / "m.tts"
    file.write_text(FAILING)
    report = tmp_path / "junit.xml"
    code, output = command(str(file), "--junit", str(report))
    assert code == 1
    assert "right: ok" in output and "wrong: FAILED" in output and "1 passed, 1 failed" in output
    suite = ElementTree.parse(report).getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [case.get("name") for case in suite] == ["right", "wrong"]


def test_one_test_by_its_title_as_json(tmp_path: Path) -> None:
    file = tmp_path / "m.tts"
    file.write_text(FAILING)
    code, output = command(str(file), "-k", "right", "--json")
    assert code == 0
    first = json.loads(output.splitlines()[0])
    assert first["passed"] and first["measures"]["calls"] == 3


def test_a_file_without_tests_is_no_success(tmp_path: Path) -> None:
    file = tmp_path / "m.tts"
    file.write_text(HEAD)
    code, output = command(str(file))
    assert code == 2 and "no tests" in output
