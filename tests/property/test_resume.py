"""Whatever a program does and wherever it is cut off: resumed from its journal it ends as an unbroken run."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from ir_programs import programs  # noqa: E402
from spending import anything, reply  # noqa: E402
from test_bounds import arguments_of  # noqa: E402

from ttsc.backends.scripted import ScriptedEngine, ScriptedTokenizer  # noqa: E402
from ttsc.compiler.ir.nodes import Program  # noqa: E402
from ttsc.compiler.ir.printer import print_program  # noqa: E402
from ttsc.compiler.passes.runner import run_passes  # noqa: E402
from ttsc.compiler.plan.lower import lower  # noqa: E402
from ttsc.compiler.plan.nodes import Level, Plan  # noqa: E402
from ttsc.runtime.events import Event, RunResult  # noqa: E402
from ttsc.runtime.executor import run_plan  # noqa: E402
from ttsc.runtime.journal import Identity, Journal  # noqa: E402
from ttsc.runtime.session import Session  # noqa: E402

BEGUN = Identity("p", "", "", 2, "")


async def run(
    plan: Plan,
    tokenizer: ScriptedTokenizer,
    seed: int,
    jitter: float,
    journal: Path | None,
    on_event: Callable[[Event], None],
    calls: list[str],
) -> RunResult:
    """One run on engines whose answers depend on prompts and seeds, and externs that depend on their arguments."""
    r = random.Random(seed)
    arguments = arguments_of(plan.program, r)
    stores = {slot.name: tuple(anything(slot.value.type, r)) for slot in plan.program.stores}
    engines = {
        role.name: ScriptedEngine(reply, tokenizer=tokenizer, jitter=jitter, jitter_seed=seed)
        for role in plan.program.models
    }

    def extern(each: Any) -> Callable[..., object]:
        def called(*given_: object) -> object:
            if each.kind == "environment":
                calls.append(f"{given_}")
            return anything(each.returns, random.Random(f"{seed}{given_}"))

        return called

    externs = {each.name: extern(each) for each in plan.program.externs}
    book = None if journal is None else Journal(journal, BEGUN)
    session = Session(engines, records=book)
    try:
        if book is not None:
            book.start(0, {}, seed)
        return await run_plan(plan, arguments, session, externs, seed=seed, emit=on_event, stores=stores, budget=())
    finally:
        await session.close()
        if book is not None:
            book.close()


@given(
    programs(),
    st.integers(0, 2**31 - 1),
    st.sampled_from([0, 2]),
    st.sampled_from([0.0, 0.4]),
    st.integers(0, 60),
    st.booleans(),
)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_generated_program_ends_as_an_unbroken_run(
    program: Program, seed: int, level: Level, jitter: float, cut_at: int, late: bool
) -> None:
    note(print_program(program))
    ran = run_passes(program, level)
    plan, tokenizer = lower(ran.program, level, ran.names), ScriptedTokenizer()

    async def scenario(folder: Path) -> None:
        unbroken = await run(plan, tokenizer, seed, 0.0, None, lambda _: None, [])
        path, copy, left = folder / "journal", folder / "copy", cut_at
        made: list[str] = []

        def on_event(_: Event) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                for end in ("", "-wal"):
                    file = path.with_name(path.name + end)
                    if file.exists():
                        shutil.copy(file, copy.with_name(copy.name + end))

        await run(plan, tokenizer, seed, jitter, path, on_event, made)
        source = copy if copy.exists() and not late else path
        again: list[str] = []
        resumed = await run(plan, tokenizer, seed, jitter, source, lambda _: None, again)
        if resumed.error is not None and resumed.error.code == "R0514":
            assert made, "a call was under way"
            return
        assert json.dumps(resumed.value, default=str) == json.dumps(unbroken.value, default=str)
        assert resumed.error == unbroken.error
        if source is path:
            assert again == [], "a call that had ended is not made again"

    with tempfile.TemporaryDirectory() as name:
        asyncio.run(scenario(Path(name)))
