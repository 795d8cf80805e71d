"""`ttsc test`: what it prints, as text, JSON and JUnit, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from click.testing import CliRunner

from ttsc.cli.app import app
from ttsc.errors import UsageError

HEAD = """
use std.answers (boxed)
prompt solve(question: str) { user "{{ question }}" }
program majority(question: str, n: int = 3) -> str {
    return solve(question) |> sample(n) |> vote(by=boxed)
}
"""


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


def test_a_file_with_errors_does_not_keep_the_others_from_running(tmp_path: Path) -> None:
    good, bad, unbounded = tmp_path / "good.tts", tmp_path / "bad.tts", tmp_path / "unbounded.tts"
    good.write_text(FAILING)
    bad.write_text(HEAD.replace("sample", "smaple") + 'test "never" { expect true }')
    unbounded.write_text(
        'prompt f(q: str) { user "{{ q }}" }\nextern find_all(q: str) -> list[str]\n'
        "program p(q: str) -> list[str] { return find_all(q) |> each(d => f(d) |> sample(1) |> one |> text) }"
    )
    report = tmp_path / "new" / "junit.xml"
    code, output = command(str(bad), str(good), str(unbounded), "--junit", str(report))
    assert code == 3
    assert "E0203" in output and "E0420" in output and "never" not in output
    assert f"{good}:7: right: ok" in output
    assert "1 passed, 1 failed, 2 files with errors" in output
    suites = {Path(suite.get("name") or "").name: suite for suite in ElementTree.parse(report).getroot()}
    assert suites["bad.tts"].get("errors") == "1" and suites["good.tts"].get("errors") == "0"
    code, output = command(str(bad), str(good), "--json")
    rows = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert [row["passed"] for row in rows] == [False, True, False]
    assert rows[0]["errors"][0]["code"] == "E0203" and rows[2]["failures"][0]["code"] == "T0001"


def test_two_tests_of_one_title_are_two_cases(tmp_path: Path) -> None:
    file, report = tmp_path / "m.tts", tmp_path / "junit.xml"
    file.write_text('test "same" { expect true }\ntest "same" { expect false }\ntest "bell \\u0007" { expect true }\n')
    code, output = command(str(file), "--junit", str(report))
    assert code == 1
    assert "\a" not in output and "bell <U+0007>: ok" in output
    suite = ElementTree.parse(report).getroot()[0]
    assert [case.get("name") for case in suite] == ["same", "same (line 2)", "bell "]
    assert [failure.get("type") for failure in suite.iter("failure")] == ["T0001"]


def test_a_report_that_cannot_be_written_is_refused_before_anything_runs(tmp_path: Path) -> None:
    file = tmp_path / "m.tts"
    file.write_text(FAILING)
    result = CliRunner().invoke(app, ["test", str(file), "--junit", str(file / "junit.xml")], standalone_mode=False)
    assert isinstance(result.exception, UsageError) and result.exception.problems[0].code == "E0510"
    assert "right" not in result.output


def test_titles_that_no_test_has(tmp_path: Path) -> None:
    file = tmp_path / "m.tts"
    file.write_text(FAILING)
    code, output = command(str(file), "-k", "neither")
    assert code == 2 and "no tests with 'neither' in their title" in output
