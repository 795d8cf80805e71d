"""A real engine is measured: the profile is whole, can be read back, and a run is simulated with it."""

from __future__ import annotations

from pathlib import Path

import ttsc
from ttsc.backends.sglang.client import SGLangEngine
from ttsc.backends.simulator.engine import SimulatedEngine
from ttsc.cli import run
from ttsc.compiler.cost.steps import Chunk
from ttsc.machines import machine_for
from ttsc.recordings import outcomes_of_events
from ttsc.runtime.virtual_time import run_in_virtual_time

PROGRAM = Path(__file__).parents[2] / "programs" / "self_consistency.tts"
GIVEN = {"question": "A shop has 14 cups and sells 5 of them. How many cups are left?", "n": 4}


async def test_a_profile_of_the_real_engine(engine: SGLangEngine, tmp_path: Path) -> None:
    path = tmp_path / "profile.toml"
    assert await ttsc.engines.in_thread(lambda: run(["engine", "profile", engine.url, "--quick", "-o", str(path)])) == 0
    machine = machine_for(profile=path)
    info = engine.info
    assert machine.model == info.model
    assert (machine.limits.kv_tokens, machine.limits.running) == (info.kv_tokens, info.max_running)
    # Work that is many times as much is never quicker.
    assert 0 < machine.steps.prefill([Chunk(16, 0)]) < machine.steps.prefill([Chunk(512, 0)])
    assert 0 < machine.steps.decode(1).seconds(64) <= machine.steps.decode(32).seconds(32 * 64)
    assert machine.overheads.round_trip_s > 0

    events: list[ttsc.Event] = []
    program = ttsc.compile(PROGRAM)
    await engine.flush_cache()
    real = await program.arun(GIVEN, engine=engine, seed=5, on_event=events.append)
    simulated = SimulatedEngine(
        machine,
        outcomes_of_events(events),
        engine.tokenizer,
        abilities=info.abilities,
        device=info.device,
        parameters=info.parameters,
    )
    found = await ttsc.engines.in_thread(lambda: run_in_virtual_time(program.arun(GIVEN, engine=simulated, seed=5)))
    assert found.value == real.value
    assert found.duration_s > 0
    assert found.usage.requests == real.usage.requests
    assert (
        found.usage.prefill_tokens + found.usage.cached_tokens == real.usage.prefill_tokens + real.usage.cached_tokens
    )
