"""Budgets on the real engine: what its own counters say was used stays within every clause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ttsc
from ttsc.budgets import price_of_engine
from ttsc.compiler.cost.prices import Price
from ttsc.compiler.cost.units import UNITS, TokenUse
from ttsc.compiler.ir.nodes import Limit
from ttsc.runtime.events import Event, RequestEnded

PROGRAMS = Path(__file__).parents[2] / "programs"
HARDWARE = "cpu@0.10"
SETTINGS: dict[str, dict[str, Any]] = {
    "self_consistency": {"n": 6},
    "first_finish": {"n": 6},
    "tree_search": {"rounds": 2, "step_tokens": 24},
}


@pytest.fixture
async def price(engine_url: str) -> Price:
    async with ttsc.connect(engine_url) as handle:
        return price_of_engine(await handle.client(), HARDWARE)


async def run(name: str, url: str, budget: list[Limit], on_event: Any = None) -> ttsc.RunResult:
    program = ttsc.compile(PROGRAMS / f"{name}.tts")
    given = {"question": "How much is 17 + 25?", **SETTINGS[name]}
    async with program.open(engine=url, hardware=HARDWARE, budget=budget) as runs:
        return await runs.run(program.check_input(given), seed=5, on_event=on_event)


async def test_an_engine_on_a_cpu_has_a_price(price: Price) -> None:
    assert set(price.rates) == set(UNITS)


@pytest.mark.parametrize("resource", ["tokens", "flops", "cost"])
@pytest.mark.parametrize("name", SETTINGS)
async def test_no_clause_is_broken(name: str, resource: str, engine_url: str, price: Price) -> None:
    """The clause has room for hardly more than one request at its largest, so most runs are cut."""
    largest = TokenUse(800, 0, 256)
    most = float(largest.tokens if resource == "tokens" else price.of(resource, largest) * UNITS[resource])
    ended: list[RequestEnded] = []

    def observe(event: Event) -> None:
        if isinstance(event, RequestEnded):
            ended.append(event)

    result = await run(name, engine_url, [Limit(resource, most)], observe)  # type: ignore[arg-type]
    uses = [TokenUse(each.prompt_tokens, each.cached_tokens, each.completion_tokens) for each in ended]
    if resource == "tokens":
        took = float(sum(use.tokens for use in uses))
    else:
        took = sum(price.of(resource, use) for use in uses) * UNITS[resource]
        assert result.usage.priced[resource] == pytest.approx(took)
    assert 0 < took <= most
    assert result.error is None
    assert result.cut == result.reason.startswith(f"{resource} <= ")


async def test_a_deadline_aborts_and_says_so(engine_url: str) -> None:
    result = await run("self_consistency", engine_url, [Limit("latency", 0.2)])
    assert result.cut
    assert result.reason == "latency <= 0.2s"
