"""The golden files themselves: they can't be updated in CI, and none stays behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parent.parent / "conftest.py"
TEST = "def test_one(golden):\n    golden('one.txt', 'text')\n"


@pytest.fixture
def suite(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs pytest on a suite of one test that looks at `golden/one.txt`."""
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "conftest.py").write_text(CONFTEST.read_text("utf-8"), "utf-8")
    (tests / "test_one.py").write_text(TEST, "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n", "utf-8")

    def run(*arguments: str, ci: str = "") -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name != "CI"} | ({"CI": ci} if ci else {})
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


def test_update_then_compare(suite: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    missing = suite()
    assert missing.returncode == 1 and "no golden file one.txt" in missing.stdout
    assert suite("--update-golden").returncode == 0
    assert suite().returncode == 0
    (tmp_path / "tests/golden/one.txt").write_text("other\n")
    assert suite().returncode == 1


def test_no_update_in_ci(suite: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    refused = suite("--update-golden", ci="true")
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert not (tmp_path / "tests/golden").exists()


def test_orphans_fail_a_whole_run(suite: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    suite("--update-golden")
    (tmp_path / "tests/golden/old.txt").write_text("old")
    whole = suite()
    assert whole.returncode == 1 and "no test looks at golden/old.txt" in whole.stdout
    assert suite("tests/test_one.py").returncode == 0, "a part of the suite doesn't look at all of them"
    assert suite("-k", "one").returncode in {0, 1}
