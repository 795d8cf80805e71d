"""No execution exceeds the static bounds.

The programs of the repository, and generated ones, run on scripted engines that say anything; what arrives there is
compared with what `worst_case` allows for the same arguments. The scripted tokenizer makes no more tokens of a text
that was generated than were generated, and its chat template adds two to a turn, so here the bounds are exact proofs.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from ir_programs import programs  # noqa: E402
from spending import anything, excess, spend, text_limits  # noqa: E402

from ttsc.backends.scripted import ScriptedTokenizer  # noqa: E402
from ttsc.compiler.bounds import Bounds, worst_case  # noqa: E402
from ttsc.compiler.ir.nodes import Program  # noqa: E402
from ttsc.compiler.ir.printer import print_program  # noqa: E402
from ttsc.compiler.passes.runner import run_passes  # noqa: E402
from ttsc.compiler.plan.lower import lower  # noqa: E402
from ttsc.compiler.plan.nodes import Level, Plan  # noqa: E402
from ttsc.compiler.values.types import Interval  # noqa: E402
from ttsc.driver import compile_file, compile_source  # noqa: E402
from ttsc.grammar.diagnostics import CompileError  # noqa: E402
from ttsc.grammar.source import Source  # noqa: E402

PROGRAMS = Path(__file__).parents[2] / "programs"
FILES = sorted(PROGRAMS.glob("*.tts"))
EXTERN_TOKENS = 100
"""Tokens of a text that an extern returns here: it has at most 12 words."""
RUNS = settings(
    max_examples=int(os.environ.get("TTSC_BOUND_RUNS", "4")), deadline=None, suppress_health_check=list(HealthCheck)
)


def scripted_bounds(program: Program) -> Bounds:
    """With what the scripted tokenizer is known to do."""
    count = lambda text: len(ScriptedTokenizer().encode(text))  # noqa: E731
    return worst_case(program, count_tokens=count, turn_tokens=2, chat_tokens=1, reencoding=1)


def arguments_of(program: Program, r: random.Random) -> dict[str, object]:
    """Small values for parameters, within their ranges."""
    found: dict[str, object] = {}
    for each in program.parameters:
        match each.tunable:
            case Interval(low, high) if isinstance(low, int) and isinstance(high, int):
                found[each.name] = r.randint(low, min(high, low + 4))
            case tuple(values):
                found[each.name] = r.choice(values)
            case Interval(low, high):
                found[each.name] = r.uniform(low, high)
            case None:
                found[each.name] = anything(each.value.type, r)
    return found


def check(program: Program, plan: Plan, bounds: Bounds, seed: int, jitter: float) -> None:
    r = random.Random(seed)
    arguments = arguments_of(program, r)
    stores = {slot.name: tuple(anything(slot.value.type, r)) for slot in program.stores}
    allowed = bounds.at({**arguments, **stores, **text_limits(program, EXTERN_TOKENS)})
    spent = spend(plan, arguments, seed, stores=stores, jitter=jitter)
    note(f"{arguments} {stores}\n{bounds.text()}\n{allowed}\n{spent}")
    assert excess(spent, allowed) == []


@pytest.mark.parametrize("level", [0, 2])
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
@RUNS
@given(seed=st.integers(0, 2**31 - 1), jitter=st.sampled_from([0.0, 0.4]))
def test_programs_stay_within_their_bounds(path: Path, level: Level, seed: int, jitter: float) -> None:
    compiled = compile_file(path, level=level)
    check(compiled.built, compiled.plan, scripted_bounds(compiled.built), seed, jitter)


@settings(RUNS, max_examples=20 * RUNS.max_examples)
@given(programs(), st.integers(0, 2**31 - 1), st.sampled_from([0, 2]), st.sampled_from([0.0, 0.4]))
def test_generated_programs_stay_within_their_bounds(program: Program, seed: int, level: Level, jitter: float) -> None:
    note(print_program(program))
    try:
        bounds = scripted_bounds(program)
    except CompileError as error:
        note(str(error))
        return
    ran = run_passes(program, level)
    check(program, lower(ran.program, level, ran.names), bounds, seed, jitter)


EARLY = """
prompt solve(q: str) { user "{{ q }}" }
program p(q: str, n: int = 6 in 1..9) -> str {
    let first = solve(q) |> sample(n, max_tokens=40) |> stop_first(1, truncated=include) |> one |> text
    return solve(first) |> sample(5, max_tokens=5) |> one |> text
}
"""


def test_what_is_stopped_early_overlaps_the_next_step() -> None:
    """Why an early decision orders nothing: more is in flight than the larger of the two steps."""
    compiled = compile_source(Source("early.tts", EARLY))
    most = max(spend(compiled.plan, {"q": f"a{seed}"}, seed, jitter=0.4 * (seed % 2)).live for seed in range(12))
    assert 6 < most <= scripted_bounds(compiled.built).at({"q": "a"}).live
