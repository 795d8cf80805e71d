"""Simulated engines that fail: nothing is lost, everything is counted, and results stay what they were."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from simulated import LIMITS, Linear, engine, request

import ttsc
from ttsc.backends.protocol import EngineUnavailable, GenerateRequest, RequestFailed
from ttsc.backends.simulator.engine import SimulatedEngine
from ttsc.backends.simulator.faults import Death, Faults
from ttsc.runtime.virtual_time import run_in_virtual_time

FAST = Linear(fixed=0.01, token=0.0005)


def lengths(asked: GenerateRequest) -> int:
    return 10 + (asked.sampling.seed or 0) % 30


def results(simulated: SimulatedEngine, inputs: int = 10) -> list[ttsc.RunResult]:
    program = ttsc.compile("programs/self_consistency.tts")

    async def work() -> list[ttsc.RunResult]:
        given = [{"question": f"How much is {number} + 1?", "n": 4} for number in range(inputs)]
        return [result async for result in program.amap(given, engine=simulated)]

    return run_in_virtual_time(work())


def test_a_death_fails_what_is_under_way_and_a_return_has_an_empty_cache() -> None:
    simulated = engine(50, faults=Faults(deaths=(Death(10.0, 5.0),)))

    async def scenario() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        with pytest.raises(EngineUnavailable):
            await simulated.generate(request(1, range(10, 20)))
        assert loop.time() == 10.0
        with pytest.raises(EngineUnavailable):
            await simulated.probe()
        with pytest.raises(EngineUnavailable):
            await simulated.generate(request(2, range(10, 20)))
        await asyncio.sleep(5.1)
        await simulated.probe()
        cold = await simulated.generate(request(3, range(10, 20)))
        warm = await simulated.generate(request(4, range(10, 20)))
        return cold.cached_tokens, warm.cached_tokens

    assert run_in_virtual_time(scenario()) == (0, 9)
    assert simulated.served.failed == 1


def test_behind_a_router_the_others_go_on() -> None:
    simulated = engine(50, replicas=2, faults=Faults(deaths=(Death(10.0, None, replica=0),)))

    async def scenario() -> list[object]:
        asked = [request(number, range(50 * number, 50 * number + 10)) for number in range(2)]
        ended = await asyncio.gather(*map(simulated.generate, asked), return_exceptions=True)
        await simulated.probe()
        await simulated.generate(request(7, range(10, 20)))
        return list(ended)

    lost, kept = run_in_virtual_time(scenario())
    assert isinstance(lost, RequestFailed) and not isinstance(kept, Exception)
    assert simulated.servers[1].served.requests == 2


def test_refusals_say_when_to_come_again() -> None:
    simulated = engine(4, faults=Faults(busy=1.0, retry_after_s=3.0))

    async def scenario() -> None:
        with pytest.raises(RequestFailed) as caught:
            await simulated.generate(request(1, range(10, 20)))
        assert caught.value.retry_after_s == 3.0

    run_in_virtual_time(scenario())


@pytest.mark.parametrize(
    "faults",
    [
        Faults(failing=0.2, fails_after_s=0.3),
        Faults(busy=0.3),
        Faults(slow=0.3),
        Faults(aborting=0.2, fails_after_s=0.3),
        Faults(deaths=(Death(0.2, 1.0), Death(3.0, 2.0))),
        Faults(deaths=(Death(0.1, 0.5, 0),), failing=0.1, busy=0.1, slow=0.1, aborting=0.1, fails_after_s=0.2),
    ],
    ids=["failing", "busy", "slow", "aborting", "deaths", "all"],
)
def test_no_input_is_lost_and_no_answer_changes(faults: Faults) -> None:
    limits = replace(LIMITS, kv_tokens=20_000)
    whole = results(engine(lengths, steps=FAST, limits=limits))
    simulated = engine(lengths, steps=FAST, limits=limits, faults=faults, replicas=2)
    broken = results(simulated)
    assert [result.error for result in broken] == [None] * 10
    assert [result.value for result in broken] == [result.value for result in whole]
    assert [result.input for result in broken] == list(range(10))
    spent = sum(result.usage.retries + result.usage.failed for result in broken)
    assert spent > 0 or faults.slow == 0.3
    # What the servers decoded is what was reported, but for requests that died before they could say.
    served = simulated.served
    reported = sum(result.usage.decoded_tokens for result in broken)
    assert served.decoded_tokens >= reported
    assert served.ended == served.requests
    assert simulated.servers[0].running == simulated.servers[0].waiting == simulated.servers[1].running == 0


@pytest.mark.parametrize("kv_tokens", [800, 2_000, 50_000])
@pytest.mark.parametrize("page_tokens", [1, 8])
@pytest.mark.parametrize("chunk_tokens", [128, 8192])
def test_what_programs_are_told_is_what_servers_counted(kv_tokens: int, page_tokens: int, chunk_tokens: int) -> None:
    limits = replace(LIMITS, kv_tokens=kv_tokens, page_tokens=page_tokens, chunk_tokens=chunk_tokens, running=8)
    simulated = engine(lengths, steps=FAST, limits=limits)
    ended = results(simulated, inputs=6)
    assert [result.error for result in ended] == [None] * 6
    served = simulated.served
    usages = [result.usage for result in ended]
    assert served.requests == served.ended == sum(usage.requests for usage in usages)
    assert served.decoded_tokens == sum(usage.decoded_tokens for usage in usages)
    assert served.cached_tokens == sum(usage.cached_tokens for usage in usages)
    computed = sum(usage.prefill_tokens for usage in usages)
    assert served.prompt_tokens - served.cached_tokens == computed
    assert served.computed_tokens == computed + served.recomputed_tokens
    assert 0 < served.peak_kv <= kv_tokens
    assert (served.evicted_tokens > 0) == (kv_tokens < 1_000)
    # When all is over nobody holds memory; what is cached fits.
    assert all(server.kv_used == 0 for server in simulated.servers)
