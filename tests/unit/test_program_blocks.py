"""The test blocks of every program in the repository hold; without passes all but the calls that passes save and the
aborts that they bring about.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ttsc.compiler.plan.nodes import Level
from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.check import check
from ttsc.library import open_source
from ttsc.testing.running import run_test

ROOT = Path(__file__).parents[2]
TESTS = [
    pytest.param(test, id=f"{path.stem}: {test.title}")
    for path in sorted(
        [*ROOT.glob("programs/*.tts"), *ROOT.glob("programs/testbed/*.tts"), *ROOT.glob("stdlib/*/*.tts")]
    )
    for test in check(*open_source(str(path))).tests
]


def test_there_are_tests() -> None:
    assert len(TESTS) >= 9


@pytest.mark.parametrize("level", [0, 2])
@pytest.mark.parametrize("test", TESTS)
def test_block(test: typed.Test, level: Level) -> None:
    outcome = asyncio.run(run_test(test, level=level))
    counted = [each for each in outcome.failures if each.message.startswith(("expected calls", "expected aborted"))]
    assert len(outcome.failures) == (len(counted) if level == 0 else 0), outcome.failures
