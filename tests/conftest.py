"""Golden files: what a test shows is compared with `tests/golden/<path>`; `pytest --update-golden` writes it anew.

A reviewer reads the difference, so updating is a person's act: it is refused where CI is set. After a run of the whole
suite that passed, a golden file that no test looked at fails the run: it is what a removed test left behind.

Examples of Hypothesis have no deadline: a test that asserts a time fails on a busy machine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

TESTS = Path(__file__).parent
GOLDEN = TESTS / "golden"
sys.path.insert(0, str(TESTS / "errors"))  # chunks.py, the harness of the error tests

_SEEN: pytest.StashKey[set[Path]] = pytest.StashKey()
_ORPHANS: pytest.StashKey[list[Path]] = pytest.StashKey()
_PARTIAL: pytest.StashKey[bool] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files instead of comparing with them")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--update-golden") and os.environ.get("CI"):
        raise pytest.UsageError(
            "golden files are not updated in CI: run pytest --update-golden yourself and look at it"
        )
    config.stash[_SEEN] = set()
    config.stash[_ORPHANS] = []
    config.stash[_PARTIAL] = config.args_source is pytest.Config.ArgsSource.ARGS


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(path, text)` asserts that the text is what `tests/golden/<path>` says."""

    def compare(path: str, text: str) -> None:
        file = GOLDEN / path
        assert file.resolve().is_relative_to(GOLDEN.resolve()), "a golden file lies under tests/golden"
        request.config.stash[_SEEN].add(file)
        if not text.endswith("\n"):
            text += "\n"
        if request.config.getoption("--update-golden"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
            return
        assert file.is_file(), f"no golden file {path}: run pytest --update-golden, and look at what it writes"
        assert text == file.read_text(encoding="utf-8"), f"not what golden/{path} says"

    return compare


def orphans(folder: Path, seen: set[Path]) -> list[Path]:
    """Files under `folder` that are not among `seen`."""
    return sorted(file for file in folder.rglob("*") if file.is_file() and file not in seen)


def pytest_deselected(items: list[pytest.Item]) -> None:
    if items:
        items[0].config.stash[_PARTIAL] = True


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    config = session.config
    if exitstatus != pytest.ExitCode.OK or config.stash[_PARTIAL] or config.getoption("collectonly"):
        return
    config.stash[_ORPHANS] = orphans(GOLDEN, config.stash[_SEEN])
    if config.stash[_ORPHANS]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for file in config.stash[_ORPHANS]:
        terminalreporter.write_line(f"no test looks at {file.relative_to(TESTS)}: remove it", red=True)
