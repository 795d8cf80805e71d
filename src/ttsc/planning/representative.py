"""A workload whose first questions stand for all of them: simulations with few inputs ask the first ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ttsc.compiler.cost.workload import Workload


def representative(workload: Workload, inputs: Sequence[Mapping[str, Any]]) -> Workload:
    """The same questions, hard and easy ones mixed evenly. Where several inputs are given, as they are: an input may
    belong to the question at its place.
    """
    if len(inputs) > 1:
        return workload
    ranked = sorted(range(len(workload.questions)), key=lambda place: workload.questions[place].accuracy)
    bits = max(1, (len(ranked) - 1).bit_length())
    mirrored = (int(f"{number:0{bits}b}"[::-1], 2) for number in range(1 << bits))
    order = [ranked[number] for number in mirrored if number < len(ranked)]
    return replace(workload, questions=tuple(workload.questions[place] for place in order))
