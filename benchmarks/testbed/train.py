"""Trains the test bed's models, by steps and from a seed: `make testbed`, or `python benchmarks/testbed/train.py`.

policy   the model that reasons: right in about half of its chains of six operations
strong   the same training, gone on: its likelihood of a step tells whether the step is right
reward   a process reward model distilled from the strong model's likelihood of the policy's steps

Facts that the schedule rests on (measured before, on one core): skills emerge abruptly, so train by steps and not by
the clock; every length that is wanted must be trained; a head on labels of right prefixes did not learn to tell apart
the solutions of one problem, the likelihood under a later checkpoint did.
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
from benchmarks.testbed.task import OPERATIONS, Problem, problem

FOLDER = Path(__file__).parent / "models"
POLICY_STEPS, STRONG_STEPS, REWARD_STEPS = 2800, 5000, 1200
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


def train_policy(model: Policy, steps: int, seed: int, save: dict[int, str]) -> None:
    """Train, and save checkpoints by name after so many steps."""
    numbers = random.Random(seed)
    ways = optimizers(model)
    rates = [[group["lr"] for group in way.param_groups] for way in ways]
    started, tokens, total = time.monotonic(), 0, 0.0
    for step in range(steps):
        # Every checkpoint ends a schedule of its own: the policy's comes down before it is saved, then goes up again.
        ends = sorted(save)
        begin = max((end for end in ends if end <= step), default=0)
        end = min(each for each in ends if each > step)
        factor = scheduled(step - begin, end - begin)
        for way, first in zip(ways, rates, strict=True):
            for group, rate in zip(way.param_groups, first, strict=True):
                group["lr"] = rate * factor
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
        if step + 1 in save:
            checkpoint(model, FOLDER / save[step + 1])


@torch.no_grad()
def sampled(model: Policy, rows: list[Problem], numbers: torch.Generator, temperature: float = 1.0) -> list[str]:
    """One solution a problem; all problems have equally many operations."""
    from benchmarks.testbed.model import CHARACTERS, SPECIAL

    ids = torch.tensor([encode(row.question + "\n") for row in rows])
    ended = torch.zeros(len(rows), dtype=torch.bool)
    begin = ids.shape[1]
    for _ in range(9 * OPERATIONS[1] + 12):
        logits = model(ids)[:, -1]
        drawn = torch.multinomial(functional.softmax(logits / temperature, -1), 1, generator=numbers)
        drawn[ended] = PAD
        ids = torch.cat((ids, drawn), 1)
        ended |= drawn.squeeze(1) == EOS
        if bool(ended.all()):
            break
    alphabet = (*SPECIAL, *CHARACTERS)
    return [
        "".join(alphabet[i] for i in row if i >= len(SPECIAL) and i < len(alphabet)) for row in ids[:, begin:].tolist()
    ]


@torch.no_grad()
def step_likelihoods(model: Policy, question: str, text: str) -> list[tuple[int, float]]:
    """For each line of a solution, where it ends (an index of the whole's ids) and its log-likelihood."""
    begin = len(question) + 1
    ids = torch.tensor([encode(question + "\n" + text)])
    logits = model(ids[:, :-1])
    each = functional.log_softmax(logits, -1).gather(-1, ids[:, 1:, None])[0, :, 0]
    found, last = [], begin
    for place in range(begin, ids.shape[1]):
        if text[place - begin] == "\n" or place == ids.shape[1] - 1:
            found.append((place, float(each[last - 1 : place].sum())))
            last = place + 1
    return found


def train_reward(policy: Policy, strong: Policy, steps: int, seed: int) -> Rewarder:
    """Regress, at the end of each of the policy's steps, the strong model's log-likelihood of it (no less than -8),
    scaled to a logit: 0 where the step is as likely as not.
    """
    numbers, draws = random.Random(seed), torch.Generator().manual_seed(seed)
    model = Rewarder(restored(FOLDER / "strong"))
    ways = optimizers(model, 2e-3)
    rates = [[group["lr"] for group in way.param_groups] for way in ways]
    total = 0.0
    pool: list[tuple[str, str, list[tuple[int, float]]]] = []
    for step in range(steps):
        if step % 8 == 0:
            rows = [problem(numbers, numbers.randint(*OPERATIONS))]
            rows = [problem(numbers, len(rows[0].operations)) for _ in range(_BATCH * 4)]
            texts = sampled(policy, rows, draws)
            pool = [
                (r.question, t, step_likelihoods(strong, r.question, t)) for r, t in zip(rows, texts, strict=True) if t
            ]
        batch = numbers.sample(pool, min(_BATCH, len(pool)))
        length = max(len(q) + 1 + len(t) for q, t, _ in batch)
        ids, target = torch.full((len(batch), length), PAD), torch.full((len(batch), length), float("nan"))
        for i, (question, text, ends) in enumerate(batch):
            row = encode(question + "\n" + text)
            ids[i, : len(row)] = torch.tensor(row)
            for place, likelihood in ends:
                target[i, place] = 4.0 + 2.0 * max(likelihood, -8.0) / 2.0
        for way, first in zip(ways, rates, strict=True):
            for group, rate in zip(way.param_groups, first, strict=True):
                group["lr"] = rate * scheduled(step, steps)
        given = model(ids)
        known = ~target.isnan()
        loss = functional.mse_loss(given[known], target[known])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for way in ways:
            way.step()
            way.zero_grad(set_to_none=True)
        total += loss.item()
        if (step + 1) % 100 == 0:
            print(f"reward step {step + 1}  loss {total / 100:.4f}", flush=True)
            total = 0.0
    reward_checkpoint(model, FOLDER / "reward")
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reward-only", action="store_true", help="keep policy and strong as they are")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    if not options.reward_only:
        model = Policy(Shape())
        train_policy(model, STRONG_STEPS, options.seed, {POLICY_STEPS: "policy", STRONG_STEPS: "strong"})
    train_reward(restored(FOLDER / "policy"), restored(FOLDER / "strong"), REWARD_STEPS, options.seed)


if __name__ == "__main__":
    main()
