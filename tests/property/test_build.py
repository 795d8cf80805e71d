"""Standalone files give what the executor gives: over generated programs, at both ends of the levels, in any timing."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from ir_programs import programs  # noqa: E402
from standalone_files import run_file  # noqa: E402
from test_levels import reply, value_of  # noqa: E402

from ttsc.backends.scripted import ScriptedEngine, conforming  # noqa: E402
from ttsc.compiler.ir.nodes import Program  # noqa: E402
from ttsc.compiler.ir.printer import print_program  # noqa: E402
from ttsc.compiler.passes.runner import run_passes  # noqa: E402
from ttsc.compiler.plan.lower import lower  # noqa: E402
from ttsc.compiler.plan.nodes import Level, Plan  # noqa: E402
from ttsc.runtime.executor import run_plan  # noqa: E402
from ttsc.runtime.session import Session  # noqa: E402

LESSON = "be brief"
VALUES = {"question": "why?", "n": 3, "words": ("x",)}


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs(), st.sampled_from([0, 2]), st.integers(0, 1000), st.booleans())
def test_a_file_gives_what_the_executor_gives(program: Program, level: Level, seed: int, unlimited: bool) -> None:
    from dataclasses import replace

    note(print_program(program))
    # What a cancelled request has cost is known to the executor alone: only where nothing is cut they must agree.
    program = replace(program, budget=()) if unlimited else program
    ran = run_passes(program, level, set())
    plan = lower(ran.program, level, ())
    expected, cut = asyncio.run(executed(plan, seed))
    if not cut:
        found = from_file(plan, seed)
        # Where several things fail, which of them is met first may differ; that the run fails may not.
        assert found == expected or (is_code(found) and is_code(expected))


def is_code(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"R0[45]\d\d", value))


def engine(seed: int) -> ScriptedEngine:
    return ScriptedEngine(conforming(reply, broken=0.2), jitter=0.3, jitter_seed=seed)


def externs(plan: Plan) -> dict[str, Any]:
    return {each.name: lambda *_, kind=each.returns: value_of(kind) for each in plan.program.externs}


async def executed(plan: Plan, seed: int) -> tuple[Any, bool]:
    """The value, or the code of the failure; and whether a budget cut the run."""
    asked = engine(seed)
    session = Session({role.name: asked for role in plan.program.models} or {"policy": asked})
    stores = {slot.name: (LESSON,) for slot in plan.program.stores}
    try:
        result = await run_plan(plan, VALUES, session, externs(plan), seed=seed, stores=stores)
    finally:
        await session.close()
    return (result.value if result.error is None else result.error.code), result.cut


def from_file(plan: Plan, seed: int) -> Any:
    """The same of the plan's standalone file."""
    with TemporaryDirectory() as folder:
        more: dict[str, Any] = {}
        if plan.program.stores:
            more["stores"] = {slot.name: f"{folder}/{slot.name}.jsonl" for slot in plan.program.stores}
            for path in more["stores"].values():
                Path(path).write_text(json.dumps(LESSON) + "\n", encoding="utf-8")
        if plan.program.externs:
            more["externs"] = externs(plan)
        return run_file(plan, VALUES, lambda: engine(seed), seed=seed, **more)
