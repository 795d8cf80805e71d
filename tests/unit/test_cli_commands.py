"""The commands beside `run`: check, dump, list, engine, doctor. No engine is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_programs import VOTE, Captured

from ttsc import stdlib
from ttsc.cli import run
from ttsc.cli.show_command import _coloured

# --- check, dump, list, engine, doctor ------------------------------------------------------------------------------


def test_check_finds_errors_in_several_files(file: str, output: Captured, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.tts"
    wrong.write_text(VOTE.replace("sample", "smaple"), encoding="utf-8")
    assert run(["check", file]) == 0
    assert output()[0] == f"{file}: 2 programs, no errors\n"
    assert run(["check", file, str(wrong)]) == 3
    out, err = output()
    assert out.count("no errors") == 1
    assert "did you mean 'sample'?" in err
    assert run(["check", str(wrong), str(tmp_path / "none.tts"), file]) == 2


def test_check_as_json(file: str, output: Captured, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.tts"
    wrong.write_text("program x( {", encoding="utf-8")
    assert run(["check", "--json", file, str(wrong), str(tmp_path / "none.tts")]) == 2
    rows = [json.loads(line) for line in output()[0].splitlines()]
    assert [row["ok"] for row in rows] == [True, False, False]
    assert rows[0]["programs"] == ["vote_on", "first"]
    assert rows[1]["diagnostics"][0]["code"].startswith("E01")
    assert rows[2]["diagnostics"][0]["code"] == "E0509"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("--stage", "ast"), "Program"),
        (("--stage", "ast", "--spans"), "@6:1"),
        (("--stage", "typed"), "sample(n=n"),
        (("--stage", "ir"), "generate sample"),
        (("--stage", "ir-opt"), "early"),
        (("--stage", "plan"), "prefix tree"),
        ((), "prefix tree"),
        (("--after", "fold_constants"), "generate sample"),
        (("--stage", "plan", "-p", "first", "-O0"), "plan of first at -O0"),
    ],
)
def test_dump_shows_every_stage(file: str, output: Captured, arguments: tuple[str, ...], shown: str) -> None:
    assert run(["dump", file, *arguments]) == 0
    assert shown in output()[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--after", "fold"), "did you mean 'fold_constants'?"),
        (("--after", "decide_early", "-O1"), "doesn't run at -O1"),
        (("--after", "decide_early", "--stage", "ast"), "can't go with"),
    ],
)
def test_dump_after_a_pass_that_does_not_run(
    file: str, output: Captured, arguments: tuple[str, ...], said: str
) -> None:
    assert run(["dump", file, *arguments]) == 2
    assert said in output()[1]


def test_list_names_the_library_and_the_programs_here(
    file: str, output: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(file).parent
    (folder / "broken.tts").write_text("program", encoding="utf-8")
    monkeypatch.chdir(folder)
    assert run(["list"]) == 0
    lines = [line.strip() for line in output()[0].splitlines()]
    assert any(line.startswith("std:answers ") for line in lines)
    assert any(line.startswith("vote_on.tts ") and line.endswith("Majority of n answers") for line in lines)
    assert any(line.startswith("vote_on.tts -p first ") for line in lines)
    assert any(line.startswith("broken.tts ") and "1 error" in line for line in lines)
    assert run(["list", "--json", file]) == 0
    rows = [json.loads(line) for line in output()[0].splitlines()]
    assert {row["program"] for row in rows if row["file"] == file} == {"vote_on", "first"}


def test_list_of_a_family(output: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert run(["list", "--family", "stopping"]) == 0
    heading, *lines = output()[0].splitlines()
    assert heading == "stopping: early stopping"
    assert any(line.startswith("  std:first_finish ") and line.endswith("…") for line in lines)
    assert all(line.startswith("  std:") for line in lines), "no program at hand"
    assert max(map(len, lines)) <= 100
    assert run(["list", "--family", "stopping", "--json"]) == 0
    rows = [json.loads(line) for line in output()[0].splitlines()]
    assert {row["family"] for row in rows} == {"stopping"} and len(rows) == len(lines)
    assert run(["list", "--family", "stoping"]) == 2


def test_show_prints_the_text_or_what_there_is_to_know(file: str, output: Captured) -> None:
    assert run(["show", "std:weighted_best_of_n"]) == 0
    assert output()[0] == stdlib.text("weighted_best_of_n")
    assert run(["show", "--json", "std:weighted_best_of_n"]) == 0
    found = json.loads(output()[0])
    (program,) = found["programs"]
    assert found["family"] == "voting" and found["papers"] == ["https://arxiv.org/abs/2408.03314"]
    assert {role["name"]: role["asked_for"] for role in program["roles"]} == {"policy": ["generate"], "prm": ["reward"]}
    parameters = {each["name"]: each for each in program["parameters"]}
    assert parameters["question"]["required"] and parameters["n"]["range"] == [1, 256]
    assert run(["show", file]) == 0
    assert output()[0] == Path(file).read_text(encoding="utf-8")
    assert run(["show", "--json", file]) == 0 and json.loads(output()[0])["family"] is None
    assert run(["show", "--json", "std:execute"]) == 0
    assert json.loads(output()[0])["externs"][0]["name"] == "run_python"
    assert run(["show", file, "--task", file]) == 2
    assert run(["show", "std:nothing"]) == 2


def test_show_colours_on_a_terminal() -> None:
    assert "\x1b[" in _coloured("program p(q: str) -> str { return q }\n")


def test_the_whole_library_is_one_name(output: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdlib, "names", lambda family=None: ("answers", "self_consistency"))
    assert run(["check", "std:", "std:answers"]) == 0
    assert [line.partition(": ")[0] for line in output()[0].splitlines()] == ["std:answers", "std:self_consistency"]
    assert run(["test", "std:"]) == 0
    assert "passed" in output()[1]


def test_no_kept_engine(output: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TTSC_STATE_DIR", str(tmp_path))
    assert run(["engine", "status"]) == 5
    assert "no engine is kept" in output()[1]
    assert run(["engine", "stop"]) == 0
    assert run(["engine", "stop", "nothing"]) == 1
    assert run(["engine", "logs"]) == 1
    assert output()[1].count("no engine is kept") == 2


def test_doctor_says_what_is_there(output: Captured) -> None:
    assert run(["doctor", "--json"]) in (0, 1)
    rows = [json.loads(line) for line in output()[0].splitlines()]
    assert {"python", "sglang"} <= {row["name"] for row in rows}


@pytest.mark.parametrize(
    "command", [[], ["run"], ["check"], ["dump"], ["list"], ["engine"], ["engine", "start"], ["doctor"]]
)
def test_every_command_explains_itself(output: Captured, command: list[str]) -> None:
    assert run([*command, "--help"]) == 0
    assert "Usage: ttsc" in output()[0]


def test_an_unknown_command_suggests_one(output: Captured) -> None:
    assert run(["chek"]) == 2
    assert "did you mean 'check'?" in output()[1]


def test_python_m_ttsc() -> None:
    done = subprocess.run([sys.executable, "-P", "-m", "ttsc", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "ttsc, version 0.1.0\n")


def test_a_reader_that_goes_away_is_no_error(file: str) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-P", "-m", "ttsc", "dump", file], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert b"Traceback" not in done.stderr
