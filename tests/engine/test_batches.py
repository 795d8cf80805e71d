"""Batches of scores on a real SGLang, and what it says of its load: a batch answers what single requests answer."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import replace

import pytest

from ttsc.backends.protocol import (
    ContextTooLong,
    GenerateRequest,
    Sampling,
    Scored,
    ScoreRequest,
    Turn,
)
from ttsc.backends.sglang.client import SGLangEngine

pytestmark = pytest.mark.timeout(900)

_numbers = itertools.count()
_run = f"{time.time_ns():x}"


def rid() -> str:
    return f"batch-{_run}-{next(_numbers):06}"


def span(engine: SGLangEngine, text: str, answer: str) -> tuple[tuple[int, ...], int]:
    ids = engine.tokenizer.chat_ids([Turn("user", f"{text} {_run}")])
    return (*ids, *engine.tokenizer.encode(answer)), len(ids)


async def test_scores_in_a_batch_are_those_of_single_requests(engine: SGLangEngine) -> None:
    spans = [span(engine, f"Question {number}", f"Answer {number} is {'long ' * number}") for number in range(6)]
    posts: list[int] = []
    together = engine._batches._together

    async def counted(batch: object) -> None:
        posts.append(len(batch))  # type: ignore[arg-type]
        await together(batch)  # type: ignore[arg-type]

    engine._batches._together = counted  # type: ignore[assignment,method-assign]
    batch = await asyncio.gather(*(engine.score(ScoreRequest(rid(), ids, start)) for ids, start in spans))
    assert posts == [6]
    alone = [await engine.score(ScoreRequest(rid(), ids, start)) for ids, start in spans]
    assert posts == [6]
    for one, other, (ids, start) in zip(batch, alone, spans, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        assert one.prompt_tokens == other.prompt_tokens == len(ids)
        # The second time everything before the span is in the cache, but for the id whose output scores its first.
        assert other.cached_tokens == start - 1
    assert batch[0].cached_tokens <= spans[0][1] - 1
    warm = await asyncio.gather(*(engine.score(ScoreRequest(rid(), ids, start)) for ids, start in spans))
    assert [each.cached_tokens for each in warm] == [start - 1 for _ids, start in spans]
    assert posts == [6, 6]


async def test_only_the_wrong_one_of_a_batch_fails(engine: SGLangEngine) -> None:
    """Its client believes that the context is longer than it is, else it would not put it into a batch."""
    ids, start = span(engine, "Which is it?", "That one.")
    limit = engine.info.context_tokens
    engine._batches._most_tokens = 10 * limit
    engine._batches._info = replace(engine.info, context_tokens=10 * limit)
    wrong = tuple([5] * (limit + 100))
    requests = [ScoreRequest(rid(), ids, start), ScoreRequest(rid(), wrong, limit), ScoreRequest(rid(), ids, start + 1)]
    found = await asyncio.gather(*(engine.score(request) for request in requests), return_exceptions=True)
    assert [type(each) for each in found] == [Scored, ContextTooLong, Scored]


async def test_one_of_a_batch_that_is_cancelled_leaves_the_others(engine: SGLangEngine) -> None:
    requests = [
        ScoreRequest(rid(), *span(engine, f"Tell me of {number}. " + "Please do. " * 40, "No.")) for number in range(4)
    ]
    tasks = [asyncio.create_task(engine.score(request)) for request in requests]
    await asyncio.sleep(0.05)
    tasks[1].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[1], asyncio.CancelledError)
    assert all(isinstance(each, Scored) for place, each in enumerate(found) if place != 1)


async def test_the_load_is_what_is_under_way(engine: SGLangEngine) -> None:
    assert engine.info.kv_tokens is not None and engine.info.kv_tokens >= engine.info.context_tokens
    assert engine.info.max_running is not None and engine.info.max_running > 0
    ids = tuple(engine.tokenizer.chat_ids([Turn("user", "Write a very long story.")]))
    sampling = Sampling(max_tokens=1500, temperature=1.0, ignore_eos=True)
    requests = [GenerateRequest(rid(), ids, sampling) for _ in range(3)]
    running = [asyncio.create_task(engine.generate(request)) for request in requests]
    deadline = time.monotonic() + 120
    most = 0
    while most < 3 and time.monotonic() < deadline:
        load = await engine.load()
        assert load is not None
        assert 0.0 <= load.kv_used <= 1.0
        most = max(most, load.running)
        await asyncio.sleep(0.2)
    await engine.abort([request.request_id for request in requests])
    assert {result.finish for result in await asyncio.gather(*running)} == {"abort"}
    assert most >= 3
    while (load := await engine.load()) is not None and load.running:
        assert time.monotonic() < deadline, "the load of an idle server is not 0"
        await asyncio.sleep(0.2)
