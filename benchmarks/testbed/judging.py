"""The judge: a model that writes a check of a solution and then says y or n.

    Q:78+41-33*05
    78+41=22
    22-33=85              a solution
    85*05=37
    A:37
    V                     a check is asked for
    78+41=22y             each step anew, and whether the solution has the same
    22-33=86n             at the first that differs it stops
    n                     the verdict

The check is a sample, and the judge's arithmetic errs now and then, so verdicts of one solution differ.
"""

from __future__ import annotations

import random

from torch import Tensor
from torch.nn import functional

from benchmarks.testbed.descent import BATCH, IGNORED, descend, padded
from benchmarks.testbed.model import EOS, Policy, encode
from benchmarks.testbed.pool import Asked
from benchmarks.testbed.rewards import corrupted
from benchmarks.testbed.task import OPERATIONS, Problem, problem

MARK = "\nV\n"
_RATE, _STEPS = 2e-3, 700


def check(asked: Problem, solution: str) -> str:
    """The right check of a solution: its lines until the first that differs, and the verdict."""
    lines = solution.split("\n")
    written = []
    for i, right in enumerate((*asked.steps, f"A:{asked.answer}")):
        same = i < len(lines) and lines[i] == right
        written.append(f"{right}{'y' if same else 'n'}")
        if not same:
            break
    else:
        same = len(lines) == len(asked.steps) + 1
    return "\n".join((*written, "y" if same else "n"))


def batch(numbers: random.Random, pool: list[Asked]) -> tuple[Tensor, Tensor]:
    """Ids and targets [batch, length]: half are checks of the policy's samples, half of made solutions."""
    rows, targets = [], []
    for i in range(BATCH):
        if i % 2:
            drawn = numbers.choice(pool)
            asked, solution = drawn.problem, numbers.choice(drawn.texts)
        else:
            asked = problem(numbers, numbers.randint(*OPERATIONS))
            solution = corrupted(numbers, asked)
        given = encode(asked.question + "\n" + solution + MARK)
        wanted = [*encode(check(asked, solution)), EOS]
        rows.append(given + wanted)
        targets.append([IGNORED] * len(given) + wanted)
    return padded(rows), padded(targets, IGNORED)


def train(model: Policy, pool: list[Asked], seed: int, steps: int = _STEPS) -> None:
    """Teach a policy to check."""
    numbers = random.Random(seed)

    def loss_of(step: int) -> Tensor:
        ids, targets = batch(numbers, pool)
        return functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), targets[:, 1:].flatten())

    descend(model, steps, loss_of, _RATE, name="judge")
