"""Journals on the command line: written, gone on with, looked at; inputs that start over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_programs import Captured
from test_journal import ACTING, copied, engine, inputs, values_of

import ttsc
from ttsc.backends.protocol import RequestFailed
from ttsc.backends.scripted import ScriptedEngine, ScriptedTokenizer
from ttsc.cli import run as main

URL = ["--engine", "http://scripted"]


@pytest.fixture
def questions(tmp_path: Path) -> str:
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps({"question": f"{each}?"}) + "\n" for each in ("sky", "sum", "sky and sum")))
    return str(path)


def test_a_run_is_gone_on_with(
    file: str, questions: str, tmp_path: Path, scripted: Callable[..., ScriptedEngine], output: Captured
) -> None:
    journal, out = str(tmp_path / "journal"), tmp_path / "out.jsonl"
    line = ["run", file, "-p", "vote_on", "--inputs", questions, "--journal", journal, "--out", str(out), *URL]
    first = scripted()
    assert main(line) == 0
    said = output()
    assert "journal: begun" in said[1] and first.records
    whole = sorted(map(json.loads, out.read_text().splitlines()), key=lambda row: row["input"])
    second = scripted()
    assert main(line) == 0
    again = output()
    assert again[0] == said[0] and second.records == []
    assert "3 of 3 inputs had ended" in again[1] and "were not made again" in again[1]
    rows = sorted(map(json.loads, out.read_text().splitlines()), key=lambda row: row["input"])
    assert [row["value"] for row in rows] == [row["value"] for row in whole]
    assert all(row["usage"]["taken_requests"] == row["usage"]["requests"] for row in rows)
    assert main(["journal", journal]) == 0
    shown, _ = output()
    assert "program   vote_on at -O2" in shown and "inputs    3 ended, 0 failed, 0 under way" in shown


def test_another_run_is_refused_before_anything_is_asked(
    file: str, questions: str, tmp_path: Path, scripted: Callable[..., ScriptedEngine], output: Captured
) -> None:
    journal = str(tmp_path / "journal")
    line = ["run", file, "-p", "vote_on", "--inputs", questions, "--journal", journal, *URL]
    scripted()
    assert main(line) == 0
    output()
    for change in (["-O0"], ["--seed", "3"], ["--budget", "calls<=90"], ["-p", "first"]):
        silent = scripted()
        assert main([*line, *change]) == 2
        assert "error[E0517]" in output()[1] and silent.records == []
    Path(questions).write_text('{"question": "sea?"}\n')
    assert main(line) == 2
    assert "input 0 had other values" in output()[1]
    assert main([*line[:-3], str(tmp_path / "nowhere" / "journal"), *URL]) == 2
    assert "there is no folder" in output()[1]


def test_failed_inputs_are_listed(
    file: str, questions: str, tmp_path: Path, scripted: Callable[..., ScriptedEngine], output: Captured
) -> None:
    journal = str(tmp_path / "journal")
    line = ["run", file, "-p", "vote_on", "--inputs", questions, "--journal", journal, *URL]
    scripted(fault=lambda number, request: RequestFailed("boom", retry_after_s=0.001))
    assert main(line) == 1
    output()
    assert main(["journal", journal]) == 0
    shown, _ = output()
    assert "0 ended, 3 failed" in shown and "failed    input 2: R0402: boom" in shown
    assert main(["journal", str(tmp_path / "nothing")]) == 2
    assert "error[E0517]: there is no journal" in output()[1]
    assert not (tmp_path / "nothing").exists()


def test_an_input_starts_over(tmp_path: Path, output: Captured) -> None:
    program, path, tokenizer = ttsc.compile(ACTING), tmp_path / "journal", ScriptedTokenizer()
    copies: list[Path] = []
    made: list[str] = []

    async def act(text: str) -> int:
        copies.append(copied(path))
        made.append(text)
        return 2

    def run(journal: Path) -> ttsc.RunResult:
        functions: Any = {"note": lambda text: 1, "act": act}
        work = values_of(program, inputs(1), engine(tokenizer), journal=journal, externs=functions)
        return asyncio.run(work)[0]

    assert run(path).value == 3
    under_way = copies[0]
    cut_off = run(under_way)
    assert cut_off.error is not None and cut_off.error.code == "R0514" and "--forget" in cut_off.error.hint
    assert main(["journal", str(under_way), "--forget", "1"]) == 2
    assert "holds nothing of input 1" in output()[1]
    assert main(["journal", str(under_way), "--forget", "0"]) == 0
    assert "0 ended, 0 failed, 0 under way" in output()[0]
    assert len(made) == 1 and run(under_way).value == 3 and len(made) == 2
