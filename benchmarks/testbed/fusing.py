"""The fuser: a policy that reads whole attempts at a problem before the problem itself, and solves it.

    78+41=22
    22-33=85
    A:85
    W                     ends an attempt, which may be right or wrong
    …                     up to six of them
    Q:78+41-33
    78+41=22
    22-33=86
    A:86

The problem comes last: its solution then stands behind it as in every other text, so the arithmetic is not unlearned,
and what an attempt wrote for a step is found where that step stands in it.
"""

from __future__ import annotations

import random

from torch import Tensor
from torch.nn import functional

from benchmarks.testbed.descent import IGNORED, descend, falling, padded
from benchmarks.testbed.model import EOS, Policy, encode
from benchmarks.testbed.pool import Asked
from benchmarks.testbed.revising import MARK
from benchmarks.testbed.task import OPERATIONS, problem

MOST_ATTEMPTS = 6
_RATE, _STEPS = 2e-3, 900
_TOKENS = 3000
"""Of a batch, about: the more attempts its rows have, the fewer rows."""


def before(texts: list[str], question: str) -> str:
    """What a solution follows: attempts, then the problem."""
    return "".join(text + MARK for text in texts) + question + "\n"


def batch(numbers: random.Random, pool: list[Asked], attempts: int) -> tuple[Tensor, Tensor]:
    """Ids and targets [batch, length] of problems after so many attempts; without any, of new problems."""
    rows = []
    for _ in range(_TOKENS // (70 * (attempts + 1))):
        drawn = numbers.choice(pool) if attempts else Asked(problem(numbers, numbers.randint(*OPERATIONS)), (), ())
        given = encode(before(numbers.sample(drawn.texts, attempts), drawn.problem.question))
        rows.append((given, [*encode(drawn.problem.solution), EOS]))
    ids = padded([given + solution for given, solution in rows])
    return ids, padded([[IGNORED] * len(given) + solution for given, solution in rows], IGNORED)


def train(model: Policy, pool: list[Asked], seed: int) -> None:
    """Teach a policy to read attempts: of one step's rows all have as many, 0 to 6."""
    numbers = random.Random(seed)

    def loss_of(step: int) -> Tensor:
        ids, targets = batch(numbers, pool, numbers.randint(0, MOST_ATTEMPTS))
        return functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), targets[:, 1:].flatten())

    descend(model, _STEPS, loss_of, _RATE, falling, name="fuser")
