"""A server that hangs, is restarted with another model, says how busy it is, or stands behind a router."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ttsc.backends.protocol import (
    EngineError,
    EngineUnavailable,
    GenerateRequest,
    Load,
    RequestFailed,
    RequestRefused,
    RewardRequest,
    Sampling,
)
from ttsc.backends.sglang.client import SGLangEngine
from ttsc.backends.sglang.connection import Connection
from ttsc.backends.sglang.router import worker_urls
from ttsc.backends.sglang.serverinfo import engine_info

sys.path.insert(0, str(Path(__file__).parent))
from fake_batches import BatchingServer, StubRouter  # noqa: E402
from fake_sglang import Behaviour, Fault, StubServer, stub_tokens  # noqa: E402
from test_client import NoTokenizer, attach, request  # noqa: E402


@pytest.fixture
def stub() -> Iterator[BatchingServer]:
    with BatchingServer() as server:
        yield server


async def impatient(stub: StubServer | StubRouter, silence_s: float = 0.2) -> SGLangEngine:
    connection = Connection(stub.url, silence_s=silence_s)
    facts = await engine_info(connection)
    return SGLangEngine(connection, facts.info, NoTokenizer())


# -- hung, or only silent -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_a_server_that_has_hung_is_told_from_one_that_decodes(stub: BatchingServer, stream: bool) -> None:
    engine = await impatient(stub)
    running = [asyncio.create_task(engine.generate(request(f"r000{n}", stream=stream))) for n in range(3)]
    stub.hung = True
    found = await asyncio.gather(*running, return_exceptions=True)
    assert [type(each) for each in found] == [EngineUnavailable] * 3
    error = found[0]
    assert isinstance(error, EngineUnavailable) and "has hung" in error.message and error.retryable
    assert stub.health_asked == 3
    await engine.close()


async def test_a_server_that_says_it_is_unwell_has_hung(stub: BatchingServer) -> None:
    engine = await impatient(stub)
    stub.faults.append(Fault("hang"))
    stub.healthy = False
    with pytest.raises(EngineUnavailable, match="has hung"):
        await engine.generate(request())
    await engine.close()


async def test_what_has_hung_is_asked_nothing_until_it_is_well(stub: BatchingServer) -> None:
    engine = await impatient(stub)
    stub.faults.append(Fault("hang"))
    stub.healthy = False
    with pytest.raises(EngineUnavailable, match="has hung"):
        await engine.generate(request())
    with pytest.raises(EngineUnavailable, match="has hung"):
        await engine.probe()
    with pytest.raises(EngineUnavailable, match="has hung"):
        await engine.generate(request("r0002"))
    assert len(stub.bodies) == 1
    stub.healthy = True
    assert (await engine.generate(request("r0003"))).completion_tokens == 5
    await engine.probe()
    await engine.close()


async def test_a_long_silence_of_a_server_that_is_well_is_waited_for(stub: BatchingServer) -> None:
    stub.behaviour.token_delay_s = 0.5
    engine = await impatient(stub, 0.1)
    result = await engine.generate(request(max_tokens=2))
    assert result.output_ids == tuple(stub_tokens(1, 2))
    assert stub.health_asked >= 2
    await engine.close()


async def test_one_that_drips_is_not_asked_how_it_is(stub: BatchingServer) -> None:
    stub.behaviour.token_delay_s = 0.05
    engine = await impatient(stub, 0.5)
    assert (await engine.generate(request(max_tokens=25, stream=True))).completion_tokens == 25
    assert stub.health_asked == 0
    await engine.close()


async def test_one_that_recovers_while_it_is_asked_is_waited_for(stub: BatchingServer) -> None:
    stub.behaviour.token_delay_s = 1.0
    stub.healthy = False
    engine = await impatient(stub, 0.4)
    running = asyncio.create_task(engine.generate(request(max_tokens=1)))
    while not stub.health_asked:
        await asyncio.sleep(0.01)
    stub.healthy = True
    assert (await running).completion_tokens == 1
    await engine.close()


# -- another model at the address -----------------------------------------------------------------------------------


async def test_another_model_at_the_address_is_refused() -> None:
    with StubServer(Behaviour(token_delay_s=0.05)) as first:
        engine = await attach(first)
        await engine.probe()
        port = int(first.url.rpartition(":")[2])
        running = asyncio.create_task(engine.generate(request(max_tokens=1000)))
        while not first.running:
            await asyncio.sleep(0.01)
    with pytest.raises(EngineUnavailable):
        await running
    with pytest.raises(EngineUnavailable):
        await engine.probe()
    with StubServer(Behaviour(model_path="other/model"), port=port) as second:
        for _ in range(2):
            with pytest.raises(RequestRefused, match="now serves other/model, and was attached to for stub/model"):
                await engine.generate(request("r0002"))
        with pytest.raises(RequestRefused, match="other/model"):
            await engine.probe()
        assert second.bodies == []
        second.behaviour.model_path = "stub/model"
        assert (await engine.generate(request("r0003"))).completion_tokens == 5
        await engine.probe()
    await engine.close()


# -- load and capacity ----------------------------------------------------------------------------------------------


async def test_load_and_capacity_are_those_of_all_ranks(stub: BatchingServer) -> None:
    engine = await attach(stub)
    assert await engine.load() == Load(running=6, waiting=4, kv_used=0.1)
    assert (engine.info.max_running, engine.info.kv_tokens) == (96, 2000)
    stub.load = {"dp_rank": 0}
    with pytest.raises(RequestFailed, match="about its load"):
        await engine.load()
    await engine.close()


async def test_a_server_that_says_nothing_of_its_load_is_not_asked_again(stub: BatchingServer) -> None:
    stub.load = None
    stub.facts = {"internal_states": [{"effective_max_running_requests_per_dp": 7}], "dp_size": 2}
    engine = await attach(stub)
    assert await engine.load() is None
    assert (engine.info.max_running, engine.info.kv_tokens) == (14, 2 * 16 * 2048)
    stub.load = {}
    assert await engine.load() is None
    await engine.close()


# -- behind a router ------------------------------------------------------------------------------------------------


async def test_a_routers_workers_are_asked_what_it_does_not_say() -> None:
    with ExitStack() as stack:
        workers = [stack.enter_context(BatchingServer(Behaviour(token_delay_s=0.02))) for _ in range(2)]
        workers[1].behaviour.context_tokens = 1024
        router = stack.enter_context(StubRouter(list(workers)))
        engine = await attach(router)
        assert engine.info.context_tokens == 1024, "the least of what the workers promise"
        assert engine.info.seeds_honoured
        assert engine.info.details["workers"] == "2"
        assert (engine.info.max_running, engine.info.kv_tokens) == (192, 4000)
        assert await engine.load() == Load(running=12, waiting=8, kv_used=0.1)
        workers[0].load = None
        assert await engine.load() == Load(running=6, waiting=4, kv_used=0.1)
        await engine.probe()
        results = await asyncio.gather(*(engine.generate(request(f"r000{n}", stream=n % 2 == 0)) for n in range(4)))
        assert {result.output_ids for result in results} == {tuple(stub_tokens(1, 5))}
        assert [len(worker.bodies) for worker in workers] == [2, 2]
        await engine.close()
    assert "/abort_request" not in router.paths


async def test_an_abort_reaches_the_worker_past_the_router() -> None:
    with ExitStack() as stack:
        workers = [stack.enter_context(BatchingServer(Behaviour(token_delay_s=0.02))) for _ in range(2)]
        router = stack.enter_context(StubRouter(list(workers)))
        engine = await attach(router)
        tasks = [asyncio.create_task(engine.generate(request(f"r000{n}", max_tokens=1000))) for n in range(2)]
        while sum(len(worker.running) for worker in workers) < 2:
            await asyncio.sleep(0.01)
        await engine.abort(["r0000"])
        assert (await tasks[0]).finish == "abort"
        assert sum(worker.aborted for worker in workers) == 1
        tasks[1].cancel()
        await asyncio.gather(tasks[1], return_exceptions=True)
        await engine.close()
        while any(worker.running for worker in workers):
            await asyncio.sleep(0.01)
        assert sum(worker.aborted for worker in workers) == 2


async def test_rewards_go_to_the_workers_in_turn_and_one_by_one() -> None:
    with ExitStack() as stack:
        behaviours = [Behaviour(architecture="LlamaForSequenceClassification", pooled_dimensions=1) for _ in range(2)]
        workers = [stack.enter_context(BatchingServer(behaviour)) for behaviour in behaviours]
        router = stack.enter_context(StubRouter(list(workers)))
        engine = await attach(router)
        await asyncio.gather(*(engine.reward(RewardRequest(f"w000{n}", (5, 6, n))) for n in range(4)))
        await engine.close()
    assert [len(worker.bodies) for worker in workers] == [2, 2]
    assert [worker.batches for worker in workers] == [[], []]


async def test_a_router_is_there_as_long_as_one_of_its_workers_is() -> None:
    """Asked for its model, a router may ask the worker that is dead, and answers 500."""
    with BatchingServer() as left, StubRouter([left]) as router:
        with BatchingServer() as killed:
            router.workers.append(killed)
            engine = await attach(router)
        router.broken_info = True
        await engine.probe()
        left.behaviour.model_path = "other/model"
        with pytest.raises(RequestRefused, match="now serves other/model"):
            await engine.probe()
        await engine.close()


async def test_what_a_router_would_lose_is_refused() -> None:
    with BatchingServer() as worker, StubRouter([worker]) as router:
        engine = await attach(router)
        with pytest.raises(RequestRefused, match="does not hand on options of the engine's own \\(experts\\)"):
            await engine.generate(GenerateRequest("r0001", (5,), Sampling(max_tokens=1, extra=(("experts", 4),))))
        assert worker.bodies == []
        await engine.close()


async def test_a_router_whose_workers_cannot_be_reached_says_too_little() -> None:
    with StubServer() as worker:
        pass
    with StubRouter([worker]) as router, pytest.raises(EngineError, match="does not say how long"):
        await attach(router)


def test_addresses_of_workers() -> None:
    listing = {
        "workers": [
            {"url": "http://a:1@0"},
            {"url": "http://a:1@1"},
            {"url": "grpc://b:2"},
            {"url": "http://u@c:3/"},
            {"id": "no url"},
        ]
    }
    assert worker_urls(listing) == ["http://a:1", "http://u@c:3"]
    assert worker_urls({"urls": ["http://a:1", "http://b:2"]}) == ["http://a:1", "http://b:2"]
    assert worker_urls(json.loads("{}")) == []


# -- nothing is left ------------------------------------------------------------------------------------------------


async def test_a_thousand_cancelled_requests_leave_nothing_behind() -> None:
    with BatchingServer(Behaviour(token_delay_s=0.05)) as stub:
        engine = await attach(stub)
        before = asyncio.all_tasks()
        for part in range(2):
            names = [f"r{part * 500 + number:05}" for number in range(500)]
            sampling = Sampling(max_tokens=1000)
            requests = [GenerateRequest(name, (5, 6, 7), sampling, stream=part % 2 == 0) for name in names]
            tasks = [asyncio.create_task(engine.generate(each)) for each in requests]
            await asyncio.sleep(0.1 * part)
            for task in tasks:
                task.cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(each) for each in found} == {asyncio.CancelledError}
        await engine.close()
        assert asyncio.all_tasks() == before
        assert engine._connection.connections == 0
        while stub.running:
            await asyncio.sleep(0.05)
