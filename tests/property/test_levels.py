"""The compiler's central test: `-O0`, `-O1` and `-O2` give the same value for the same seed, whatever the timing.

Every program in `programs/` runs on a stub whose replies depend only on prompt and seed, as a deterministic engine's
do, while jitter varies the order in which candidates finish. What it appends to stores counts as part of the value.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ttsc
from ttsc.backends.protocol import Sampling
from ttsc.backends.scripted import ScriptedEngine, conforming
from ttsc.compiler.passes.pipeline import PIPELINE
from ttsc.compiler.values.types import ListOf, OptionalOf, RecordType, Type

PROGRAMS = Path(__file__).parents[2] / "programs"
VALUES: dict[str, Any] = {"str": "How many?", "int": 3, "float": 0.5, "bool": True}
ASKED_FOR = [each.name for each in PIPELINE if each.level is None]
FILES = sorted(PROGRAMS.glob("*.tts"))


def reply(prompt: str, seed: int, sampling: Sampling) -> str:
    """Short chains of thought, grades and verdicts; greedy requests ignore the seed."""
    r = random.Random(prompt if sampling.temperature == 0 else f"{seed}{prompt}")
    asked = prompt.rsplit("<|user|>", 1)[-1]
    if "Grade:" in asked:
        return r.choice(["0", "3", "7", "10", "good"])
    if "Is this right?" in asked:
        return r.choice(["Yes", "No", "Yes.", "perhaps"])
    if "Task:" in asked:
        return f"```python\ndef add(a, b):\n    return a {r.choice('+-*')} b\n```"
    thoughts = "".join(f"step {r.randint(0, 9)}\n" * r.randint(1, 3) for _ in range(r.randint(1, 4)))
    return thoughts + r.choice(["", f"Answer: {r.randint(1, 4)}"])


def run_python(code: str, tests: list[str], timeout_s: float) -> dict[str, Any]:
    """Stands in for the sandbox, which has tests of its own."""
    return {"passed": "a + b" in code, "output": "" if "a + b" in code else "AssertionError"}


def value_of(kind: Type) -> Any:
    """Something to give a parameter or to begin a store with."""
    match kind:
        case OptionalOf():
            return None
        case ListOf(item):
            return [value_of(item)] * 2
        case RecordType(fields=fields):
            return {name: value_of(part) for name, part in fields}
    return VALUES[str(kind)]


def run(path: Path, level: ttsc.Level, seed: int, jitter_seed: int, enabled: Sequence[str] = ()) -> tuple[Any, str]:
    engine = ScriptedEngine(conforming(reply, broken=0.2), jitter=0.4 if jitter_seed else 0.0, jitter_seed=jitter_seed)
    program = ttsc.compile(path, level=level, enabled=enabled)
    given = {each.name: value_of(each.value.type) for each in program.parameters if each.required}
    stores = {slot.name: ttsc.Store.memory(value_of(slot.value.type)) for slot in program.ir.stores}
    externs = {"run_python": run_python}
    with tempfile.TemporaryDirectory() as kept:
        try:
            result = program.run(
                given, engine=engine, seed=seed, externs=externs, stores=stores, artifacts=kept, evaluation=True
            )
        except ttsc.RunError as error:
            return error.failure.message, error.failure.code
    return (result.value, result.abstained, result.appended), ""


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
@given(seed=st.integers(0, 2**31 - 1), jitter_seed=st.integers(1, 2**31 - 1))
@settings(max_examples=8, deadline=None)
def test_every_level_gives_the_same_value(path: Path, seed: int, jitter_seed: int) -> None:
    expected = run(path, 0, seed, 0)
    assert run(path, 0, seed, jitter_seed) == expected, "timing alone changed the value"
    assert run(path, 1, seed, jitter_seed) == expected
    assert run(path, 2, seed, jitter_seed) == expected
    assert run(path, 2, seed, jitter_seed, ASKED_FOR) == expected


def test_early_decision_saves_tokens() -> None:
    """The same value from fewer tokens, or the property above would hold for passes that do nothing."""
    saved = 0
    for seed in range(5):
        decoded = []
        for level in (0, 2):
            engine = ScriptedEngine(reply)
            result = ttsc.compile(PROGRAMS / "first_finish.tts", level=level).run(
                question="How many?", engine=engine, seed=seed
            )
            decoded.append(result.usage.decoded_tokens)
        saved += decoded[0] - decoded[1]
    assert saved > 0
