"""The settings that a planner may choose among: axes of values, and names on them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

from ttsc.compiler.ir.nodes import Interval, Parameter
from ttsc.compiler.values.types import Scalar

COARSE = 9
"""Values of a wide axis that the first look takes."""

Setting = Mapping[str, Any]
Place = tuple[int, ...]
"""A setting, as the index of a value on each axis."""


@dataclass(frozen=True, slots=True)
class Axis:
    """`values`: all of them, in their order if they have one (`ordered`), as numbers do and names do not."""

    name: str
    values: Sequence[Any]
    ordered: bool = True

    def coarse(self) -> tuple[int, ...]:
        """Indices of the first look: all of an axis without order or with few values, else spread evenly over the
        logarithm of the values (plus 1, from the least, where these begin at 0 or below).
        """
        return _coarse(self)


@lru_cache(maxsize=256)
def _coarse(axis: Axis) -> tuple[int, ...]:
    size = len(axis.values)
    if not axis.ordered or size <= COARSE:
        return tuple(range(size))
    shift = 1.0 - float(axis.values[0]) if axis.values[0] <= 0 else 0.0
    logs = [math.log(float(value) + shift) for value in axis.values]
    marks = [logs[0] + (logs[-1] - logs[0]) * each / (COARSE - 1) for each in range(COARSE)]
    return tuple(sorted({min(range(size), key=lambda i: abs(logs[i] - mark)) for mark in marks}))


@dataclass(frozen=True, slots=True)
class Space:
    axes: tuple[Axis, ...]

    @property
    def size(self) -> int:
        return math.prod(len(axis.values) for axis in self.axes)

    def setting(self, place: Place) -> Setting:
        return {axis.name: axis.values[at] for axis, at in zip(self.axes, place, strict=True)}

    def place(self, setting: Setting) -> Place | None:
        """Where a setting is; None if one of its values is on no axis."""
        try:
            return tuple(list(axis.values).index(setting[axis.name]) for axis in self.axes)
        except ValueError:
            return None

    def all(self) -> Iterator[Place]:
        return product(*(range(len(axis.values)) for axis in self.axes))

    def coarse(self) -> Iterator[Place]:
        return product(*(axis.coarse() for axis in self.axes))


def axes_of(parameters: Sequence[Parameter], fixed: Mapping[str, Any]) -> tuple[Axis, ...]:
    """An axis for each tunable parameter whose value is not fixed. A range of floats becomes a grid of 21."""
    found = []
    for each in parameters:
        if each.tunable is None or each.name in fixed or each.known:
            continue
        if isinstance(each.tunable, Interval):
            whole = each.value.type == Scalar("int")
            found.append(Axis(each.name, _values(each.tunable, whole)))
        else:
            numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in each.tunable)
            values = sorted(each.tunable, key=float) if numbers else each.tunable  # type: ignore[arg-type]
            found.append(Axis(each.name, tuple(values), ordered=numbers))
    return tuple(found)


def _values(interval: Interval, whole: bool) -> Sequence[Any]:
    low, high = interval.low, interval.high
    if whole:
        return range(int(low), int(high) + 1)
    return tuple(round(low + (high - low) * each / 20, 10) for each in range(21))
