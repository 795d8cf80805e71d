"""`--enable PASS`, beside `--disable PASS`."""

from __future__ import annotations

from pathlib import Path

import pytest

import ttsc
from ttsc.cli import run as main
from ttsc.errors import UsageError

JUDGED = """
prompt solve(question: str) { user "{{ question }}" }
prompt right(draft: str) { user "judge {{ draft }}" }
program judged(question: str) -> str {
    let draft = solve(question) |> sample(1, max_tokens=8) |> one |> text
    let verdict = right(draft) |> sample(1, max_tokens=8) |> one |> text
    if verdict == "good" { return draft }
    return solve("again " + draft) |> sample(1, max_tokens=8) |> one |> text
}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "judged.tts"
    path.write_text(JUDGED)
    return str(path)


def test_dump_shows_what_an_enabled_pass_does(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dump", file, "--stage", "ir-opt"]) == 0
    assert "ahead" not in capsys.readouterr().out
    assert main(["dump", file, "--stage", "ir-opt", "--enable", "speculate"]) == 0
    assert "ahead=otherwise" in capsys.readouterr().out
    assert main(["dump", file, "--after", "speculate", "--enable", "speculate"]) == 0
    assert "ahead=otherwise" in capsys.readouterr().out
    assert main(["dump", file, "--after", "speculate"]) == 2
    assert "the pass 'speculate' doesn't run at -O2" in capsys.readouterr().err


def test_a_pass_that_there_is_not(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dump", file, "--enable", "speculation"]) == 2
    said = capsys.readouterr().err
    assert "error[E0510]: there is no pass 'speculation'" in said and "speculate" in said
    with pytest.raises(UsageError) as caught:
        ttsc.compile(JUDGED, enabled=["nothing"])
    assert caught.value.problems[0].code == "E0510"
