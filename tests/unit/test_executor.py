"""The executor on hand-built programs and the scripted stub engine: values, order, seeds, regions."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from executor_programs import Builder, run, voices  # noqa: E402

from ttsc.backends.scripted import ScriptedEngine  # noqa: E402
from ttsc.compiler.ir.nodes import Program  # noqa: E402


def vote_program(n: int, early: bool = True) -> Program:
    b = Builder()
    pool = b.generate(b.user("what?"), n, max_tokens=50)
    return b.program(b.vote(b.texts(pool), early))


def test_vote() -> None:
    engine = ScriptedEngine(voices("a", "b", "a"))
    result = run(vote_program(3), engine)
    assert result.error is None
    assert result.value == "a"
    assert result.usage.requests == 3
