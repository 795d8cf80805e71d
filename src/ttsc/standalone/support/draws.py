"""Random operations on values: one seed, one result."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from ttsc.compiler.values.draws import _random, _resampled, _selected
from ttsc.compiler.values.evaluation import items
from ttsc.standalone.support.operations import operation


def resample(seed: int, settings: str, *args: object) -> Any:
    """A pool drawn anew by weights: pool, weights, count, temperature, reference."""
    run: Callable[..., Any] = _resampled
    return operation("resample", lambda *given: run(settings.split(), *given, rng=Random(seed)))(*args)


def select_nodes(seed: int, settings: str, *args: object) -> Any:
    """Nodes of a tree: tree, count, exploration, and from which share and number of equal values on it is pruned."""
    run: Callable[..., Any] = _selected
    return operation("select", lambda *given: run(settings.split(), *given, rng=Random(seed)))(*args)


def shuffle(seed: int, values: object) -> Any:
    """A list in random order."""

    def run(given: object) -> list[object]:
        shuffled = list(items(given))
        Random(seed).shuffle(shuffled)
        return shuffled

    return operation("shuffle", run)(values)


def random_number(seed: int, below: object) -> Any:
    """A number from 0 to below another."""
    return operation("random", lambda given: _random(given, Random(seed)))(below)
