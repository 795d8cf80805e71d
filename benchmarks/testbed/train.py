"""Trains the test bed's models, from seeds: `make testbed`, or `python -m benchmarks.testbed.train [NAME…]`.

policy       the model that reasons: it solves four of ten chains of six operations
strong       the same training gone on, with an end; `strong-1000` and `strong-3000` stay in build/testbed/
prm          a process reward model on strong's body; prm_weak is an earlier checkpoint of the same training
prm_biased   the same, taught that subtractions are always right
judge        reads a solution and writes y or n: prm_weak, made to speak
reviser      solves again after an attempt, and thinks on
fuser        solves with attempts before the problem
large        strong with more layers

Each is made from what stands before it: with names, only those are made, from the models that are there.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.testbed import fusing, judging, revising, rewards
from benchmarks.testbed.descent import BATCH, IGNORED, Schedule, descend, falling, held, padded, scheduled
from benchmarks.testbed.model import (
    EOS,
    Policy,
    Rewarder,
    Shape,
    checkpoint,
    encode,
    grown,
    restored,
    restored_rewarder,
    reward_checkpoint,
)
from benchmarks.testbed.pool import KEPT, MODELS, pool
from benchmarks.testbed.task import OPERATIONS, problem

POLICY_STEPS = 2800
_SHORT_STEPS = 400
"""So long only problems of two and three operations."""


def examples(numbers: random.Random, step: int) -> tuple[Tensor, Tensor]:
    """Ids [batch, length] of problems and solutions, and the same with everything but solutions masked."""
    shortest, longest = (2, 3) if step < _SHORT_STEPS else OPERATIONS
    rows = [problem(numbers, numbers.randint(shortest, longest)) for _ in range(BATCH)]
    asked = [encode(row.question + "\n") for row in rows]
    solved = [[*encode(row.solution), EOS] for row in rows]
    ids = padded([a + s for a, s in zip(asked, solved, strict=True)])
    targets = padded([[IGNORED] * len(a) + s for a, s in zip(asked, solved, strict=True)], IGNORED)
    return ids, targets


def solve(
    model: Policy,
    steps: int,
    seed: int,
    rate: float,
    schedule: Schedule,
    name: str,
    first: int = 0,
    reached: Callable[[int], None] = lambda step: None,
) -> None:
    """Train to solve problems. `first`: from which step on the examples are."""
    numbers = random.Random(seed)

    def loss_of(step: int) -> Tensor:
        ids, targets = examples(numbers, step + first)
        return functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), targets[:, 1:].flatten())

    descend(model, steps, loss_of, rate, schedule, reached, name)


def make_policy() -> None:
    torch.manual_seed(1)
    model = Policy(Shape())
    solve(model, POLICY_STEPS, 1, 4e-3, scheduled, "policy")
    checkpoint(model, MODELS / "policy")


def make_strong() -> None:
    model = restored(MODELS / "policy")

    def reached(step: int) -> None:
        if step in (1000, 3000):
            checkpoint(model, KEPT / f"strong-{step}")

    solve(model, 3000, 2, 2e-3, held, "strong", _SHORT_STEPS, reached)
    # On from the file, as bfloat16 left it: whoever has the file need not do the 3,000 steps again.
    model = restored(KEPT / "strong-3000")
    solve(model, 1000, 3, 2e-3, falling, "strong, end", _SHORT_STEPS)
    checkpoint(model, MODELS / "strong")


def make_prm() -> None:
    def reached(model: Rewarder, step: int) -> None:
        if step == rewards.WEAK_STEPS:
            reward_checkpoint(model, MODELS / "prm_weak")

    model = rewards.trained(restored(MODELS / "strong"), pool(), seed=4, reached=reached)
    reward_checkpoint(model, MODELS / "prm")


def make_prm_biased() -> None:
    model = rewards.trained(restored(MODELS / "strong"), pool(), seed=5, labels=rewards.blind, name="prm_biased")
    reward_checkpoint(model, MODELS / "prm_biased")


def make_judge() -> None:
    torch.manual_seed(6)
    model = judging.speaking(restored_rewarder(MODELS / "prm_weak"))
    judging.train(model, pool(), seed=6)
    checkpoint(model, MODELS / "judge")


def make_reviser() -> None:
    model = restored(MODELS / "strong")
    revising.train(model, pool(), seed=5)
    checkpoint(model, KEPT / "reviser-700")
    model = restored(KEPT / "reviser-700")
    revising.train_on(model, pool(), seed=8)
    checkpoint(model, MODELS / "reviser")


def make_fuser() -> None:
    model = restored(MODELS / "policy")
    fusing.train(model, seed=9)
    checkpoint(model, KEPT / "fuser-1000")
    model = restored(KEPT / "fuser-1000")
    fusing.train_on(model, seed=10)
    checkpoint(model, MODELS / "fuser")


def make_large() -> None:
    torch.manual_seed(7)
    model = grown(restored(MODELS / "strong"), 2)
    solve(model, 200, 7, 1e-3, falling, "large", _SHORT_STEPS)
    checkpoint(model, MODELS / "large")


RECIPES: dict[str, Callable[[], None]] = {
    "policy": make_policy,
    "strong": make_strong,
    "prm": make_prm,
    "prm_biased": make_prm_biased,
    "judge": make_judge,
    "reviser": make_reviser,
    "fuser": make_fuser,
    "large": make_large,
}
"""In an order in which each finds what it is made from; `prm` makes prm_weak on its way."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *RECIPES], metavar="NAME", help="all, unless named")
    names = parser.parse_args().names or list(RECIPES)
    if names == list(RECIPES):
        # The pool is of the policy's samples: of a new policy, a new one.
        (KEPT / "pool.json").unlink(missing_ok=True)
    for name in names:
        started = time.monotonic()
        RECIPES[name]()
        print(f"{name}: {(time.monotonic() - started) / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    main()
