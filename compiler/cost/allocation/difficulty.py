"""Settings by difficulty ("Scaling LLM Test-Time Compute Optimally", Snell et al. 2024): inputs go into bins, and each
bin has a setting of its own. What it takes to tell the bin is charged.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence

ABSOLUTE = (0.1, 0.5)
"""Edges of pass@1 between hard, medium and easy ("Can 1B LLM Surpass 405B LLM?", 2025)."""


def quantile_edges(accuracies: Sequence[float], bins: int) -> tuple[float, ...]:
    """Edges between `bins` bins that hold the same number of inputs, as far as equal accuracies allow it: the lower
    edge of every bin but the lowest.
    """
    ordered = sorted(accuracies)
    edges = [ordered[len(ordered) * each // bins] for each in range(1, bins)]
    return tuple(sorted({edge for edge in edges if edge > ordered[0]}))


def bin_of(accuracy: float, edges: Sequence[float]) -> int:
    """0 for the hardest bin. An input at an edge is in the bin above it."""
    return bisect.bisect_right(edges, accuracy)


def matched_model(inference: float, larger: float, pretraining: float) -> float:
    """By how much a small model's inference may grow until it takes as many FLOPs as a model `larger` times its size:
    M + 3 (D_pre / D_inf) (M - 1), with 6 P D FLOPs of pre-training and 2 P D of inference.
    """
    return larger + 3 * pretraining / inference * (larger - 1)
