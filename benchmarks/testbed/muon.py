"""Muon (Jordan et al., 2024) in float32, all matrices of one shape at once.

torch's own does its Newton-Schulz iterations in bfloat16, one matrix after the other; on a CPU without instructions for
bfloat16 that takes longer than the model's forward and backward pass together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

_QUINTIC = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Nesterov momentum whose update of a matrix is made orthogonal, with the root mean square of an AdamW update."""

    def __init__(self, matrices: Iterable[Tensor], lr: float, momentum: float = 0.95, iterations: int = 5) -> None:
        super().__init__(list(matrices), {"lr": lr, "momentum": momentum, "iterations": iterations})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                held = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
                held.lerp_(matrix.grad, 1 - group["momentum"])
                shapes[matrix.shape].append((matrix, matrix.grad.lerp(held, group["momentum"])))
            for shape, pairs in shapes.items():
                updates = orthogonal(torch.stack([update for _, update in pairs]), group["iterations"])
                scale = group["lr"] * 0.2 * max(shape) ** 0.5
                for (matrix, _), update in zip(pairs, updates, strict=True):
                    matrix.add_(update, alpha=-scale)


def orthogonal(batch: Tensor, iterations: int) -> Tensor:
    """Nearly orthogonal matrices in the directions of `batch` [count, rows, columns], by Newton-Schulz iterations."""
    a, b, c = _QUINTIC
    tall = batch.shape[1] > batch.shape[2]
    x = batch.mT if tall else batch
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
