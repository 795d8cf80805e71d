"""Scores, rewards and embeddings that are asked for together: one POST, answers dealt out, failures kept apart."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ttsc.backends.protocol import (
    ContextTooLong,
    EmbedRequest,
    EngineError,
    RequestFailed,
    RewardRequest,
    Scored,
    ScoreRequest,
)
from ttsc.backends.sglang.client import SGLangEngine

sys.path.insert(0, str(Path(__file__).parent))
from fake_batches import BatchingServer  # noqa: E402
from fake_sglang import Behaviour, Fault, stub_logprob, stub_pooled  # noqa: E402
from test_client import attach  # noqa: E402

REWARD = Behaviour(architecture="LlamaForSequenceClassification", pooled_dimensions=1)


@pytest.fixture
def rewarding() -> Iterator[BatchingServer]:
    with BatchingServer(Behaviour(architecture="LlamaForSequenceClassification", pooled_dimensions=1)) as stub:
        yield stub


def rewards(count: int, first: int = 0, length: int = 5) -> list[RewardRequest]:
    return [RewardRequest(f"w{number:04}", tuple(range(number, number + length))) for number in range(first, count)]


async def test_rewards_of_one_turn_are_one_post(rewarding: BatchingServer) -> None:
    engine = await attach(rewarding)
    requests = rewards(10)
    found = await asyncio.gather(*(engine.reward(request) for request in requests))
    assert [each.values for each in found] == [tuple(stub_pooled(list(r.input_ids), 1)) for r in requests]
    assert [each.request_id for each in found] == [request.request_id for request in requests]
    assert rewarding.batches == [[request.request_id for request in requests]]
    alone = await engine.reward(RewardRequest("w9999", requests[0].input_ids))
    assert alone.values == found[0].values
    assert len(rewarding.batches) == 1
    await engine.close()


async def test_embeddings_and_rewards_do_not_mix_and_a_step_bounds_a_batch() -> None:
    with BatchingServer(Behaviour(pooled_dimensions=3, architecture="LlamaModel"), chunked_prefill_size=20) as stub:
        engine = await attach(stub)
        requests = [EmbedRequest(f"e{number:04}", tuple(range(5, 12))) for number in range(7)]
        found = await asyncio.gather(*(engine.embed(request) for request in requests))
        await engine.close()
    assert {each.vector for each in found} == {tuple(stub_pooled(list(range(5, 12)), 3))}
    assert [len(batch) for batch in stub.batches] == [2, 2, 2], "three would be more than one prefill step"


async def test_scores_are_dealt_out_as_they_come() -> None:
    with BatchingServer() as stub:
        engine = await attach(stub)
        ids = (5, 6, 7, 8, 9)
        found = await asyncio.gather(*(engine.score(ScoreRequest(f"s{start}", ids, start)) for start in (1, 3, 5)))
        await engine.close()
    assert found[1] == Scored("s3", (stub_logprob(8, 3), stub_logprob(9, 4)), 5, found[1].cached_tokens)
    assert [len(each.logprobs) for each in found] == [4, 2, 0]
    assert stub.batches == [["s1", "s3"]], "an empty span asks nothing"


async def test_only_the_wrong_one_of_a_batch_fails(rewarding: BatchingServer) -> None:
    rewarding.behaviour.context_tokens = 50
    engine = await attach(rewarding)
    rewarding.behaviour.context_tokens = 20  # less than it said: the client cannot know
    requests = [*rewards(3), RewardRequest("w0003", tuple(range(30)))]
    found = await asyncio.gather(*(engine.reward(request) for request in requests), return_exceptions=True)
    assert [type(each) for each in found[3:]] == [ContextTooLong]
    good = [each for each in found if not isinstance(each, BaseException)]
    assert [each.values for each in good] == [tuple(stub_pooled(list(r.input_ids), 1)) for r in requests[:3]]
    again = [body["rid"] for body in rewarding.bodies[4:]]
    assert sorted(again) == [f"{request.request_id}-again" for request in requests]
    await engine.close()


async def test_only_the_wrong_one_of_a_batch_of_scores_fails() -> None:
    with BatchingServer() as stub:
        engine = await attach(stub)
        stub.behaviour.context_tokens = 20
        requests = [
            ScoreRequest("s0000", tuple(range(30)), 2),
            *(ScoreRequest(f"s000{n}", (n, 5, 6), 1) for n in (1, 2)),
        ]
        found = await asyncio.gather(*(engine.score(request) for request in requests), return_exceptions=True)
        await engine.close()
    assert [type(each) for each in found] == [ContextTooLong, Scored, Scored]
    assert [body["rid"] for body in stub.bodies if "again" in body["rid"]] == ["s0000-again"], (
        "the others were answered"
    )


async def test_one_of_a_batch_is_aborted_alone(rewarding: BatchingServer) -> None:
    rewarding.behaviour.pool_delay_s = 0.3
    engine = await attach(rewarding)
    tasks = [asyncio.create_task(engine.reward(request)) for request in rewards(3)]
    while len(rewarding.running) < 3:
        await asyncio.sleep(0.01)
    await engine.abort(["w0001"])
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[1], EngineError) and "aborted" in found[1].message and not found[1].retryable
    assert not isinstance(found[0], BaseException) and not isinstance(found[2], BaseException)
    assert {body["rid"] for body in rewarding.abort_bodies} == {"w0001"}
    await engine.close()


async def test_a_cancelled_one_leaves_the_others_and_the_last_closes_the_connection(rewarding: BatchingServer) -> None:
    rewarding.behaviour.pool_delay_s = 0.3
    engine = await attach(rewarding)
    tasks = [asyncio.create_task(engine.reward(request)) for request in rewards(3)]
    while len(rewarding.running) < 3:
        await asyncio.sleep(0.01)
    tasks[0].cancel()
    assert (await tasks[1]).request_id == "w0001"
    assert rewarding.aborted == 1
    rewarding.behaviour.pool_delay_s = 3600.0
    tasks = [asyncio.create_task(engine.reward(request)) for request in rewards(6, first=3)]
    while len(rewarding.running) < 3:
        await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await engine.close()
    while rewarding.running:
        await asyncio.sleep(0.01)
    assert rewarding.aborted == 4


async def test_closing_ends_what_is_waited_for(rewarding: BatchingServer) -> None:
    rewarding.behaviour.pool_delay_s = 3600.0
    engine = await attach(rewarding)
    tasks = [asyncio.create_task(engine.reward(request)) for request in rewards(3)]
    while len(rewarding.running) < 3:
        await asyncio.sleep(0.01)
    await engine.close()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in found] == [RequestFailed] * 3


async def test_a_server_error_is_every_ones(rewarding: BatchingServer) -> None:
    engine = await attach(rewarding)
    rewarding.faults.append(Fault("status", status=503, message="busy"))
    found = await asyncio.gather(*(engine.reward(request) for request in rewards(3)), return_exceptions=True)
    assert [type(each) for each in found] == [RequestFailed] * 3
    assert len({id(each) for each in found}) == 3
    await engine.close()


async def test_priorities_are_sent_where_the_server_takes_them() -> None:
    for facts, expected in (
        ({}, None),
        ({"enable_priority_scheduling": True}, 7),
        ({"enable_priority_scheduling": True, "schedule_low_priority_values_first": True}, -7),
    ):
        with BatchingServer(Behaviour(pooled_dimensions=1, architecture=REWARD.architecture), **facts) as stub:
            engine: SGLangEngine = await attach(stub)
            await engine.reward(RewardRequest("w0001", (5, 6), priority=7))
            await engine.close()
        assert engine.info.priorities is bool(facts)
        assert stub.bodies[-1].get("priority") == expected
