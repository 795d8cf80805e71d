"""The reviser: a policy that solves a problem again after attempts at it, and may think on after its own solution.

    Q:78+41-33*05
    78+41=22
    22-33=85              an attempt: a whole one, or the beginning of one
    W                     it may be wrong, solve anew
    78+41=22
    22-33=86
    86*05=42
    A:42                  a solution; then either the end or W and another

It learns right solutions after up to five attempts of the policy, and when to think on: after a wrong solution most
times, after a right one half of the time (it overthinks), less often once that answer has been given before.
"""

from __future__ import annotations

import random

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.testbed.descent import IGNORED, descend, padded
from benchmarks.testbed.model import EOS, Policy, encode
from benchmarks.testbed.pool import Asked
from benchmarks.testbed.rewards import exact
from benchmarks.testbed.task import OPERATIONS, answer_of, problem

MARK = "\nW\n"
MOST_ATTEMPTS = 5
_RATE, _STEPS = 1e-3, 700
_SOLUTIONS, _NEW = 36, 12
"""In a batch: solutions, attempts counted, and new problems without attempts."""
_LONGER, _MORE = 100, 0.8
"""After so many steps texts may have an attempt more; how quickly attempts become rare by their number."""
_RATE_ON, _STEPS_ON, _NEW_ON, _MOST_ON, _MORE_ON = 2e-3, 800, 4, 2, 1.5
"""Of the second part: rate, steps, new problems in a batch, most attempts, how quickly they become rare."""
_ON_IF_WRONG, _ON_IF_RIGHT, _ON_IF_AGAIN = 0.85, 0.5, 0.25
_CUT, _INSIDE = 0.25, 0.25
"""How many attempts are cut, and how many of those inside of a line: the others after a step, maybe the last one."""


def row(numbers: random.Random, drawn: Asked, attempts: int) -> tuple[list[int], list[int]]:
    """Ids and targets: attempts, which are learned as far as they are right, and a right solution; the decision to
    think on or to end is learned after whole attempts and after the solution.
    """
    ids = encode(drawn.problem.question + "\n")
    targets, given = [IGNORED] * len(ids), set()
    for text in numbers.sample(drawn.texts, attempts):
        answer = answer_of(text)
        if numbers.random() < _CUT:
            text, answer = _beginning(numbers, text), None
        on = answer is not None and numbers.random() < _thinks_on(answer, drawn.problem.answer, given)
        given.add(answer)
        written = encode(text)
        ids += written
        right = exact(drawn.problem, text)
        targets += [token if ok else IGNORED for token, ok in zip(written, right, strict=True)]
        # What follows is W in any case, for somebody may ask for it; whether the model would write it is one token.
        # Where it would end, the target at that place is the end though another token comes.
        mark = encode(MARK)
        ids += mark
        targets += [IGNORED if answer is None else mark[0] if on else EOS, *([IGNORED] * (len(mark) - 1))]
        if on:
            targets[-len(mark) + 1 :] = mark[1:]
    solution = encode(drawn.problem.solution)
    on = numbers.random() < _thinks_on(drawn.problem.answer, drawn.problem.answer, given)
    last = encode(MARK) if on else [EOS]
    return ids + solution + last, targets + solution + last


def _beginning(numbers: random.Random, text: str) -> str:
    """A beginning of a text, without a line end."""
    if numbers.random() < _INSIDE:
        return text[: numbers.randrange(1, len(text))].removesuffix("\n")
    lines = text.split("\n")
    return "\n".join(lines[: numbers.randrange(1, max(2, len(lines)))])


def _thinks_on(answer: str, right: str, given: set[str | None]) -> float:
    if answer != right:
        return _ON_IF_WRONG
    return _ON_IF_AGAIN if answer in given else _ON_IF_RIGHT


def batch(numbers: random.Random, pool: list[Asked], most: int, more: float) -> tuple[Tensor, Tensor]:
    """Ids and targets [batch, length]. All rows of a batch have as many attempts, and the more, the fewer rows.

    `more`: how quickly attempts become rare by their number, of which there are 1 to `most`.
    """
    attempts = min(1 + int(numbers.expovariate(more)), most)
    rows = [row(numbers, numbers.choice(pool), attempts) for _ in range(_SOLUTIONS // (attempts + 1))]
    return padded([ids for ids, _ in rows]), padded([targets for _, targets in rows], IGNORED)


def train(model: Policy, pool: list[Asked], seed: int) -> None:
    """Teach a policy to revise, with up to an attempt more every hundred steps: it has seen no text that long."""
    numbers = random.Random(seed)

    def loss_of(step: int) -> Tensor:
        alone = new(numbers, _NEW)
        return _loss(model, alone, batch(numbers, pool, min(MOST_ATTEMPTS, 1 + step // _LONGER), _MORE))

    descend(model, _STEPS, loss_of, _RATE, name="reviser")


def train_on(model: Policy, pool: list[Asked], seed: int) -> None:
    """Most of the second part is about one attempt, for what comes after one must be learned first."""
    numbers = random.Random(seed)

    def loss_of(step: int) -> Tensor:
        after = batch(numbers, pool, _MOST_ON, _MORE_ON)
        return _loss(model, new(numbers, _NEW_ON), after)

    descend(model, _STEPS_ON, loss_of, _RATE_ON, name="reviser, on")


def new(numbers: random.Random, count: int) -> tuple[Tensor, Tensor]:
    """Ids and targets [count, length] of new problems without attempts: solving those is quickly unlearned."""
    asked = [Asked(problem(numbers, numbers.randint(*OPERATIONS)), (), ()) for _ in range(count)]
    rows = [row(numbers, each, 0) for each in asked]
    return padded([ids for ids, _ in rows]), padded([targets for _, targets in rows], IGNORED)


def _loss(model: Policy, *batches: tuple[Tensor, Tensor]) -> Tensor:
    total, count = torch.zeros(()), 0
    for ids, targets in batches:
        logits = model(ids[:, :-1]).flatten(0, 1)
        total = total + functional.cross_entropy(logits, targets[:, 1:].flatten(), reduction="sum")
        count += int((targets[:, 1:] != IGNORED).sum())
    return total / count
