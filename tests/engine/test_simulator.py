"""The simulated server against the real one: one plan, the same outcomes, the same tokens computed and cached.

An input of its own warms what all inputs share, and the next one is compared.
Its times are not: what else runs on this machine would decide.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

import pytest

import ttsc
from ttsc.backends.protocol import EngineInfo
from ttsc.backends.sglang.client import SGLangEngine
from ttsc.backends.simulator.engine import SimulatedEngine
from ttsc.compiler.cost.steps import Chunk, DecodeStep, Limits, Machine, Overheads
from ttsc.recordings import outcomes_of_trace
from ttsc.runtime.events import RunResult

PROGRAMS = Path(__file__).parent.parent.parent / "programs"
CASES: dict[str, dict[str, object]] = {
    "self_consistency": {"n": 6},
    "best_of_n": {"n": 4},
    "judged_steps": {"width": 2, "fanout": 2, "depth": 3},
    "multi_chain_reasoning": {"max_tokens": 24},
    "budget_forcing": {"extensions": 1},
}
"""Settings small enough for a CPU."""
ORDERED = ("self_consistency", "budget_forcing")
"""Programs whose prompts are there in one order. In the others some begin alike and come at nearly the same time:
which of them the server computes first decides whether another finds a token of it.
"""


class Steps:
    """About those of the test model on two cores. Counts hardly depend on it."""

    def decode(self, rows: int) -> DecodeStep:
        return DecodeStep(0.03 + 0.005 * rows, 1e-6)

    def prefill(self, chunks: Sequence[Chunk]) -> float:
        return 0.02 + 0.002 * sum(chunk.new for chunk in chunks)


def machine(info: EngineInfo) -> Machine:
    limits = Limits(info.kv_tokens or 32768, info.max_running or 64, info.context_tokens, 1024, 16384, info.page_tokens)
    return Machine(info.device, info.model, Steps(), limits, Overheads(request_s=0.002, round_trip_s=0.005))


def program(name: str) -> ttsc.CompiledProgram:
    """As compiled, but nothing is given up for what arrived before it: that is a matter of time."""
    return ttsc.compile(PROGRAMS / f"{name}.tts", disabled=["decide_early"])


async def answered(name: str, engine: object, questions: list[str], trace: Path | None) -> list[RunResult]:
    given = [{"question": question, **CASES[name]} for question in questions]
    results = program(name).amap(given, engine=engine, concurrency=1, trace=trace)  # type: ignore[arg-type]
    return [result async for result in results]


@pytest.mark.parametrize("name", CASES)
async def test_as_many_tokens_are_computed_and_cached(name: str, engine: SGLangEngine, tmp_path: Path) -> None:
    await engine.flush_cache()  # another test's question may begin as this one does
    nonces = [secrets.token_hex(4) for _ in range(2)]
    questions = [f"{nonce} sheep and {nonce[::-1]} goats: how many legs?" for nonce in nonces]
    trace = tmp_path / "trace.jsonl"
    real = await answered(name, engine, questions, trace)
    simulated_engine = SimulatedEngine(
        machine(engine.info),
        outcomes_of_trace(trace),
        engine.tokenizer,
        device=engine.info.device,
        parameters=engine.info.parameters,
    )
    simulated = ttsc.in_virtual_time(answered(name, simulated_engine, questions, None))
    assert [result.error for result in (*real, *simulated)] == [None] * 4
    measured, predicted = real[1].usage, simulated[1].usage
    assert [result.value for result in simulated] == [result.value for result in real]
    assert predicted.requests == measured.requests
    assert predicted.decoded_tokens == measured.decoded_tokens
    prompts = measured.cached_tokens + measured.prefill_tokens
    assert predicted.cached_tokens + predicted.prefill_tokens == prompts
    if name in ORDERED:
        assert predicted.cached_tokens == measured.cached_tokens
    else:
        assert predicted.cached_tokens == pytest.approx(measured.cached_tokens, rel=0.03)
