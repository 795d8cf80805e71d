"""The judge: a model that reads a solution and writes y or n, a verifier that answers in text.

    Q:78+41-33*05
    78+41=22
    22-33=85              a solution
    85*05=37
    A:37
    V                     a verdict is asked for
    n                     the verdict, and the end

Verdicts are sampled, by the likelihoods that the judge gives to both: of a solution that it is not sure of they differ.
It writes no check before its verdict. (One that did each step anew was trained, too: reading what stands after a whole
solution as a policy of this size does, it lost its arithmetic.) It is the weak reward model made to speak: its body and
what is new there go on learning, the strong policy's layers below stay as they are.
"""

from __future__ import annotations

import random

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.testbed.descent import BATCH, IGNORED, descend, padded
from benchmarks.testbed.model import EOS, Policy, Rewarder, encode
from benchmarks.testbed.pool import Asked
from benchmarks.testbed.rewards import LAYERS, LOUDNESS, corrupted
from benchmarks.testbed.task import OPERATIONS, problem

MARK = "\nV\n"
_RATE, _STEPS = 2e-3, 300


def batch(numbers: random.Random, pool: list[Asked]) -> tuple[Tensor, Tensor]:
    """Ids and targets [batch, length]: half are samples of the policy, half are made."""
    rows, targets = [], []
    for i in range(BATCH):
        if i % 2:
            drawn = numbers.choice(pool)
            asked, solution = drawn.problem, numbers.choice(drawn.texts)
        else:
            asked = problem(numbers, numbers.randint(*OPERATIONS))
            solution = corrupted(numbers, asked)
        given = encode(asked.question + "\n" + solution + MARK)
        wanted = [*encode("y" if solution == asked.solution else "n"), EOS]
        rows.append(given + wanted)
        targets.append([IGNORED] * len(given) + wanted)
    return padded(rows), padded(targets, IGNORED)


def speaking(rewarder: Rewarder) -> Policy:
    """The body of a reward model with a voice: what it writes to its stream is as loud again as embeddings are, and the
    embeddings of both verdicts, which no policy ever wrote, are drawn anew.
    """
    model = rewarder.body
    with torch.no_grad():
        model.norm.weight.mul_(LOUDNESS)
        verdicts = encode("yn")
        model.embed_tokens.weight[verdicts] = torch.randn(2, model.shape.hidden) * model.embed_tokens.weight.std()
    return model


def train(model: Policy, pool: list[Asked], seed: int) -> None:
    """Teach what is above the strong policy's layers to give verdicts."""
    numbers = random.Random(seed)

    def loss_of(step: int) -> Tensor:
        ids, targets = batch(numbers, pool)
        return functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), targets[:, 1:].flatten())

    model.requires_grad_(False)
    for module in (*list(model.layers)[-LAYERS:], model.norm):
        module.requires_grad_(True)
    descend(model, _STEPS, loss_of, _RATE, name="judge")
