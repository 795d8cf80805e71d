"""Every strategy of the standard library on the test bed's models, through SGLang: the same value as written and
optimised, no more than its static bounds, and the kinds of requests that its plan names, to every role that it has.

What they are worth is measured elsewhere (`benchmarks/strategies`); two problems tell only that they work.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import ttsc
from ttsc.backends.sglang.launcher import launch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from benchmarks.strategies.counting import Counting, StaticBounds  # noqa: E402
from benchmarks.strategies.entries import CLAIMS, MODELS, Entry, read  # noqa: E402
from benchmarks.strategies.run import given  # noqa: E402
from benchmarks.testbed.inputs import rows  # noqa: E402
from ttsc.externs import load_externs  # noqa: E402

pytestmark = pytest.mark.timeout(300)
MODELS_HERE = ("policy", "prm", "judge")
"""Those that are started here; whatever else generates is the policy, whatever else rates is the reward model."""
PROBLEMS = rows(2, 17)
SMALL = {"n": 6, "width": 4, "particles": 4, "expansions": 6, "trees": 2, "steps": 6, "iterations": 6}
"""What is made smaller than in the measurement, where an entry has it."""


def _first_of_each() -> list[Entry]:
    """One entry of each program of the library."""
    found: dict[tuple[str, str | None], Entry] = {}
    for entry in read():
        if entry.family != CLAIMS and not entry.skip:
            small = {name: min(value, SMALL[name]) for name, value in entry.settings.items() if name in SMALL}
            found.setdefault((entry.name, entry.program), replace(entry, settings=entry.settings | small))
    return list(found.values())


ENTRIES = _first_of_each()


@pytest.fixture(scope="module")
def urls(launched_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Servers by model, started together."""
    folder = tmp_path_factory.mktemp("library")
    with ExitStack() as stack:

        def started(model: str) -> str:
            process = launch(str(MODELS / model), log_path=folder / f"{model}.log", timeout_s=240)
            stack.callback(process.stop)
            return process.url

        with ThreadPoolExecutor(len(MODELS_HERE)) as together:
            found = dict(zip(MODELS_HERE, together.map(started, MODELS_HERE), strict=True))
        yield found


@dataclass(frozen=True)
class Ran:
    results: tuple[ttsc.RunResult, ...]
    exceeded: tuple[str, ...]
    asked: frozenset[tuple[str, str]]
    """Role and kind of requests."""


async def ran(entry: Entry, urls: dict[str, str], level: ttsc.Level, kept: Path) -> Ran:
    program = replace(entry, level=level).compiled()
    bounds, counting, asked = StaticBounds(program), Counting(), set()

    def seen(event: ttsc.Event) -> None:
        counting(event)
        if isinstance(event, ttsc.RequestStarted):
            asked.add((event.role, event.kind))

    inputs = [given(entry, each) for each in PROBLEMS]
    engines = {role: urls[_model(entry.roles[role])] for role in program.models}
    externs = load_externs(ROOT / entry.externs) if entry.externs else None
    results = [
        result
        async for result in program.amap(
            inputs,
            engine=engines,
            externs=externs,
            seed=3,
            artifacts=kept,
            evaluation=entry.oracle is not None,
            on_event=seen,
        )
    ]
    over = tuple(bounds.exceeded(values, counting.runs[number]) for number, values in enumerate(inputs))
    return Ran(tuple(results), over, frozenset(asked))


def _model(named: str) -> str:
    return named if named in MODELS_HERE else "prm" if named.startswith("prm") else "policy"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.label)
def test_a_strategy_on_the_test_bed(entry: Entry, urls: dict[str, str], tmp_path: Path) -> None:
    written = asyncio.run(ran(entry, urls, 0, tmp_path / "written"))
    optimised = asyncio.run(ran(entry, urls, 2, tmp_path / "optimised"))
    for run in (written, optimised):
        assert [result.error for result in run.results] == [None, None]
        assert run.exceeded == ("", "")
    assert [each.value for each in written.results] == [each.value for each in optimised.results]
    plan = entry.compiled().plan
    assert {kind for _, kind in optimised.asked} <= {request.kind for request in plan.requests}
    assert optimised.asked == written.asked, "the passes neither add nor spare a kind of request"
