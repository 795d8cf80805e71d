"""Static bounds hold for random programs and random workloads on the simulator.

Each run has a workload, a machine and arguments of its own, and four runs share a program; so
`TTSC_SIMULATED_BOUND_RUNS=10000`, the full check, takes 2,500 random programs. The simulated tokenizer makes no more
tokens of a text that was generated than were generated, and its chat template adds two to a turn, so the bounds are
exact proofs here.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, reject, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from ir_programs import programs  # noqa: E402
from simulated_spending import random_machine, random_workload, spend_simulated  # noqa: E402
from spending import (  # noqa: E402
    anything,  # noqa: E402
    excess,
    text_limits,
)
from test_bounds import EXTERN_TOKENS, arguments_of  # noqa: E402

from ttsc.backends.simulator.tokenizer import SimulatedTokenizer  # noqa: E402
from ttsc.compiler.bounds import Bounds, worst_case  # noqa: E402
from ttsc.compiler.ir.nodes import Program  # noqa: E402
from ttsc.compiler.ir.printer import print_program  # noqa: E402
from ttsc.compiler.passes.runner import run_passes  # noqa: E402
from ttsc.compiler.plan.lower import lower  # noqa: E402
from ttsc.compiler.plan.nodes import Level, Plan  # noqa: E402
from ttsc.driver import compile_file  # noqa: E402
from ttsc.grammar.diagnostics import CompileError  # noqa: E402

FILES = sorted((Path(__file__).parents[2] / "programs").glob("*.tts"))
RUNS = int(os.environ.get("TTSC_SIMULATED_BOUND_RUNS", "200"))
EACH = 4
"""Runs of a program: half of them at each of two levels."""
OPTIONS = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


def simulated_bounds(program: Program) -> Bounds:
    """With what the simulated tokenizer is known to do."""
    count = lambda text: len(SimulatedTokenizer().encode(text))  # noqa: E731
    return worst_case(program, count_tokens=count, turn_tokens=2, chat_tokens=1, reencoding=1)


def check(program: Program, plan: Plan, bounds: Bounds, seed: int) -> int:
    """How many requests the run made."""
    r = random.Random(seed)
    arguments = arguments_of(program, r)
    stores = {slot.name: tuple(anything(slot.value.type, r)) for slot in program.stores}
    workload, machine = random_workload(r), random_machine(r)
    allowed = bounds.at({**arguments, **stores, **text_limits(program, EXTERN_TOKENS)})
    spent = spend_simulated(plan, arguments, seed, workload, machine, stores=stores)
    problems = excess(spent, allowed)
    if problems:
        note(f"{arguments} {stores}\n{workload}\n{machine}\n{bounds.text()}\n{allowed}\n{spent}")
    assert problems == []
    return spent.requests.total()


@settings(OPTIONS, max_examples=max(1, RUNS // EACH))
@given(programs(), st.integers(0, 2**31 - 1))
def test_random_programs_and_workloads_stay_within_bounds(program: Program, seed: int) -> None:
    try:
        bounds = simulated_bounds(program)
    except CompileError:
        reject()
    note(print_program(program))
    levels: tuple[Level, Level] = (0, 2)
    for place, level in enumerate(levels):
        ran = run_passes(program, level)
        plan = lower(ran.program, level, ran.names)
        for number in range(EACH // 2):
            check(program, plan, bounds, seed + 2 * number + place)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
@settings(OPTIONS, max_examples=max(1, RUNS // 100))
@given(seed=st.integers(0, 2**31 - 1), level=st.sampled_from([0, 2]))
def test_programs_stay_within_bounds_with_any_workload(path: Path, seed: int, level: Level) -> None:
    compiled = compile_file(path, level=level)
    assert check(compiled.built, compiled.plan, simulated_bounds(compiled.built), seed) > 0
