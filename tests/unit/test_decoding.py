"""Requests that decode and are asked for together: one POST, each answered, aborted and refused for itself."""

from __future__ import annotations

import asyncio

import pytest
from fake_sglang import Behaviour, Fault, StubServer, stub_tokens

from ttsc.backends.protocol import ContextTooLong, EngineInfo, GenerateRequest, Progress, RequestFailed, Sampling
from ttsc.backends.scripted.tokenizer import ScriptedTokenizer
from ttsc.backends.sglang.client import SGLangEngine
from ttsc.backends.sglang.connection import Connection

INFO = EngineInfo("stub", "stub/model", 2048, True)


def asked(number: int, tokens: int = 6, **more: bool) -> GenerateRequest:
    return GenerateRequest(f"r{number:04}", (5, 6, 7), Sampling(tokens, seed=number), **more)


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> SGLangEngine:
    stub = StubServer(getattr(request, "param", Behaviour()))
    stub.__enter__()
    request.addfinalizer(lambda: stub.__exit__(None, None, None))
    made = SGLangEngine(Connection(stub.url), INFO, ScriptedTokenizer())
    made.stub = stub  # type: ignore[attr-defined]
    return made


def posts(engine: SGLangEngine) -> list[object]:
    """The ids of each POST, as they were sent."""
    return [body["rid"] for body in engine.stub.bodies]  # type: ignore[attr-defined]


@pytest.mark.parametrize("engine", [Behaviour(), Behaviour(incremental=True)], indirect=True)
async def test_one_turn_is_one_post(engine: SGLangEngine) -> None:
    """Each with its own id, seed and limit; the answers are those of requests that were sent alone."""
    answers = await asyncio.gather(*(engine.generate(asked(number, 3 + number)) for number in range(5)))
    assert posts(engine) == [[f"r{number:04}" for number in range(5)]]
    assert [list(answer.output_ids) for answer in answers] == [stub_tokens(n, 3 + n) for n in range(5)]
    assert {answer.finish for answer in answers} == {"length"}
    alone = await engine.generate(asked(3, 6))
    assert alone.output_ids == answers[3].output_ids and posts(engine)[-1] == "r0003"
    await engine.close()


async def test_what_differs_for_all_goes_apart(engine: SGLangEngine) -> None:
    """Log-probabilities are asked for in a POST of their own; a request that reports every token goes alone."""
    wanted = [asked(0), asked(1, logprobs=True), asked(2, stream=True), asked(3), asked(4, logprobs=True)]
    answers = await asyncio.gather(*map(engine.generate, wanted))
    assert sorted(posts(engine), key=str) == [["r0000", "r0003"], ["r0001", "r0004"], "r0002"]
    assert [answer.logprobs is not None for answer in answers] == [False, True, False, False, True]
    await engine.close()


async def test_a_first_token_is_reported(engine: SGLangEngine) -> None:
    """Alone and among others; nobody else hears of tokens."""
    for others in (0, 3):
        heard: list[Progress] = []
        first = engine.generate(asked(1, first_token=True), heard.append)
        await asyncio.gather(first, *(engine.generate(asked(5 + number), heard.append) for number in range(others)))
        assert heard and heard[0].tokens == 1 and {each.request_id for each in heard} == {"r0001"}
    await engine.close()


@pytest.mark.parametrize("engine", [Behaviour(token_delay_s=0.02)], indirect=True)
async def test_one_is_aborted_and_the_others_go_on(engine: SGLangEngine) -> None:
    asking = [asyncio.ensure_future(engine.generate(asked(number, 20))) for number in range(3)]
    await asyncio.sleep(0.1)
    await engine.abort(["r0001"])
    answers = await asyncio.gather(*asking)
    assert [answer.finish for answer in answers] == ["length", "abort", "length"]
    assert len(answers[1].output_ids) < 20
    await engine.close()


@pytest.mark.parametrize("engine", [Behaviour(token_delay_s=0.02)], indirect=True)
async def test_one_is_cancelled_and_the_others_go_on(engine: SGLangEngine) -> None:
    """It is aborted by its id; when all are, the connection is closed."""
    asking = [asyncio.ensure_future(engine.generate(asked(number, 20))) for number in range(3)]
    await asyncio.sleep(0.1)
    asking[0].cancel()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert [answer.finish for answer in answers[1:]] == ["length", "length"]  # type: ignore[union-attr]
    await engine.close()
    assert [body["rid"] for body in engine.stub.abort_bodies][:1] == ["r0000"]  # type: ignore[attr-defined]


async def test_the_wrong_one_fails_alone(engine: SGLangEngine) -> None:
    """A POST that is refused is sent again one by one."""
    wanted = [asked(0), asked(1, 5000), asked(2)]
    answers = await asyncio.gather(*map(engine.generate, wanted), return_exceptions=True)
    assert isinstance(answers[1], ContextTooLong)
    assert [list(answers[n].output_ids) for n in (0, 2)] == [stub_tokens(n, 6) for n in (0, 2)]  # type: ignore[union-attr]
    await engine.close()


@pytest.mark.parametrize("kind", ["status", "malformed", "drop", "cut", "error_event"])
async def test_a_fault_fails_all_and_can_be_retried(engine: SGLangEngine, kind: str) -> None:
    engine.stub.faults.append(Fault(kind, after_tokens=2))  # type: ignore[attr-defined]
    failed = await asyncio.gather(*(engine.generate(asked(n)) for n in range(3)), return_exceptions=True)
    assert all(isinstance(each, RequestFailed) and each.retryable for each in failed)
    again = await asyncio.gather(*(engine.generate(asked(10 + n)) for n in range(3)))
    assert [list(each.output_ids) for each in again] == [stub_tokens(10 + n, 6) for n in range(3)]
    await engine.close()
