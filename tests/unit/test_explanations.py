"""Every code has an explanation, its examples are wrong and right as they say, and the page shows them all."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ttsc.cli.app import app
from ttsc.compiler.bounds.check import check_bounds, check_money
from ttsc.compiler.semantics.check import check
from ttsc.explanations import STAGES, Explanation, explanations, of_stage, page
from ttsc.explanations.reference import text
from ttsc.grammar.diagnostics import CompileError
from ttsc.grammar.source import Source
from ttsc.library import FileLibrary

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("grammar", "compiler", "runtime", "backends", "src/ttsc/cli", "src/ttsc/lsp", "src/ttsc/testing")
NEVER_SHOWN = {"R0500", "R0599"}
"""Codes inside of the executor: what was given up, and a defect, which is raised and reported as R0900."""
BEGINNINGS = {
    "syntax": "E01",
    "names": "E02",
    "types": "E03",
    "structure": "E04",
    "warnings": "W02",
    "usage": "E05",
    "costs": "E05",
    "running": "R0",
    "tests": "T0",
}
KNOWN = explanations()
ALL = [pytest.param(each, id=code) for code, each in KNOWN.items()]
SHOWN = [pytest.param(each, id=code) for code, each in KNOWN.items() if each.wrong]


def emitted() -> set[str]:
    """The codes that stand as literals in the product's code."""
    own = [path for path in (ROOT / "src" / "ttsc").iterdir() if not path.is_symlink()]
    folders = [*(path for path in own if path.is_dir()), *(ROOT / room for room in ROOMS)]
    files = [
        *(path for path in own if path.suffix == ".py"),
        *(file for each in folders for file in each.rglob("*.py")),
    ]
    codes = {code for file in files for code in re.findall(r'"([EWRT]0\d{3})"', file.read_text(encoding="utf-8"))}
    assert len(codes) > 150, "the rooms are elsewhere"
    return codes - NEVER_SHOWN


def said(program: str) -> list[str]:
    """The codes of all that `ttsc check` says of a program."""
    try:
        checked = check(Source("example.tts", program), FileLibrary())
        found = (*checked.warnings, *check_money(checked, check_bounds(checked)))
    except CompileError as error:
        found = error.diagnostics
    return [item.code for item in found]


def test_every_code_is_explained() -> None:
    assert emitted() - set(KNOWN) == set()


def test_every_explained_code_is_emitted() -> None:
    assert set(KNOWN) - emitted() == set()


@pytest.mark.parametrize("stage", STAGES)
def test_codes_stand_in_the_file_of_their_stage(stage: str) -> None:
    codes = [each.code for each in of_stage(stage)]
    assert codes and all(code.startswith(BEGINNINGS[stage]) for code in codes)


@pytest.mark.parametrize("each", SHOWN)
def test_the_wrong_program_has_this_error_and_no_other(each: Explanation) -> None:
    assert set(said(each.wrong)) == {each.code}


@pytest.mark.parametrize("each", SHOWN)
def test_the_right_program_has_none(each: Explanation) -> None:
    assert each.right and each.right != each.wrong
    assert said(each.right) == []


@pytest.mark.parametrize("each", ALL)
def test_what_a_program_can_cause_is_shown(each: Explanation) -> None:
    too_long = {"E0110", "E0111", "E0210", "E0419"}  # a large file, a deep one, many of them
    assert bool(each.wrong) == (each.code.startswith(("E01", "E02", "E03", "E04", "W02")) and each.code not in too_long)


@pytest.mark.parametrize("each", ALL)
def test_a_page_fits_a_terminal(each: Explanation) -> None:
    assert max(map(len, page(each).split("\n"))) <= 100
    assert each.text.endswith(".") and not each.title.endswith(".")


def test_the_committed_page_is_the_generated_one() -> None:
    committed = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert committed == text(), "run: python -m ttsc.explanations.reference docs/errors.md"


def test_the_generator_writes_its_file(tmp_path: Path) -> None:
    target = tmp_path / "errors.md"
    subprocess.run([sys.executable, "-m", "ttsc.explanations.reference", str(target)], check=True, timeout=60)
    assert target.read_text(encoding="utf-8") == text()


# --- the command


def command(*args: str) -> Result:
    return CliRunner().invoke(app, ["explain-error", *args])


def test_a_code_in_any_case() -> None:
    result = command("e0203")
    assert result.exit_code == 0
    assert result.output == page(KNOWN["E0203"]) == command("E0203").output == command("error[E0203]").output
    assert "smaple" in result.output and "Right:" in result.output


def test_all_codes_with_their_titles() -> None:
    lines = command().output.splitlines()
    assert len(lines) == len(KNOWN)
    assert "E0102  string never closed" in lines


def test_an_unknown_code() -> None:
    result = command("E0330x")
    assert result.exit_code == 2 and "there is no code 'E0330x': did you mean 'E0330'?" in result.output
    assert "`ttsc explain-error` lists them all" in command("X").output


def test_json() -> None:
    (one,) = (json.loads(line) for line in command("W0202", "--json").output.splitlines())
    assert one["code"] == "W0202" and said(one["wrong"]) == ["W0202"]
    rows = [json.loads(line) for line in command("--json").output.splitlines()]
    assert [row["code"] for row in rows] == list(KNOWN)
    assert set(rows[0]) == {"code", "title", "text", "wrong", "right"}


def test_check_names_the_code_to_ask_for(tmp_path: Path) -> None:
    warned, wrong = tmp_path / "warned.tts", tmp_path / "wrong.tts"
    warned.write_text(KNOWN["W0202"].wrong, encoding="utf-8")
    wrong.write_text(KNOWN["E0301"].wrong, encoding="utf-8")
    both = CliRunner().invoke(app, ["check", str(warned), str(wrong)])
    assert both.output.count("for more:") == 1 and "for more: ttsc explain-error E0301" in both.output
    assert "for more: ttsc explain-error W0202" in CliRunner().invoke(app, ["check", str(warned)]).output
    assert "for more" not in CliRunner().invoke(app, ["check", "--json", str(wrong)]).output
    wrong.write_text(KNOWN["E0301"].right, encoding="utf-8")
    assert "for more" not in CliRunner().invoke(app, ["check", str(wrong)]).output
