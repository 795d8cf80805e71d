"""Maps whose bodies only compute: worked out at once, without a task for an element."""

from __future__ import annotations

import asyncio

import pytest
from executor_programs import Builder, plan, run

from ttsc.backends.protocol import RequestRefused, Sampling
from ttsc.backends.scripted import ScriptedEngine
from ttsc.compiler.ir.nodes import Value
from ttsc.compiler.values.types import STR


def reply(prompt: str, seed: int, sampling: Sampling) -> str:
    return f"WORD {seed % 7}"


def lower(b: Builder, x: Value) -> Value:
    return b.pure("lower", x, kind=STR)


@pytest.mark.parametrize("level", [0, 2])
@pytest.mark.parametrize("depth", [1, 40, 400])
def test_a_chain_of_any_length(depth: int, level: int) -> None:
    """Each map is worked out within the one before it, as deep as the stack may be; then in turns."""
    b = Builder()
    texts = b.texts(b.generate(b.user("q"), 3))
    for _ in range(depth):
        texts = b.map(texts, lower)
    engine = ScriptedEngine(reply)
    result = run(b.program(texts), engine, level=level)  # type: ignore[arg-type]
    assert result.error is None and [each.split()[0] for each in result.value] == ["word"] * 3


def test_no_task_for_an_element(monkeypatch: pytest.MonkeyPatch) -> None:
    from ttsc.runtime.run import Run

    names: list[str] = []
    spawn = Run.spawn
    monkeypatch.setattr(Run, "spawn", lambda self, work, name: names.append(name) or spawn(self, work, name))
    b = Builder()
    texts = b.map(b.texts(b.generate(b.user("q"), 5)), lower)
    result = run(b.program(b.vote(texts)), ScriptedEngine(reply))
    assert result.error is None
    assert not [name for name in names if name.startswith(("map", "%map")) and "[" in name]


def test_an_element_that_is_missing_stays_missing() -> None:
    b = Builder()
    texts = b.map(b.texts(b.generate(b.user("q"), 3)), lower)
    engine = ScriptedEngine(reply, fault=lambda number, _: RequestRefused("no") if number == 1 else None)
    result = run(b.program(texts), engine)
    assert result.error is None and len(result.value) == 2


async def test_a_run_that_is_cancelled_leaves_nothing() -> None:
    from ttsc.runtime.executor import run_plan
    from ttsc.runtime.session import Session

    b = Builder()
    texts = b.map(b.texts(b.generate(b.user("q"), 4)), lower)
    engine = ScriptedEngine(lambda *_: "word " * 500)
    session = Session({"default": engine})
    before = asyncio.all_tasks()
    task = asyncio.ensure_future(run_plan(plan(b.program(texts)), {}, session))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await session.close()
    await engine.close()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before and not engine.running
