"""One simulated server: its timeline against timelines computed by hand, its counts against what was asked.

The machine of these tests takes 0.5 s for a prompt token and 1 s for a decode step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated import LIMITS, Linear, engine, request

from ttsc.backends.protocol import (
    Completion,
    ContextTooLong,
    Embedded,
    EmbedRequest,
    EngineError,
    Progress,
    RequestRefused,
    Rewarded,
    RewardRequest,
    Scored,
    ScoreRequest,
)
from ttsc.backends.protocol import GenerateRequest as Request
from ttsc.backends.simulator.engine import SimulatedEngine
from ttsc.backends.simulator.server import steps_within
from ttsc.compiler.cost.steps import DecodeStep, Overheads
from ttsc.runtime.virtual_time import run_in_virtual_time

Ended = tuple[Completion, float]


async def timed(simulated: SimulatedEngine, asked: Request, at: float = 0.0) -> Ended:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(at)
    return await simulated.generate(asked), loop.time()


def ran(simulated: SimulatedEngine, *asked: tuple[Request, float]) -> list[Ended]:
    """Requests sent at these times; their answers, and when they came."""

    async def scenario() -> list[Ended]:
        return list(await asyncio.gather(*(timed(simulated, one, at) for one, at in asked)))

    return run_in_virtual_time(scenario())


def times(ended: Sequence[Ended]) -> list[Any]:
    return [pytest.approx(at, abs=1e-5) for _, at in ended]


def test_a_request_takes_its_prefill_and_a_step_for_each_token_after_the_first() -> None:
    simulated = engine(4)
    (ended,) = ran(simulated, (request(1, range(10, 20)), 0))
    assert times([ended]) == [10 * 0.5 + 3 * 1]
    assert (ended[0].prompt_tokens, ended[0].cached_tokens, ended[0].completion_tokens) == (10, 0, 4)
    assert ended[0].finish == "eos" and len(ended[0].output_ids) == 4


def test_requests_of_one_instant_are_one_batch() -> None:
    ended = ran(engine(4), (request(1, range(10, 20)), 0), (request(2, range(30, 40)), 0))
    assert times(ended) == [10 + 3, 10 + 3]


def test_an_arrival_waits_for_the_end_of_the_step_and_stalls_decoding() -> None:
    # 1: prefill to 5, tokens at 6, 7 (the second arrives at 6.5), then stands still for the prefill until 9.
    ended = ran(engine(lambda r: 5), (request(1, range(10, 20)), 0), (request(2, range(30, 34)), 6.5))
    assert times(ended) == [5 + 2 + 2 + 2, 9 + 4]


def test_an_arrival_while_a_prompt_is_computed_is_in_the_next_prefill() -> None:
    ended = ran(engine(2), (request(1, range(10, 20)), 0), (request(2, range(30, 34)), 1), (request(3, [9]), 2))
    assert times(ended) == [5 + 2.5 + 1] * 3


def test_what_was_computed_is_not_computed_again() -> None:
    simulated = engine(3)
    prompt = tuple(range(10, 20))
    (first,) = ran(simulated, (request(1, prompt), 0))
    again, longer = ran(simulated, (request(2, prompt), 0), (request(3, (*prompt, *first[0].output_ids, 77, 78)), 100))
    assert again[0].cached_tokens == 9  # the last token of a prompt is always computed
    # The token that was decoded last has never been read: its keys and values are not there.
    assert longer[0].cached_tokens == 10 + 2
    assert longer[0].prompt_tokens == 15


def test_cold_copies_in_one_batch_are_computed_as_often_as_they_are() -> None:
    prompt = tuple(range(10, 20))
    simulated = engine(3)
    ended = ran(simulated, *((request(number, prompt), 0) for number in range(4)))
    assert [each.cached_tokens for each, _ in ended] == [0, 0, 0, 0]
    assert simulated.served.computed_tokens == 40
    (later,) = ran(simulated, (request(9, (*prompt, 3, 4)), 0))
    assert later[0].cached_tokens == 10


def test_prefixes_are_shared_in_whole_pages() -> None:
    simulated = engine(3, limits=replace(LIMITS, page_tokens=4))
    prompt = tuple(range(100, 110))
    ran(simulated, (request(1, prompt), 0))
    (again,) = ran(simulated, (request(2, (*prompt, 5, 6)), 0))
    assert again[0].cached_tokens == 8


def test_a_long_prompt_goes_in_chunks_and_nobody_decodes_meanwhile() -> None:
    # The budget of a batch is 8 tokens: 20 take three of them; the last leaves room for 4 of the second request.
    limits = replace(LIMITS, chunk_tokens=8)
    simulated = engine(2, limits=limits, steps=Linear(start=1.0))
    ended = ran(simulated, (request(1, range(100, 120)), 0), (request(2, range(30, 34)), 0))
    assert simulated.served.prefill_batches == 3
    assert times(ended) == [3 * 1 + 24 * 0.5 + 1] * 2


def test_no_more_decode_at_once_than_the_limit() -> None:
    limits = replace(LIMITS, running=2)
    ended = ran(engine(3, limits=limits), *((request(number, [number + 10, 7]), 0) for number in range(3)))
    # Two: prefill to 2, two steps to 4. The third after them: prefill to 5, two steps.
    assert times(ended) == [4, 4, 7]


def test_decoding_takes_longer_the_more_there_is_to_read() -> None:
    simulated = engine(4, steps=Linear(fixed=1.0, row=0.25, context=0.01, token=0.5))
    (ended,) = ran(simulated, (request(1, range(10, 20)), 0))
    assert times([ended]) == [5 + 3 * 1.25 + 0.01 * (11 + 12 + 13)]
    assert simulated.served.context == 11 + 12 + 13


@pytest.mark.parametrize(("at", "tokens"), [(2.0, 2), (5.5, 3), (6.5, 4), (7.999, 5)])
def test_an_abort_takes_one_more_step(at: float, tokens: int) -> None:
    simulated = engine(50)

    async def scenario() -> Ended:
        running = asyncio.ensure_future(timed(simulated, request(1, range(10, 20))))
        await asyncio.sleep(at)
        await simulated.abort(["r0001"])
        return await running

    ended = run_in_virtual_time(scenario())
    completion, _ = ended
    # One token at 5, 6, 7, …; the abort is seen at the end of the step it comes in.
    assert (completion.finish, completion.completion_tokens) == ("abort", tokens)
    assert times([ended]) == [4 + tokens]
    assert len(completion.output_ids) == tokens and simulated.served.decoded_tokens == tokens


def test_what_an_aborted_request_decoded_is_cached() -> None:
    simulated = engine(50)

    async def scenario() -> tuple[Completion, Completion]:
        running = asyncio.ensure_future(simulated.generate(request(1, range(10, 20))))
        await asyncio.sleep(7.5)
        await simulated.abort(["r0001"])
        lost = await running
        after = await simulated.generate(request(2, (*range(10, 20), *lost.output_ids, 7)))
        return lost, after

    lost, after = run_in_virtual_time(scenario())
    assert after.cached_tokens == 10 + lost.completion_tokens - 1


def test_an_abort_of_what_waits_costs_nothing() -> None:
    simulated = engine(6, limits=replace(LIMITS, running=1))

    async def scenario() -> tuple[Ended, Ended]:
        first = asyncio.ensure_future(timed(simulated, request(1, range(10, 20))))
        second = asyncio.ensure_future(timed(simulated, request(2, range(40, 50))))
        await asyncio.sleep(6.25)
        await simulated.abort(["r0002"])
        return await first, await second

    first, second = run_in_virtual_time(scenario())
    assert (second[0].finish, second[0].prompt_tokens, second[0].completion_tokens) == ("abort", 0, 0)
    assert times([first, second]) == [10, 7]
    assert simulated.served.computed_tokens == 10


def test_an_abort_amid_a_long_prompt_keeps_what_was_computed() -> None:
    simulated = engine(4, limits=replace(LIMITS, chunk_tokens=8))

    async def scenario() -> tuple[Ended, Completion]:
        running = asyncio.ensure_future(timed(simulated, request(1, range(100, 140))))
        await asyncio.sleep(5.0)
        await simulated.abort(["r0001"])
        return await running, await simulated.generate(request(2, range(100, 140)))

    lost, again = run_in_virtual_time(scenario())
    assert times([lost]) == [8]
    assert (lost[0].finish, lost[0].prompt_tokens, lost[0].completion_tokens) == ("abort", 16, 0)
    assert again.cached_tokens == 16


def test_cancelling_the_task_aborts() -> None:
    simulated = engine(1000)

    async def scenario() -> float:
        running = asyncio.ensure_future(simulated.generate(request(1, range(10, 20), most=2000)))
        await asyncio.sleep(7.5)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await asyncio.sleep(100)
        return simulated.served.decode_s

    assert run_in_virtual_time(scenario()) == 4.0  # tokens at 5, 6, 7, 8, and 9
    assert simulated.served.aborted == 1


def test_progress_comes_with_each_token_to_those_who_stream() -> None:
    simulated = engine(4)
    seen: list[tuple[str, int, float]] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()

        def note(report: Progress) -> None:
            seen.append((report.request_id, report.tokens, round(loop.time(), 3)))

        await asyncio.gather(
            simulated.generate(request(1, [1, 2], stream=True), note),
            simulated.generate(request(2, [3, 4], first_token=True), note),
            simulated.generate(request(3, [5, 6]), note),
        )

    run_in_virtual_time(scenario())
    assert [each for each in seen if each[0] == "r0001"] == [("r0001", tokens, tokens + 2.0) for tokens in (1, 2, 3, 4)]
    assert [each for each in seen if each[0] == "r0002"] == [("r0002", 1, 3.0)]
    assert not [each for each in seen if each[0] == "r0003"]


def test_admission_keeps_memory_for_what_running_requests_may_still_decode() -> None:
    # 100 tokens of memory. The first may decode 80 and is reserved 0.7 of the 79 that are left of it: 55.3. With its
    # own 10 that leaves 34 for the second, which may need 10 + 30 + 1. It waits until the first has ended.
    limits = replace(LIMITS, kv_tokens=100)
    first, second = request(1, range(10, 20), most=80), request(2, range(30, 40), most=30)
    shorter = request(2, range(30, 40), most=10)
    ended = ran(engine(5, limits=limits), (first, 0), (second, 5.5))
    assert times(ended) == [5 + 4, 9 + 5 + 4]
    ended = ran(engine(5, limits=limits), (first, 0), (shorter, 5.5))
    assert times(ended) == [5 + 1 + 5 + 3, 6 + 5 + 4]


def test_a_request_that_cannot_end_early_is_reserved_all_of_it() -> None:
    limits = replace(LIMITS, kv_tokens=100)
    first = request(1, range(10, 20), most=60, ignore_eos=True)
    second = request(2, range(30, 40), most=20)
    ended = ran(engine(lambda r: r.sampling.max_tokens, limits=limits), (first, 0), (second, 5.5))
    assert times(ended)[0] == 5 + 59
    ended = ran(
        engine(lambda r: r.sampling.max_tokens, limits=limits),
        (replace(first, sampling=replace(first.sampling, ignore_eos=False)), 0),
        (second, 5.5),
    )
    assert times(ended)[0] == 5 + 59 + 5  # it stood still for the other's prefill


def test_when_memory_is_full_a_sequence_is_taken_back_and_computed_again() -> None:
    # Of 160 tokens each may come to need 10 + 36. Three are admitted at once; beside them, of whose rest 0.7 is
    # reserved, the fourth is, too. After 30 steps, 4 * 40 tokens, memory is full, and one of them goes.
    simulated = engine(36, limits=replace(LIMITS, kv_tokens=160))
    asked = [(request(number, range(100 * number, 100 * number + 10), most=36), 0.0) for number in range(1, 5)]
    ended = ran(simulated, *asked)
    served = simulated.served
    assert (served.retractions, served.recomputed_tokens) == (1, 31)  # its prompt is still cached
    assert times(ended) == [15 + 5 + 30 + 5] * 3 + [55 + 15.5 + 4]
    assert [each.completion_tokens for each, _ in ended] == [36] * 4
    assert [(each.prompt_tokens, each.cached_tokens) for each, _ in ended] == [(10, 0)] * 4
    assert served.decoded_tokens == 4 * 36 and served.peak_kv == 160


def test_the_least_recently_used_goes_first() -> None:
    limits = replace(LIMITS, kv_tokens=100)
    simulated = engine(2, limits=limits)
    prompts = [tuple(range(100 * number, 100 * number + 30)) for number in range(1, 4)]
    for number, prompt in enumerate(prompts):
        ran(simulated, (request(number, prompt, most=4), 0))
    ran(simulated, (request(8, (*prompts[0], 7), most=4), 0))  # 91 tokens are cached; the first is used again
    ran(simulated, (request(9, range(900, 920), most=4), 0))
    cached = [ran(simulated, (request(20 + i, prompts[i], most=4), 0))[0][0].cached_tokens for i in (2, 0)]
    assert simulated.served.evicted_tokens > 0
    assert cached == [29, 29]
    assert simulated.served.peak_kv <= 100


def test_a_request_that_fits_no_memory_is_cut_to_it_and_one_whose_prompt_does_not_is_refused() -> None:
    limits = replace(LIMITS, kv_tokens=100, context_tokens=200)
    (ended,) = ran(engine(150, limits=limits), (request(1, range(10, 50), most=150), 0))
    assert (ended[0].finish, ended[0].matched, ended[0].completion_tokens) == ("length", None, 100 - 40 - 1 - 1)
    with pytest.raises(RequestRefused, match="memory of 100"):
        ran(engine(1, limits=limits), (request(1, range(150), most=4), 0))
    with pytest.raises(ContextTooLong, match="context of 200"):
        ran(engine(1, limits=limits), (request(1, range(150), most=51), 0))


def test_work_for_requests_is_done_one_after_the_other() -> None:
    overheads = Overheads(post_s=1.0, request_s=2.0, answer_s=4.0, round_trip_s=6.0)
    simulated = engine(2, overheads=overheads)
    first, second = ran(simulated, (request(1, [1, 2]), 0), (request(2, [3, 4]), 0))
    # One message: 1, then 2 for each, then half the way: both arrive at 8. Their prefill ends at 10, their step at 11.
    # Answers take 4 each, and come back together half the way.
    assert times([first, second]) == [11 + 8 + 3, 11 + 8 + 3]


def test_an_abort_travels_half_the_way() -> None:
    simulated = engine(50, overheads=Overheads(round_trip_s=2.0))

    async def scenario() -> Ended:
        running = asyncio.ensure_future(timed(simulated, request(1, [1, 2])))
        await asyncio.sleep(4.5)
        await simulated.abort(["r0001"])
        return await running

    ended = run_in_virtual_time(scenario())
    # There at 1, tokens at 2, 3, 4, 5; heard at 5.5, seen at 6, one more step, and back at 8.
    assert ended[0].completion_tokens == 6 and times([ended]) == [8]


def test_prompts_that_are_only_computed_take_no_step() -> None:
    simulated = engine(4)

    async def scenario() -> tuple[Scored, float, Rewarded, Embedded]:
        loop = asyncio.get_running_loop()
        await simulated.generate(request(1, range(10, 20)))
        before = loop.time()
        scored = await simulated.score(ScoreRequest("s1", tuple(range(10, 20)), 6))
        took = loop.time() - before
        rewarded = await simulated.reward(RewardRequest("w1", tuple(range(30, 34))))
        return scored, took, rewarded, await simulated.embed(EmbedRequest("e1", tuple(range(40, 44))))

    scored, took, rewarded, embedded = run_in_virtual_time(scenario())
    # A span from token 6 on has the one before it computed, too: 5 of 10 are cached.
    assert (len(scored.logprobs), scored.prompt_tokens, scored.cached_tokens) == (4, 10, 5)
    assert took == pytest.approx(2.5, abs=1e-5)
    assert (rewarded.values, rewarded.prompt_tokens) == ((4.0,), 4)
    assert (embedded.vector, embedded.prompt_tokens) == ((1.0, 0.0), 4)


def test_an_aborted_score_is_an_error() -> None:
    simulated = engine(4, limits=replace(LIMITS, running=1))

    async def scenario() -> None:
        running = asyncio.ensure_future(simulated.generate(request(1, range(10, 20))))
        await asyncio.sleep(0.5)
        scoring = asyncio.ensure_future(simulated.score(ScoreRequest("s1", tuple(range(10, 20)), 6)))
        await asyncio.sleep(0.5)
        await simulated.abort(["s1"])
        with pytest.raises(EngineError, match="aborted"):
            await scoring
        await running

    run_in_virtual_time(scenario())


def test_a_simulated_engine_outlives_an_event_loop_with_its_cache() -> None:
    simulated = engine(3)
    for number, cached in ((1, 0), (2, 9)):
        (ended,) = ran(simulated, (request(number, range(10, 20)), 0))
        assert ended[0].cached_tokens == cached


@given(
    st.floats(0, 10),
    st.floats(0, 1),
    st.integers(1, 50),
    st.integers(1, 5000),
    st.integers(1, 400),
    st.floats(0, 1e5),
)
def test_the_step_under_way_is_found_in_closed_form(
    fixed: float, context_s: float, rows: int, context: int, most: int, seconds: float
) -> None:
    step = DecodeStep(fixed, context_s)
    found = steps_within(step, rows, context, seconds, most)
    spans = [step.span(rows, context, steps) for steps in range(1, most + 1)]
    expected = next((steps for steps, span in enumerate(spans, 1) if span >= seconds), most)
    assert found == expected
