"""Runs of a program for their events: on simulated engines in virtual time, or on real ones."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ttsc.estimates.collector import Collector, InputRecord

if TYPE_CHECKING:
    from ttsc.engines import Engines
    from ttsc.externs import Externs
    from ttsc.program import CompiledProgram
    from ttsc.runtime.events import RunResult
    from ttsc.stores import Store

LEAST_INPUTS = 16
ENOUGH_REQUESTS = 1024
"""Of all inputs, with host functions' calls; then no more are simulated, if there were at least `LEAST_INPUTS`."""

MakeEngines = Callable[[], Mapping[str, Any]]
"""Called within the event loop that will use them: an engine by model role."""


@dataclass(frozen=True, slots=True)
class Ran:
    """`wall_s`: from the first input's start to the last one's end. `engines`: those it ran on, by role."""

    inputs: tuple[InputRecord, ...]
    wall_s: float
    engines: Mapping[str, Any]


def simulate(
    program: CompiledProgram,
    values: Sequence[Mapping[str, Any]],
    make: MakeEngines,
    *,
    enough: int | None = None,
    seed: int,
    concurrency: int,
    externs: Externs | None = None,
    stores: Mapping[str, Store] | None = None,
) -> Ran:
    """Run these inputs in virtual time. `enough`: requests and calls after which no further input begins. Offline
    values are computed for this call and forgotten.
    """
    from ttsc.runtime.virtual_time import run_in_virtual_time

    collector = Collector()

    def given() -> Iterator[Mapping[str, Any]]:
        for number, each in enumerate(values):
            if enough is not None and number >= LEAST_INPUTS and collector.asked >= enough:
                return
            yield each

    async def work() -> Ran:
        engines = make()
        with tempfile.TemporaryDirectory(prefix="ttsc-estimate-") as folder:
            return await run_inputs(
                program,
                given(),
                dict(engines),
                collector=collector,
                seed=seed,
                concurrency=concurrency,
                externs=externs,
                stores=stores,
                artifacts=folder,
            )

    return run_in_virtual_time(work())


async def run_inputs(
    program: CompiledProgram,
    values: Iterable[Mapping[str, Any]],
    engine: Engines,
    *,
    collector: Collector,
    seed: int,
    concurrency: int,
    externs: Externs | None = None,
    stores: Mapping[str, Store] | None = None,
    artifacts: str | None = None,
    models: Mapping[str, str] | None = None,
) -> Ran:
    """Run inputs on the running event loop, each with its number; the collector sees their events."""
    from ttsc.batches import in_flight

    opened = program.open(
        engine=engine, models=models, externs=externs, stores=stores, artifacts=artifacts, evaluation=True
    )
    async with opened as runs:

        async def one(number: int, given: Mapping[str, Any]) -> RunResult:
            return await runs.run(given, seed=seed, on_event=collector.feed, number=number)

        async with aclosing(in_flight(values, one, 1 if runs.one_by_one else concurrency, ordered=False)) as ended:
            async for _ in ended:
                pass
        used = runs.engines
    records = tuple(collector.inputs)
    if not records:
        return Ran((), 0.0, used)
    wall = max(each.end_s for each in records) - min(each.start_s for each in records)
    return Ran(records, wall, used)
