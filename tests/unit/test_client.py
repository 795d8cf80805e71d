"""The client against a stub server: wire format, streams, aborts, errors, many requests at once."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ttsc.backends.protocol import (
    Completion,
    ContextTooLong,
    EngineError,
    EngineUnavailable,
    GenerateRequest,
    Progress,
    RequestFailed,
    RequestRefused,
    Sampling,
    Turn,
)
from ttsc.backends.sglang.client import SGLangEngine
from ttsc.backends.sglang.connection import Connection
from ttsc.backends.sglang.death import Death
from ttsc.backends.sglang.server_command import free_port
from ttsc.backends.sglang.serverinfo import engine_info, seeds_honoured

sys.path.insert(0, str(Path(__file__).parent))
from fake_sglang import EOS, Behaviour, Fault, StubServer, stub_tokens  # noqa: E402


class NoTokenizer:
    """Stands in where no test looks at text."""

    eos_ids = frozenset({EOS})

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))

    def chat_ids(self, turns: Sequence[Turn]) -> list[int]:
        return self.encode("".join(turn.text for turn in turns))

    def extension_ids(self, ended: bool, turns: Sequence[Turn]) -> list[int]:
        return self.chat_ids(turns)


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


async def attach(stub: StubServer, explain: Callable[[], Death | None] | None = None) -> SGLangEngine:
    connection = Connection(stub.url, explain=explain)
    facts = await engine_info(connection)
    return SGLangEngine(connection, facts.info, NoTokenizer())


@pytest.fixture
async def engine(stub: StubServer) -> AsyncIterator[SGLangEngine]:
    attached = await attach(stub)
    yield attached
    await attached.close()


def request(
    rid: str = "r0001", *, max_tokens: int = 5, seed: int | None = 1, stream: bool = False, prompt: int = 8
) -> GenerateRequest:
    return GenerateRequest(rid, tuple(range(prompt)), Sampling(max_tokens=max_tokens, seed=seed), stream)


async def test_every_sampling_parameter_is_on_the_wire(stub: StubServer, engine: SGLangEngine) -> None:
    sampling = Sampling(max_tokens=3, temperature=0.5, top_p=0.9, top_k=40, min_p=0.1, stop=("\n\n",), seed=2**64 - 1)
    await engine.generate(GenerateRequest("r0001", (5, 6), sampling))
    (body,) = stub.bodies
    assert body["rid"] == "r0001"
    assert body["input_ids"] == [5, 6]
    assert "text" not in body
    assert body["sampling_params"] == {
        "max_new_tokens": 3,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.1,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
        "repetition_penalty": 1.0,
        "no_stop_trim": True,
        "skip_special_tokens": True,
        "ignore_eos": False,
        "stop": ["\n\n"],
        "stop_token_ids": [EOS],
        "sampling_seed": 2**63 - 1,
    }


async def test_reports_are_asked_for_at_intervals(stub: StubServer, engine: SGLangEngine) -> None:
    """By SGLang's own name for it, in a stream alone."""
    for rid, stream, every in (("r0001", True, 4), ("r0002", True, 1), ("r0003", False, 4)):
        await engine.generate(replace(request(rid, stream=stream), every=every))
    assert [body["sampling_params"].get("stream_interval") for body in stub.bodies] == [4, None, None]


async def test_a_completion_carries_what_the_server_metered(engine: SGLangEngine) -> None:
    first = await engine.generate(request())
    assert first == Completion("r0001", tuple(stub_tokens(1, 5)), "length", None, 8, 0, 5, 0.01)
    longer = GenerateRequest("r0002", (*range(8), *first.output_ids, 7), Sampling(max_tokens=2, seed=1))
    second = await engine.generate(longer)
    assert (second.prompt_tokens, second.cached_tokens) == (14, 13)


@pytest.mark.parametrize("incremental", [False, True])
async def test_streamed_ids_are_each_reported_once(incremental: bool) -> None:
    with StubServer(Behaviour(incremental=incremental, eos_after=7)) as stub:
        engine = await attach(stub)
        reports: list[Progress] = []
        result = await engine.generate(request(max_tokens=20, stream=True), reports.append)
        await engine.close()
    assert result.finish == "eos"
    assert result.matched == EOS
    assert result.output_ids == (*stub_tokens(1, 6), EOS)
    assert tuple(token for report in reports for token in report.new_ids) == result.output_ids
    assert [report.tokens for report in reports] == list(range(1, 8))


@pytest.mark.parametrize("incremental", [False, True])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_abort_returns_what_was_decoded(incremental: bool, stream: bool) -> None:
    with StubServer(Behaviour(incremental=incremental, token_delay_s=0.01)) as stub:
        engine = await attach(stub)
        running = asyncio.create_task(engine.generate(request(max_tokens=1000, stream=stream)))
        await asyncio.sleep(0.15)
        await engine.abort(["r0001", "unknown"])
        result = await asyncio.wait_for(running, 5)
        await engine.close()
    assert result.finish == "abort"
    assert 0 < result.completion_tokens < 100
    assert result.output_ids == tuple(stub_tokens(1, result.completion_tokens))
    assert [body["rid"] for body in stub.abort_bodies] == ["r0001"]
    assert "abort_all" not in stub.abort_bodies[0]


async def test_an_abort_that_overtakes_its_request_is_repeated() -> None:
    with StubServer(Behaviour(token_delay_s=0.01, abort_ignored_first=2)) as stub:
        engine = await attach(stub)
        running = asyncio.create_task(engine.generate(request(max_tokens=1000)))
        await asyncio.sleep(0)
        await engine.abort(["r0001"])
        result = await asyncio.wait_for(running, 5)
        await engine.close()
    assert result.finish == "abort"
    assert len(stub.abort_bodies) == 3


async def test_an_abort_of_a_request_that_has_spoken_is_not_repeated_at_once() -> None:
    with StubServer(Behaviour(token_delay_s=0.15)) as stub:
        engine = await attach(stub)
        spoken = asyncio.Event()
        running = asyncio.create_task(
            engine.generate(request(max_tokens=1000, stream=True), lambda progress: spoken.set())
        )
        await spoken.wait()
        await engine.abort(["r0001"])
        result = await asyncio.wait_for(running, 5)
        await engine.close()
    assert result.finish == "abort"
    assert len(stub.abort_bodies) == 1


async def test_an_abort_that_was_lost_is_repeated() -> None:
    with StubServer(Behaviour(token_delay_s=0.1, abort_fails_first=1)) as stub:
        engine = await attach(stub)
        spoken = asyncio.Event()
        running = asyncio.create_task(
            engine.generate(request(max_tokens=1000, stream=True), lambda progress: spoken.set())
        )
        await spoken.wait()
        await engine.abort(["r0001"])
        result = await asyncio.wait_for(running, 5)
        await engine.close()
    assert result.finish == "abort"
    assert len(stub.abort_bodies) == 2
    assert result.completion_tokens <= 4, "repeated before the second that a request that has spoken is left in peace"


async def test_a_waiting_request_that_is_aborted_has_cost_nothing() -> None:
    with StubServer(Behaviour(waiting_first=1)) as stub:
        engine = await attach(stub)
        running = asyncio.create_task(engine.generate(request(stream=True)))
        await asyncio.sleep(0.1)
        await engine.abort(["r0001"])
        result = await asyncio.wait_for(running, 5)
        await engine.close()
    assert result == Completion("r0001", (), "abort", None, 0, 0, 0, 0.1)


async def test_a_cancelled_task_aborts_on_the_server() -> None:
    with StubServer(Behaviour(token_delay_s=0.01)) as stub:
        engine = await attach(stub)
        running = asyncio.create_task(engine.generate(request(max_tokens=1000)))
        await asyncio.sleep(0.1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await engine.close()
        assert stub.aborted == 1
        assert not stub.running


async def test_a_failing_watcher_aborts_on_the_server() -> None:
    def fail(progress: Progress) -> None:
        raise ZeroDivisionError

    with StubServer(Behaviour(token_delay_s=0.01)) as stub:
        engine = await attach(stub)
        with pytest.raises(ZeroDivisionError):
            await engine.generate(request(max_tokens=1000, stream=True), fail)
        await engine.close()
        assert stub.aborted == 1
        while stub.running:  # until its next token
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_context_that_is_too_long_is_told_with_its_numbers(
    stub: StubServer, engine: SGLangEngine, stream: bool
) -> None:
    with pytest.raises(ContextTooLong) as caught:
        await engine.generate(request(prompt=2000, max_tokens=100, stream=stream))
    assert (
        caught.value.message
        == "2100 tokens (prompt 2000, max_tokens 100) do not fit the model's context of 2048 tokens"
    )
    assert not caught.value.retryable


async def test_a_refusal_inside_a_stream_is_an_error(stub: StubServer, engine: SGLangEngine) -> None:
    message = "Input length (3000 tokens) exceeds the maximum allowed length (2042 tokens). Use a shorter input"
    stub.faults.append(Fault("error_event", status=400, message=message))
    with pytest.raises(ContextTooLong, match="3000 tokens"):
        await engine.generate(request(stream=True))


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_passing_failures_may_be_retried(stub: StubServer, engine: SGLangEngine, status: int) -> None:
    stub.faults.append(Fault("status", status=status, message="busy", headers={"Retry-After": "2.5"}))
    with pytest.raises(RequestFailed, match=f"{status}: busy") as caught:
        await engine.generate(request())
    assert caught.value.retryable
    assert caught.value.retry_after_s == 2.5
    assert (await engine.generate(request())).completion_tokens == 5


@pytest.mark.parametrize(("status", "hint"), [(400, ""), (401, "API key"), (404, "SGLang"), (422, "")])
async def test_lasting_refusals_may_not(stub: StubServer, engine: SGLangEngine, status: int, hint: str) -> None:
    stub.faults.append(Fault("status", status=status))
    with pytest.raises(RequestRefused) as caught:
        await engine.generate(request())
    assert not caught.value.retryable
    assert hint in caught.value.hint


@pytest.mark.parametrize("stream", [False, True])
async def test_broken_answers_fail_the_request_only(stub: StubServer, engine: SGLangEngine, stream: bool) -> None:
    for fault in (Fault("malformed"), Fault("drop"), Fault("cut", after_tokens=2)):
        stub.faults.append(fault)
        with pytest.raises(RequestFailed):
            await engine.generate(request(stream=stream))
    assert (await engine.generate(request(stream=stream))).finish == "length"


async def test_a_server_that_is_gone_is_unavailable(engine: SGLangEngine, stub: StubServer) -> None:
    nowhere = Connection(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(EngineUnavailable) as caught:
        await engine_info(nowhere)
    assert caught.value.retryable
    await nowhere.close()


async def test_a_death_is_explained_once_for_all_requests() -> None:
    looks: list[int] = []

    def explain() -> Death:
        looks.append(1)
        return Death(
            "the engine exited with code 1: memory ran out", "choose a smaller model", "out-of-memory", (), "x.log"
        )

    with StubServer(Behaviour(token_delay_s=0.05)) as stub:
        engine = await attach(stub, explain)
        requests = [request(f"r{number:04}", max_tokens=1000, stream=number % 2 == 0) for number in range(40)]
        running = [asyncio.create_task(engine.generate(item)) for item in requests]
        await asyncio.sleep(0.3)
    errors = await asyncio.wait_for(asyncio.gather(*running, return_exceptions=True), 20)
    assert all(isinstance(error, EngineUnavailable) and "memory ran out" in error.message for error in errors)
    assert len(looks) == 1
    await engine.close()


async def test_a_request_id_is_in_flight_once(stub: StubServer) -> None:
    stub.behaviour.token_delay_s = 0.01
    engine = await attach(stub)
    running = asyncio.create_task(engine.generate(request(max_tokens=20)))
    await asyncio.sleep(0.05)
    with pytest.raises(EngineError, match="already in flight"):
        await engine.generate(request(max_tokens=20))
    assert (await running).finish == "length"
    await engine.close()


async def test_hundreds_of_requests_at_once_do_not_block_an_abort() -> None:
    with StubServer(Behaviour(token_delay_s=1.0)) as stub:
        engine = await attach(stub)
        requests = [request(f"r{number:04}", max_tokens=200, seed=number) for number in range(500)]
        running = [asyncio.create_task(engine.generate(item)) for item in requests]
        while len(stub.running) < 500:
            await asyncio.sleep(0.05)
        began = time.monotonic()
        await engine.abort([item.request_id for item in requests])
        results = await asyncio.wait_for(asyncio.gather(*running), 100)
        took = time.monotonic() - began
        await engine.close()
    assert {result.finish for result in results} == {"abort"}
    assert stub.peak_running == 500
    assert took < 60  # to their ends they would take 200 s


async def test_counters_are_read(stub: StubServer, engine: SGLangEngine) -> None:
    counters = await engine.counters()
    assert counters["sglang:num_running_reqs"] == 0.0
    assert counters["sglang:num_aborted_requests_total"] == 0.0
    await engine.flush_cache()
    assert stub.flushed == 1


async def test_what_a_server_says_of_itself(engine: SGLangEngine) -> None:
    assert engine.info.model == "stub/model"
    assert engine.info.context_tokens == 2048
    assert engine.info.seeds_honoured
    assert engine.info.device == "cpu"
    assert engine.info.details["sglang"] == "0.5.23"


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ({}, False),
        ({"enable_deterministic_inference": False, "device": "cuda"}, False),
        ({"enable_deterministic_inference": True, "device": "cuda", "dtype": "bfloat16"}, True),
        ({"enable_deterministic_inference": True, "device": "cpu", "dtype": "bfloat16"}, False),
        ({"enable_deterministic_inference": True, "device": "cpu", "dtype": "float32"}, True),
    ],
)
def test_when_seeds_are_honoured(server: dict[str, object], expected: bool) -> None:
    assert seeds_honoured(server)[0] is expected


async def test_a_router_without_server_info_is_accepted() -> None:
    with StubServer(Behaviour(server_info=False)) as stub:
        engine = await attach(stub)
        assert not engine.info.seeds_honoured
        assert engine.info.context_tokens == 2048
        await engine.close()


async def test_connecting_without_a_tokenizer_names_the_way_out(
    stub: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ttsc.backends.sglang.tokenizer._from_hub", lambda name: None)
    with pytest.raises(EngineError) as caught:
        await SGLangEngine.connect(stub.url)
    assert "--tokenizer PATH" in caught.value.hint
