"""What the tests of faults run: short drafts of the test bed's small model, whose seeds decide what they say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ttsc
from ttsc.runtime.events import Usage
from ttsc.runtime.usage import total

MODEL = Path(__file__).parents[2] / "benchmarks" / "testbed" / "models" / "policy"

PROGRAM = """\
prompt solve(question: str) {
    user "{{ question }}"
}

program drafts(question: str, n: int = 4 in 1..16, limit: int = 8 in 1..400) -> list[str] {
    return solve(question) |> sample(n, max_tokens=limit) |> text
}

program voted(question: str, n: int = 4 in 1..16, limit: int = 8 in 1..400) -> str {
    return solve(question) |> sample(n, max_tokens=limit) |> vote(by=text)
}
"""
SEED = 5


def questions(count: int, **parameters: Any) -> list[dict[str, Any]]:
    """Inputs that differ."""
    return [
        {"question": f"Q:{10 + number % 87:02d}+{10 + number // 87 % 87:02d}*07", **parameters}
        for number in range(count)
    ]


INPUTS = questions(6)


async def results(inputs: Sequence[dict[str, Any]], engine: Any, program: str = "drafts", **more: Any) -> list[Any]:
    """The results of all inputs, in their order."""
    compiled = ttsc.compile(PROGRAM, program)
    return [each async for each in compiled.amap(inputs, engine=engine, seed=SEED, **more)]


def values(found: Sequence[Any]) -> str:
    """All values as text, to be compared byte for byte. Fails with the first error there is."""
    assert [each.error for each in found if each.error is not None] == []
    return json.dumps([each.value for each in found])


def used(found: Sequence[Any]) -> Usage:
    return total([each.usage for each in found])
