"""What a measurement asks is enough to find an engine's planted times again, by an engine that keeps no time but its
own: no test waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import cast

import pytest
from fake_sglang import Behaviour, StubServer

from ttsc.backends.protocol import Completion, EngineInfo, GenerateRequest
from ttsc.backends.scripted.tokenizer import ScriptedTokenizer
from ttsc.cli import run
from ttsc.compiler.cost.profile import Curve, FittedSteps
from ttsc.compiler.cost.steps import Chunk, Overheads
from ttsc.profiling.bursts import Burst, Served, WatchedEngine
from ttsc.profiling.fitting import fit_overheads, fit_steps
from ttsc.profiling.measuring import Measuring
from ttsc.profiling.observations import Measured

STEPS = FittedSteps(
    decode_rows=Curve(((1, 0.024), (8, 0.036), (64, 0.180))),
    decode_context=Curve(((1, 1.5e-6), (64, 1.5e-6))),
    prefill_tokens=Curve(((1, 0.030), (64, 0.090), (1024, 1.600))),
    prefill_sequence=0.0004,
    prefill_pair=4e-7,
)
OVERHEADS = Overheads(request_s=0.0003, token_s=0.0001, round_trip_s=0.006, post_s=0.0015, answer_s=0.0004)
AFTER_PREFILL_S = 0.002
CLOCK_AHEAD_S = 5.0


class PlantedEngine:
    """Answers at once, and says that it took the planted times. Its server's clock is ahead."""

    def __init__(self) -> None:
        self.info = EngineInfo(
            "planted",
            "stub",
            8192,
            True,
            device="cpu",
            max_running=256,
            kv_tokens=200_000,
            details={"chunked_prefill_size": "1024"},
        )
        self.tokenizer = ScriptedTokenizer()
        self._now_s = 1000.0
        self._cached: set[tuple[int, ...]] = set()
        self._asked: list[tuple[int, ...]] = []

    async def generate(self, request: GenerateRequest, on_progress: object = None) -> Completion:
        self._asked.append(request.input_ids)
        return Completion(request.request_id, (7,), "length", None, len(request.input_ids), 0, 1)

    async def close(self) -> None:
        pass

    async def burst(
        self, prompts: Sequence[tuple[int, ...]], tokens: int, *, stream: bool = False, apart: bool = False
    ) -> Burst:
        return self._took(list(prompts), tokens, stream=stream, apart=apart)

    async def watched(self, work: Callable[[], Awaitable[object]]) -> Burst:
        self._asked.clear()
        await work()
        return self._took(list(self._asked), 1)

    def _took(self, prompts: list[tuple[int, ...]], tokens: int, *, stream: bool = False, apart: bool = False) -> Burst:
        count = len(prompts)
        began = self._now_s
        received = began + OVERHEADS.round_trip_s / 4
        dispatched = received + OVERHEADS.request_s * count + OVERHEADS.post_s * (count if apart else 1)
        begun = dispatched + OVERHEADS.round_trip_s / 4
        chunks = [self._chunk(ids) for ids in prompts]
        first = begun + STEPS.prefill(chunks)
        decoded = first
        if tokens > 1:
            held = sum(len(ids) + 1 for ids in prompts)
            decoded += AFTER_PREFILL_S + STEPS.decode(count).span(count, held, tokens - 1)
        if stream:
            decoded += OVERHEADS.token_s * count * (tokens - 1)
        finished = decoded + OVERHEADS.round_trip_s / 4 + OVERHEADS.answer_s * count
        ended = finished + OVERHEADS.round_trip_s / 4
        self._now_s = ended + 1
        self._cached.update(prompts)
        at = [each + CLOCK_AHEAD_S for each in (received, dispatched, begun, first, finished)]
        return Burst(began, ended, tuple(Served(c.new + c.past, c.past, tokens, *at) for c in chunks))

    def _chunk(self, ids: tuple[int, ...]) -> Chunk:
        """What is cached of it: whole prompts that came before, and never its last token."""
        past = max((len(known) for known in self._cached if known == ids[: len(known)]), default=0)
        past = min(past, len(ids) - 1)
        return Chunk(len(ids) - past, past)


async def measured(quick: bool) -> tuple[Measured, list[str]]:
    said: list[str] = []
    engine = cast(WatchedEngine, PlantedEngine())
    return await Measuring(engine, quick=quick, say=said.append).run(), said


@pytest.mark.parametrize("quick", [True, False])
async def test_planted_times_are_found_again(quick: bool) -> None:
    found, said = await measured(quick)
    steps, of_steps = fit_steps(found)
    overheads, of_overheads = fit_overheads(found)
    for rows in (1, 4, 8, 32):
        for length in (50, 400):
            planted = STEPS.decode(rows).seconds(rows * length)
            assert steps.decode(rows).seconds(rows * length) == pytest.approx(planted, rel=0.02)
    for chunks in ([Chunk(8, 0)], [Chunk(200, 0)], [Chunk(16, 700)], [Chunk(40, 0)] * 6):
        planted = STEPS.prefill(chunks) + AFTER_PREFILL_S
        assert steps.prefill(chunks) == pytest.approx(planted, rel=0.05)
    assert overheads.post_s == pytest.approx(OVERHEADS.post_s, rel=0.01)
    assert overheads.request_s == pytest.approx(OVERHEADS.request_s, rel=0.01)
    assert overheads.answer_s == pytest.approx(OVERHEADS.answer_s, rel=0.01)
    assert overheads.token_s == pytest.approx(OVERHEADS.token_s, rel=0.01)
    assert overheads.round_trip_s == pytest.approx(OVERHEADS.round_trip_s, rel=0.01)
    assert max(each.median for each in (*of_steps, *of_overheads)) < 0.02
    assert any("decoding" in line for line in said) and any("prefill" in line for line in said)


async def test_bursts_that_would_take_long_are_left_out() -> None:
    """A step of 64 sequences takes 0.2 s: a quick measurement goes no further."""
    found, _said = await measured(True)
    assert max(each.rows for each in found.decode) <= 64


TOKENIZER = str(Path(__file__).parents[2] / "benchmarks" / "testbed" / "models" / "policy")


def test_an_engine_that_tells_no_times_is_refused_with_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    with StubServer() as stub:
        code = run(["engine", "profile", stub.url, "--tokenizer", TOKENIZER])
    said = capsys.readouterr().err
    assert code == 2, said
    assert "E0570" in said and "--enable-metrics" in said


def test_a_reward_server_has_no_decode_steps(capsys: pytest.CaptureFixture[str]) -> None:
    with StubServer(Behaviour(architecture="LlamaForSequenceClassification", pooled_dimensions=1)) as stub:
        code = run(["engine", "profile", stub.url, "--tokenizer", TOKENIZER])
    said = capsys.readouterr().err
    assert code == 2, said
    assert "generates nothing" in said


def batch(*served: tuple[int, int, float, float]) -> Burst:
    times = [Served(prompt, cached, 1, 0.0, 0.0, begun, first, first) for prompt, cached, begun, first in served]
    return Burst(0.0, 1.0, tuple(times))


def test_requests_that_began_together_are_one_batch() -> None:
    burst = batch((10, 4, 0.5, 0.7), (20, 0, 0.2, 0.4), (12, 4, 0.5, 0.8))
    assert burst.batches() == [
        ((Chunk(20, 0),), pytest.approx(0.2)),
        ((Chunk(6, 4), Chunk(8, 4)), pytest.approx(0.3)),
    ]
