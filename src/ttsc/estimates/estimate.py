"""What a program is expected to cost: its plan, run by the real executor on simulated engines in virtual time.

The expectation is the mean over seeded inputs of the workload; what it can't exceed comes from the static bounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ttsc.estimates.figures import Estimate

if TYPE_CHECKING:
    from ttsc.compiler.cost.steps import Machine
    from ttsc.compiler.cost.workload import Workload
    from ttsc.externs import Externs
    from ttsc.program import CompiledProgram

INPUTS = 64
"""Inputs that are simulated unless told otherwise."""


def estimate(
    program: CompiledProgram,
    values: Sequence[Mapping[str, Any]],
    machines: Mapping[str, Machine],
    workload: Workload,
    *,
    inputs: int | None = None,
    seed: int = 0,
    concurrency: int = 1,
    replicas: int = 1,
    externs: Externs | None = None,
    savings: bool = False,
) -> Estimate:
    """Simulate `inputs` inputs and say what they take. Blocks; not inside a running event loop.

    values: checked inputs; input i of the simulation is values[i % len(values)] and asks question i of the workload.
    machines: by model role. Externs that are not given are stood in for. concurrency: inputs in flight at once; 1 tells
    what one costs alone, with the prefixes of those before it in the cache. savings: also simulate the plan without
    each pass. Equal arguments give equal estimates.
    """
    raise NotImplementedError
