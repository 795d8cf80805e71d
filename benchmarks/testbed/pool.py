"""What the policy writes: problems with some of its samples each, which verifiers and the reviser learn from.

Made once from a seed, a few minutes on a core, and kept in build/testbed/ (which is not committed).
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

from benchmarks.testbed.model import EOS, decode, encode, restored
from benchmarks.testbed.sampling import sampled
from benchmarks.testbed.task import OPERATIONS, Problem, problem

MODELS = Path(__file__).parent / "models"
KEPT = Path(__file__).parents[2] / "build" / "testbed"
PROBLEMS, SAMPLES = 6000, 6
MOST = 96
"""Tokens of a sample: the longest right solution has 75."""
_SEED = 7


@dataclass(frozen=True, slots=True)
class Asked:
    """A problem with texts that the policy wrote at temperature 1; `ended`: whether it ended them itself."""

    problem: Problem
    texts: tuple[str, ...]
    ended: tuple[bool, ...]


def drawn(count: int, samples: int, seed: int, operations: tuple[int, int] = OPERATIONS, name: str = "policy",
          temperature: float = 1.0) -> list[Asked]:  # fmt: skip
    """`count` random problems, as many of each length as can be, with `samples` of the model `name` each."""
    numbers = random.Random(seed)
    least, most = operations
    asked = [problem(numbers, least + i % (most - least + 1)) for i in range(count)]
    prompts = [encode(each.question + "\n") for each in asked for _ in range(samples)]
    made = sampled(restored(MODELS / name), prompts, MOST, seed, temperature)
    groups = [made[i : i + samples] for i in range(0, len(made), samples)]
    return [
        Asked(each, tuple(map(decode, group)), tuple(ids[-1] == EOS for ids in group))
        for each, group in zip(asked, groups, strict=True)
    ]


def pool() -> list[Asked]:
    """The problems that verifiers and the reviser learn from."""
    file = KEPT / "pool.json"
    if not file.exists():
        rows = [
            [each.problem.first, each.problem.operations, each.texts, each.ended]
            for each in drawn(PROBLEMS, SAMPLES, _SEED)
        ]
        KEPT.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(rows))
    return [
        Asked(Problem(first, tuple((sign, operand) for sign, operand in operations)), tuple(texts), tuple(ended))
        for first, operations, texts, ended in json.loads(file.read_text())
    ]
