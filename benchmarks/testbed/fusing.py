"""The fuser: a policy that reads attempts at a problem before the problem itself, and solves it.

    78+41=22
    22-33=85
    A:85
    W                     ends an attempt, which may be right or wrong
    …                     up to five of them
    Q:78+41-33
    78+41=22
    22-33=86
    A:86

The problem comes last: its solution then stands behind it as in every other text, so the arithmetic is not unlearned,
and what an attempt wrote for a step is found where that step stands in it. Attempts are made up: some of their steps
have a random result, from which they go on.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from benchmarks.testbed.descent import IGNORED, descend, padded
from benchmarks.testbed.model import EOS, Policy, encode
from benchmarks.testbed.revising import MARK
from benchmarks.testbed.task import MODULUS, OPERATIONS, Problem, apply, problem

_RATE, _STEPS, _STEPS_ON = 4e-3, 1000, 900
_TOKENS, _TOKENS_ON = 3000, 4500
"""Of a batch, at most: the longer its rows, the fewer."""
_MOST_ROWS = 48


@dataclass(frozen=True, slots=True)
class Stage:
    """What a batch is of: operations, attempts (least and most), and how many of their steps err at most."""

    operations: tuple[int, int]
    attempts: tuple[int, int]
    wrong: float


_READ = Stage((2, 3), (1, 3), 0.0)
"""Attempts that are right: whoever reads them need not compute."""
_DOUBT = Stage((2, 3), (0, 3), 0.4)
_ALL = Stage(OPERATIONS, (0, 5), 0.4)


def before(texts: list[str], question: str) -> str:
    """What a solution follows: attempts, then the problem."""
    return "".join(text + MARK for text in texts) + question + "\n"


def attempt(numbers: random.Random, asked: Problem, wrong: float) -> str:
    """A solution each of whose steps has a random result with probability `wrong`."""
    value, lines = asked.first, []
    for sign, operand in asked.operations:
        result = apply(value, sign, operand)
        if numbers.random() < wrong:
            result = numbers.randrange(MODULUS)
        lines.append(f"{value:02d}{sign}{operand:02d}={result:02d}")
        value = result
    return "\n".join([*lines, f"A:{value:02d}"])


def batch(numbers: random.Random, stage: Stage, tokens: int) -> tuple[Tensor, Tensor]:
    """Ids and targets [batch, length]. All rows have as many attempts, and as many operations."""
    attempts, operations = numbers.randint(*stage.attempts), numbers.randint(*stage.operations)
    length = (9 * operations + 5) * (attempts + 1) + 3 * operations + 4
    rows = []
    for _ in range(min(_MOST_ROWS, tokens // length)):
        asked, wrong = problem(numbers, operations), numbers.random() * stage.wrong
        given = encode(before([attempt(numbers, asked, wrong) for _ in range(attempts)], asked.question))
        rows.append((given, [*encode(asked.solution), EOS]))
    ids = padded([given + solution for given, solution in rows])
    return ids, padded([[IGNORED] * len(given) + solution for given, solution in rows], IGNORED)


def _loss(model: Policy, ids: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), targets[:, 1:].flatten())


def train(model: Policy, seed: int) -> None:
    """Teach a policy to read: first short attempts that are right, then such as may be wrong, then long ones."""
    numbers = random.Random(seed)

    def loss_of(step: int) -> Tensor:
        stage = _READ if step < 200 else _DOUBT if step < 400 else _ALL
        return _loss(model, *batch(numbers, stage, _TOKENS))

    descend(model, _STEPS, loss_of, _RATE, name="fuser")


def train_on(model: Policy, seed: int) -> None:
    """The same, on long ones alone."""
    numbers = random.Random(seed)
    descend(model, _STEPS_ON, lambda _: _loss(model, *batch(numbers, _ALL, _TOKENS_ON)), _RATE, name="fuser, on")
