"""The client against a real SGLang: ids, streams, aborts, the prefix cache, seeds, limits, and deaths."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from ttsc.backends.protocol import Completion, ContextTooLong, GenerateRequest, Progress, Sampling, Turn
from ttsc.backends.sglang.client import SGLangEngine
from ttsc.backends.sglang.doctor import diagnose_server
from ttsc.backends.sglang.remote_tokenizer import RemoteTokenizer

pytestmark = pytest.mark.timeout(900)

_numbers = itertools.count()
_run = f"{time.time_ns():x}"
QUESTION = Turn("user", "What is 2+2? Answer in one sentence.")


def rid() -> str:
    return f"test-{_run}-{next(_numbers):06}"


def ask(
    ids: list[int], *, max_tokens: int = 16, temperature: float = 0.0, stream: bool = False, ignore_eos: bool = False
) -> GenerateRequest:
    sampling = Sampling(max_tokens=max_tokens, temperature=temperature, ignore_eos=ignore_eos)
    return GenerateRequest(rid(), tuple(ids), sampling, stream)


def seeded(ids: list[int], seed: int, max_tokens: int = 16) -> GenerateRequest:
    return GenerateRequest(
        rid(), tuple(ids), Sampling(max_tokens=max_tokens, temperature=1.0, seed=seed, ignore_eos=True)
    )


async def settled(engine: SGLangEngine, within_s: float = 60.0) -> dict[str, float]:
    """The server's counters once nothing runs any more."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        counters = await engine.counters()
        if counters["sglang:num_running_reqs"] == 0:
            return counters
        await asyncio.sleep(0.2)
    raise AssertionError("requests are still running")


async def test_tokens_come_back_by_ids(engine: SGLangEngine) -> None:
    ids = engine.tokenizer.chat_ids([QUESTION])
    result = await engine.generate(ask(ids, max_tokens=40))
    assert result.prompt_tokens == len(ids)
    assert result.completion_tokens == len(result.output_ids)
    assert "4" in engine.tokenizer.decode(result.output_ids)
    assert result.finish == "eos"
    assert result.matched in engine.tokenizer.eos_ids
    assert result.output_ids[-1] == result.matched
    assert result.server_latency_s is not None
    assert result.server_latency_s > 0


async def test_a_stream_brings_the_same_ids_piece_by_piece(engine: SGLangEngine) -> None:
    ids = engine.tokenizer.chat_ids([QUESTION])
    whole = await engine.generate(ask(ids))
    reports: list[Progress] = []
    streamed = await engine.generate(ask(ids, stream=True), reports.append)
    assert streamed.output_ids == whole.output_ids
    assert tuple(token for report in reports for token in report.new_ids) == whole.output_ids
    assert len(reports) > len(whole.output_ids) // 2
    assert reports[-1].tokens == len(whole.output_ids)


async def test_a_stream_at_intervals_brings_the_same_ids_and_confidences(engine: SGLangEngine) -> None:
    ids = tuple(engine.tokenizer.chat_ids([QUESTION]))
    sampling = Sampling(max_tokens=16, temperature=0.0, ignore_eos=True)
    each, rare = [GenerateRequest(rid(), ids, sampling, stream=True, confidences=20, every=every) for every in (1, 5)]
    often: list[Progress] = []
    seldom: list[Progress] = []
    whole, same = await engine.generate(each, often.append), await engine.generate(rare, seldom.append)
    assert same.output_ids == whole.output_ids
    assert same.confidences == pytest.approx(whole.confidences, rel=1e-4)
    assert tuple(token for report in seldom for token in report.new_ids) == whole.output_ids
    assert [c for report in seldom for c in report.confidences] == list(same.confidences or ())
    assert len(seldom) <= 5 < len(often), "the first token, then every five of sixteen"


async def test_stop_strings_stay_in_the_ids(engine: SGLangEngine) -> None:
    ids = engine.tokenizer.chat_ids([Turn("user", "Count from one to ten, one number a line.")])
    ids += engine.tokenizer.encode("1\n2\n")
    sampling = Sampling(max_tokens=40, temperature=0.0, stop=("\n",), ignore_eos=True)
    result = await engine.generate(GenerateRequest(rid(), tuple(ids), sampling))
    assert result.finish == "stop"
    assert result.matched == "\n"
    assert "\n" in engine.tokenizer.decode(result.output_ids)


async def test_no_tokens_at_all_warm_the_cache(engine: SGLangEngine) -> None:
    ids = engine.tokenizer.chat_ids([Turn("user", f"Nobody has asked {_run} before, have they?")])
    warm = await engine.generate(ask(ids, max_tokens=0))
    assert (warm.finish, warm.output_ids, warm.completion_tokens) == ("length", (), 0)
    assert (await engine.generate(ask(ids, max_tokens=1))).cached_tokens == len(ids) - 1


async def test_a_continuation_finds_its_parent_in_the_cache(engine: SGLangEngine) -> None:
    ids = engine.tokenizer.chat_ids([Turn("user", f"Tell me about the number {_run}.")])
    parent = await engine.generate(ask(ids, max_tokens=24))
    spoken = ids + list(parent.output_ids)
    child_ids = spoken + engine.tokenizer.extension_ids(parent.finish == "eos", [Turn("user", "Are you sure?")])
    child = await engine.generate(ask(child_ids, max_tokens=1))
    # The last sampled token was never fed to the model, so its keys and values are computed with the child's own.
    assert child.cached_tokens == len(spoken) - 1
    again = await engine.generate(ask(child_ids, max_tokens=1))
    assert again.cached_tokens == len(child_ids) - 1


async def test_equal_seeds_give_equal_tokens_whatever_the_batch(engine: SGLangEngine) -> None:
    assert engine.info.seeds_honoured, engine.info.details
    ids = engine.tokenizer.chat_ids([Turn("user", "Invent a name for a boat.")])
    alone = [(await engine.generate(seeded(ids, seed))).output_ids for seed in (1, 2, 3)]
    together: list[Completion] = await asyncio.gather(
        *(engine.generate(seeded(ids, seed)) for seed in (1, 2, 3, 1, 5, 6))
    )
    assert [result.output_ids for result in together[:4]] == [*alone, alone[0]]
    assert len({result.output_ids for result in together}) == 5


@pytest.mark.parametrize("stream", [True, False])
async def test_an_abort_stops_decoding_within_two_steps(engine: SGLangEngine, stream: bool) -> None:
    """A streaming abort is measured in decode steps: tokens seen when it was sent against tokens the server decoded.

    Where the processes wait for a core, the server may get further: one of five tries must keep to two steps.
    """
    late = []
    for _attempt in range(5):
        steps = await aborted_after(engine, stream)
        if steps <= 2:
            return
        late.append(steps)
    pytest.fail(f"decode steps after each of the aborts: {late}")


async def aborted_after(engine: SGLangEngine, stream: bool) -> int:
    """Abort a long request; the decode steps the server went on, 0 for one that did not stream."""
    before = await settled(engine)
    ids = engine.tokenizer.chat_ids([Turn("user", "Write a very long story.")])
    request = ask(ids, max_tokens=2000, stream=stream, ignore_eos=True)
    enough = asyncio.Event()
    seen = 0

    def watch(progress: Progress) -> None:
        nonlocal seen
        seen = progress.tokens
        if seen >= 12:
            enough.set()

    running = asyncio.create_task(engine.generate(request, watch if stream else None))
    if stream:
        await asyncio.wait_for(enough.wait(), 300)
    else:
        await asyncio.sleep(2.0)
    seen_at_abort = seen
    began = time.monotonic()
    await engine.abort([request.request_id])
    result = await asyncio.wait_for(running, 60)
    print(f"abort: {seen_at_abort} tokens seen, {result.completion_tokens} decoded, {time.monotonic() - began:.2f} s")
    assert result.finish == "abort"
    assert result.completion_tokens == len(result.output_ids)
    assert result.completion_tokens < 1000
    after = await settled(engine)
    name = "sglang:num_aborted_requests_total"
    assert after[name] - before.get(name, 0.0) == 1
    # What it decoded stays in the prefix cache.
    child = await engine.generate(ask(ids + list(result.output_ids), max_tokens=1))
    assert child.cached_tokens >= len(ids)
    return result.completion_tokens - seen_at_abort if stream else 0


async def test_an_abort_that_overtakes_its_request_arrives_all_the_same(engine: SGLangEngine) -> None:
    ids = engine.tokenizer.chat_ids([QUESTION])
    request = ask(ids, max_tokens=2000, ignore_eos=True)
    running = asyncio.create_task(engine.generate(request))
    await asyncio.sleep(0)
    await engine.abort([request.request_id])
    result = await asyncio.wait_for(running, 60)
    assert result.finish == "abort"
    await settled(engine)


async def test_a_cancelled_task_leaves_nothing_running(engine: SGLangEngine) -> None:
    ids = engine.tokenizer.chat_ids([QUESTION])
    running = asyncio.create_task(engine.generate(ask(ids, max_tokens=4000, ignore_eos=True)))
    await asyncio.sleep(1.5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await settled(engine, within_s=15)


async def test_a_queue_of_requests_is_aborted_at_once(engine: SGLangEngine) -> None:
    ids = engine.tokenizer.chat_ids([QUESTION])
    requests = [ask(ids, max_tokens=1500, temperature=1.0, ignore_eos=True) for _ in range(24)]
    running = [asyncio.create_task(engine.generate(request)) for request in requests]
    await asyncio.sleep(2.0)
    await engine.abort([request.request_id for request in requests])
    results = await asyncio.wait_for(asyncio.gather(*running), 120)
    assert {result.finish for result in results} == {"abort"}
    await settled(engine)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_context_that_is_too_long_is_told_with_its_numbers(engine: SGLangEngine, stream: bool) -> None:
    most = engine.info.context_tokens
    prompts: list[tuple[int, int]] = [(most - 10, 100), (most + 100, 10)]
    for length, max_tokens in prompts:
        with pytest.raises(ContextTooLong) as caught:
            await engine.generate(ask([5] * length, max_tokens=max_tokens, stream=stream))
        assert str(most) in caught.value.message


async def test_the_model_writes_the_ids_that_its_template_writes(engine: SGLangEngine) -> None:
    """An ended turn and its extension are, as text, what the template makes of the whole conversation."""
    tokenizer = engine.tokenizer
    ids = tokenizer.chat_ids([QUESTION])
    answer = await engine.generate(ask(ids, max_tokens=40))
    assert answer.finish == "eos"
    more = Turn("user", "And 3+3?")
    grown = ids + list(answer.output_ids) + tokenizer.extension_ids(True, [more])
    whole = tokenizer.chat_ids([QUESTION, Turn("assistant", tokenizer.decode(answer.output_ids)), more])
    assert tokenizer.decode(grown) == tokenizer.decode(whole)


async def test_the_servers_own_tokenizer_agrees_with_the_local_one(engine: SGLangEngine) -> None:
    remote = await asyncio.to_thread(RemoteTokenizer, engine.url)
    turns = [Turn("system", "Be brief."), QUESTION]
    assert await asyncio.to_thread(remote.chat_ids, turns) == engine.tokenizer.chat_ids(turns)
    for ended in (True, False):
        expected = engine.tokenizer.extension_ids(ended, [QUESTION])
        assert await asyncio.to_thread(remote.extension_ids, ended, [QUESTION]) == expected
    assert remote.eos_ids == engine.tokenizer.eos_ids
    assert remote.decode(engine.tokenizer.encode("two plus two")) == "two plus two"


async def test_the_doctor_finds_nothing_wrong(engine: SGLangEngine) -> None:
    checks = await diagnose_server(engine.url)
    assert {check.name: check.status for check in checks} == {
        "server": "ok",
        "server version": "ok",
        "tokenizer": "ok",
        "abilities": "ok",
        "seeds": "ok",
        "prefix cache": "ok",
        "metrics": "ok",
    }
