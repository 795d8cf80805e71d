"""Trains the test bed's models, by steps and from a seed: `make testbed`, or `python benchmarks/testbed/train.py`.

policy   the model that reasons: it solves four of ten chains of six operations
reward   a process reward model: whether all is right up to the end of a line

Skills emerge abruptly, so training goes by steps and not by the clock, and every length that is wanted is trained.
float32, because a CPU without instructions for bfloat16 computes with it many times slower.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.testbed.model import EOS, PAD, Policy, Rewarder, Shape, checkpoint, encode, restored, reward_checkpoint
from benchmarks.testbed.muon import Muon
from benchmarks.testbed.task import MODULUS, OPERATIONS, Problem, apply, problem

FOLDER = Path(__file__).parent / "models"
POLICY_STEPS, REWARD_STEPS = 2800, 800
_SHORT_STEPS = 400
"""So long only problems of two and three operations."""
_BATCH = 32


def examples(numbers: random.Random, step: int) -> tuple[Tensor, Tensor]:
    """Ids [batch, length] of problems and solutions, and the same with everything but solutions masked by -100."""
    shortest, longest = (2, 3) if step < _SHORT_STEPS else OPERATIONS
    rows = [problem(numbers, numbers.randint(shortest, longest)) for _ in range(_BATCH)]
    asked = [encode(row.question + "\n") for row in rows]
    solved = [[*encode(row.solution), EOS] for row in rows]
    length = max(len(a) + len(s) for a, s in zip(asked, solved, strict=True))
    ids = torch.full((_BATCH, length), PAD)
    targets = torch.full((_BATCH, length), -100)
    for i, (question, solution) in enumerate(zip(asked, solved, strict=True)):
        ids[i, : len(question) + len(solution)] = torch.tensor(question + solution)
        targets[i, len(question) : len(question) + len(solution)] = torch.tensor(solution)
    return ids, targets


def optimizers(model: torch.nn.Module, rate: float = 4e-3) -> list[torch.optim.Optimizer]:
    """Muon for matrices, AdamW for embeddings, norms and heads."""
    matrices = [
        p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name and "score" not in name
    ]
    known = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in known]
    return [
        Muon(matrices, lr=rate),
        torch.optim.AdamW(others, lr=rate / 4, weight_decay=0.0),
    ]


def scheduled(step: int, steps: int) -> float:
    """Warm up over 50 steps, hold, come down over the last third."""
    return min(1.0, (step + 1) / 50, max(0.05, 3 * (steps - step) / steps))


def train_policy(model: Policy, steps: int, seed: int) -> None:
    """Train, and save."""
    numbers = random.Random(seed)
    ways = optimizers(model)
    rates = [[group["lr"] for group in way.param_groups] for way in ways]
    started, tokens, total = time.monotonic(), 0, 0.0
    for step in range(steps):
        for way, first in zip(ways, rates, strict=True):
            for group, rate in zip(way.param_groups, first, strict=True):
                group["lr"] = rate * scheduled(step, steps)
        ids, targets = examples(numbers, step)
        logits = model(ids[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), targets[:, 1:].flatten(), ignore_index=-100)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for way in ways:
            way.step()
            way.zero_grad(set_to_none=True)
        tokens, total = tokens + ids.numel(), total + loss.item()
        if (step + 1) % 100 == 0:
            print(
                f"step {step + 1}  loss {total / 100:.4f}  {tokens / (time.monotonic() - started):.0f} tokens/s",
                flush=True,
            )
            total = 0.0
    checkpoint(model, FOLDER / "policy")


def corrupted(numbers: random.Random, asked: Problem) -> tuple[str, list[bool]]:
    """A solution that may go wrong at one step and then goes on rightly from what it has, and for each line whether all
    is right so far.
    """
    at = numbers.randrange(len(asked.operations)) if numbers.random() < 0.7 else -1
    lines, right, value, good = [], [], asked.first, True
    for i, (sign, operand) in enumerate(asked.operations):
        result = apply(value, sign, operand)
        if i == at:
            result, good = (result + numbers.randint(1, MODULUS - 1)) % MODULUS, False
        lines.append(f"{value:02d}{sign}{operand:02d}={result:02d}\n")
        right.append(good)
        value = result
    return "".join(lines) + f"A:{value:02d}", [*right, good]


def train_reward(body: Policy, steps: int, seed: int) -> Rewarder:
    """Learn, at the end of each line of solutions with one wrong step or none, whether all is right so far: a logit."""
    numbers = random.Random(seed)
    model = Rewarder(body)
    ways = optimizers(model, 2e-3)
    rates = [[group["lr"] for group in way.param_groups] for way in ways]
    total = hits = seen = 0.0
    for step in range(steps):
        rows = [problem(numbers, numbers.randint(*OPERATIONS)) for _ in range(_BATCH)]
        solved = [(row.question + "\n", *corrupted(numbers, row)) for row in rows]
        length = max(len(asked) + len(text) for asked, text, _ in solved)
        ids, target = torch.full((_BATCH, length), PAD), torch.full((_BATCH, length), float("nan"))
        for i, (asked, text, right) in enumerate(solved):
            ids[i, : len(asked) + len(text)] = torch.tensor(encode(asked + text))
            ends = [len(asked) + j for j, character in enumerate(text) if character == "\n"]
            for place, good in zip([*ends, len(asked) + len(text) - 1], right, strict=True):
                target[i, place] = float(good)
        for way, first in zip(ways, rates, strict=True):
            for group, rate in zip(way.param_groups, first, strict=True):
                group["lr"] = rate * scheduled(step, steps)
        known = ~target.isnan()
        given = model(ids)[known]
        loss = functional.binary_cross_entropy_with_logits(given, target[known])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for way in ways:
            way.step()
            way.zero_grad(set_to_none=True)
        total += loss.item()
        hits, seen = hits + float(((given > 0) == (target[known] > 0.5)).sum()), seen + given.numel()
        if (step + 1) % 100 == 0:
            print(f"reward step {step + 1}  loss {total / 100:.4f}  right {hits / seen:.3f}", flush=True)
            total = hits = seen = 0.0
    reward_checkpoint(model, FOLDER / "reward")
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reward-only", action="store_true", help="keep the policy as it is")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    if not options.reward_only:
        model = Policy(Shape())
        train_policy(model, POLICY_STEPS, options.seed)
    train_reward(restored(FOLDER / "policy"), REWARD_STEPS, options.seed)


if __name__ == "__main__":
    main()
