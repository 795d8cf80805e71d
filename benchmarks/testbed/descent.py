"""The training loop that all of the test bed's models share: Muon for matrices, AdamW for the rest, by steps.

Skills emerge abruptly, so training goes by steps and not by the clock. float32, because a CPU without instructions for
bfloat16 computes with it many times slower.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.testbed.model import PAD
from benchmarks.testbed.muon import Muon

BATCH = 32
IGNORED = -100
"""The target of a token that is not learned."""

Schedule = Callable[[int, int], float]


def scheduled(step: int, steps: int) -> float:
    """Warm up over 50 steps, hold, come down over the last third."""
    return min(1.0, (step + 1) / 50, max(0.05, 3 * (steps - step) / steps))


def held(step: int, steps: int) -> float:
    """Warm up over 50 steps, then hold to the end: what a longer training would be at that step."""
    return min(1.0, (step + 1) / 50)


def falling(step: int, steps: int) -> float:
    """Warm up over 50 steps, and come down all the way to the end."""
    return min(1.0, (step + 1) / 50, max(0.02, (steps - step) / steps))


def optimizers(model: nn.Module, rate: float = 4e-3) -> list[torch.optim.Optimizer]:
    """Muon for matrices, AdamW for embeddings, norms and heads; parameters that need no gradient stay as they are."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    matrices = [p for name, p in named if p.ndim == 2 and "embed" not in name and "score" not in name]
    known = {id(p) for p in matrices}
    others = [p for _, p in named if id(p) not in known]
    return [
        Muon(matrices, lr=rate),
        torch.optim.AdamW(others, lr=rate / 4, weight_decay=0.0),
    ]


def descend(
    model: nn.Module,
    steps: int,
    loss_of: Callable[[int], Tensor],
    rate: float,
    schedule: Schedule = scheduled,
    reached: Callable[[int], None] = lambda step: None,
    name: str = "",
) -> None:
    """`steps` steps on `loss_of(step)`. `reached(n)` is called after n steps, for each hundred."""
    ways = optimizers(model, rate)
    rates = [[group["lr"] for group in way.param_groups] for way in ways]
    started, total = time.monotonic(), 0.0
    for step in range(steps):
        for way, first in zip(ways, rates, strict=True):
            for group, full in zip(way.param_groups, first, strict=True):
                group["lr"] = full * schedule(step, steps)
        loss = loss_of(step)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for way in ways:
            way.step()
            way.zero_grad(set_to_none=True)
        total += loss.item()
        if (step + 1) % 100 == 0:
            print(f"{name} {step + 1}  loss {total / 100:.4f}  {time.monotonic() - started:.0f} s", flush=True)
            total = 0.0
            reached(step + 1)


def padded(rows: list[list[int]], fill: int = PAD) -> Tensor:
    """Rows [count, longest], filled up at the end."""
    ids = torch.full((len(rows), max(map(len, rows))), fill)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return ids
