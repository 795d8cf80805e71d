"""Resampling of weighted candidates: how many copies of each go on.

Weights become probabilities p_i in proportion to w_i ** (1 / temperature) ("sum"), or to exp(w_i / temperature)
("softmax"). Under "sum" no weight may be negative, and if all are 0 the candidates are equally probable.

Methods, for n slots:
- systematic: candidate i gets n * p_i copies, rounded down or up, by n equally spaced pointers with one random offset.
- categorical: n independent draws with replacement (the particle filter of 2502.01618), in the order drawn.
- ceiling: nothing random. From the most probable on, ties by the lower index, candidate i gets
  ceil(slots left * p_i / probability left) copies, so early ones round up and the last may get none (REBASE).
- conditional: a reference candidate has the first slot for certain, the others are drawn as in categorical (conditional
  resampling of particle Gibbs).
Copies come in the order of the candidates, but for those of categorical draws.

Finished candidates: "resample" treats them like the others. "drop" leaves them out first. "freeze" keeps each once, in
its own slot where there is one, and resamples the others into the slots that are left: finished ones are never lost,
even if they are more than n.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Any

from ttsc.compiler.values.evaluation import EvaluationFailed, items_fit

METHODS = ("systematic", "categorical", "ceiling", "conditional")
FINISHED = ("resample", "freeze", "drop")
NORMALISATIONS = ("sum", "softmax")

_TOLERANCE = 1e-9
"""A share this close above a whole number is that number: 3 * (1/3) is one copy, not two."""
_SCALE = 2**60
_OFFSET_BITS = 53


def resample(
    pool: Sequence[Any],
    weights: Sequence[float],
    count: int,
    *,
    method: str,
    finished: str,
    normalise: str,
    temperature: float,
    reference: object,
    rng: Random,
) -> list[object]:
    """`count` candidates of the pool; fewer only if there is none to copy. See the head of this file."""
    items_fit(count)
    checked_weights(pool, weights, temperature, "resample")
    if method == "conditional" and reference is None:
        raise EvaluationFailed("`resample` with method=conditional takes a reference")
    pairs = list(zip(pool, weights, strict=True))
    frozen: dict[int, object] = {}
    if finished == "freeze":
        frozen = {i: candidate for i, candidate in enumerate(pool) if candidate.finished}
    if finished != "resample":
        pairs = [(candidate, weight) for candidate, weight in pairs if not candidate.finished]
    kept = [reference] if method == "conditional" and count else []
    slots = max(0, count - len(kept) - len(frozen))
    relative = probabilities([weight for _, weight in pairs], normalise, temperature, "resample")
    drawn = [pairs[i][0] for i in _ancestors(relative, slots, method, rng)]
    return _placed(kept, frozen, drawn)


def checked_weights(pool: Sequence[object], weights: Sequence[float], temperature: float, op: str) -> None:
    """Fails if the weights are not those of a pool; `op` is who asks."""
    if len(weights) != len(pool):
        raise EvaluationFailed(f"`{op}` has {len(weights)} weights for {len(pool)} candidates")
    if not all(map(math.isfinite, weights)):
        raise EvaluationFailed(f"`{op}`: a weight is not a finite number")
    if not temperature > 0:
        raise EvaluationFailed(f"`{op}`: the temperature must be greater than 0")


def _placed(kept: Sequence[object], frozen: dict[int, object], drawn: Sequence[object]) -> list[object]:
    """What is kept first, frozen candidates in their own slots, drawn ones in the others."""
    total = len(kept) + len(frozen) + len(drawn)
    own = {i: candidate for i, candidate in frozen.items() if len(kept) <= i < total}
    others = iter([*kept, *drawn, *(candidate for i, candidate in frozen.items() if i not in own)])
    return [own[slot] if slot in own else next(others) for slot in range(total)]


def probabilities(weights: Sequence[float], normalise: str, temperature: float, op: str) -> list[float]:
    """Relative to the greatest, which is 1. `op` is who asks."""
    if not weights:
        return []
    top = max(weights)
    if normalise == "softmax":
        return [math.exp((weight - top) / temperature) for weight in weights]
    if min(weights) < 0:
        raise EvaluationFailed(f"`{op}`: a weight is negative; normalise=softmax takes any numbers")
    return [(weight / top) ** (1 / temperature) for weight in weights] if top else [1.0] * len(weights)


def _ancestors(probabilities: Sequence[float], slots: int, method: str, rng: Random) -> list[int]:
    if not probabilities or not slots:
        return []
    match method:
        case "systematic":
            return _systematic(probabilities, slots, rng)
        case "ceiling":
            return ceiling_copies(probabilities, slots)
        case _:
            return _categorical(probabilities, slots, rng)


def _systematic(probabilities: Sequence[float], slots: int, rng: Random) -> list[int]:
    """In whole numbers, so that equal weights give equal counts to the last one."""
    ends = list(accumulate(round(p * _SCALE) for p in probabilities))
    offset = rng.getrandbits(_OFFSET_BITS)
    unit = slots << _OFFSET_BITS
    found: list[int] = []
    at = 0
    for slot in range(slots):
        pointer = ((slot << _OFFSET_BITS) + offset) * ends[-1]
        while pointer >= ends[at] * unit:
            at += 1
        found.append(at)
    return found


def _categorical(probabilities: Sequence[float], slots: int, rng: Random) -> list[int]:
    ends = list(accumulate(probabilities))
    last = max(i for i, p in enumerate(probabilities) if p > 0)
    return [min(last, bisect_right(ends, rng.random() * ends[-1])) for _ in range(slots)]


def ceiling_copies(probabilities: Sequence[float], slots: int) -> list[int]:
    """Of each copy the place of what it is a copy of, in order. See "ceiling" at the head of this file."""
    order = sorted(range(len(probabilities)), key=lambda i: (-probabilities[i], i))
    left = list(accumulate(probabilities[i] for i in reversed(order)))
    copies = [0] * len(probabilities)
    for i in order:
        share = slots * probabilities[i] / left.pop() if probabilities[i] else 0
        copies[i] = min(slots, math.ceil(share - _TOLERANCE))
        slots -= copies[i]
    return [i for i, n in enumerate(copies) for _ in range(n)]
