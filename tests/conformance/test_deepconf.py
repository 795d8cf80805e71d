"""DeepConf (Fu et al. 2025, arXiv 2508.15260): confidences, bars, and traces that are stopped.

Definitions, from the paper and its code: C_i = -mean(log p of the 20 most probable tokens); a group is the mean of a
full window; min_conf the least group, or the mean of all of a trace that is shorter; bottom the mean of the lowest
tenth of the groups, at least one; the bar percentile(min_conf, 100 - p), by linear interpolation.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ttsc
from ttsc.backends.protocol import GenerateRequest, RequestRefused, Sampling, confidence
from ttsc.backends.scripted import ScriptedEngine
from ttsc.backends.scripted.tokenizer import ScriptedTokenizer
from ttsc.backends.sglang.confidence import OriginalFigures
from ttsc.backends.sglang.stream import Decoded
from ttsc.compiler.values.pure import evaluate
from ttsc.runtime.bars import Bar
from ttsc.runtime.events import RequestEnded
from ttsc.runtime.session import Session

LOOK = """
prompt put(q: str) { user "{{ q }}" }
program look(q: str, n: int = 6, bar: float = 5.0, window: int = 3) -> list[str] {
    return put(q)
        |> sample(n, stop_below=bar, window=window, max_tokens=16)
        |> each(c => c.finish + " " + to_str(c.tokens) + " " + to_str(length(c.confidences)) + " " + c.text)
}
"""
CONFIDENCES = st.lists(st.sampled_from([0.25, 1.0, 4.0, 5.0, 6.0, 9.75]), min_size=1, max_size=12)


# --- figures ---------------------------------------------------------------------------------------------------------


def test_a_token_is_as_confident_as_its_most_probable_tokens_are_improbable() -> None:
    half = [math.log(0.5), math.log(0.25), math.log(0.25)]
    assert confidence(half) == pytest.approx(5 * math.log(2) / 3)
    flat, sharp = [math.log(1 / 20)] * 20, [math.log(0.99), *[math.log(0.01 / 19)] * 19]
    assert confidence(flat) == pytest.approx(math.log(20))  # the least there is
    assert confidence(sharp) > confidence(flat)


def test_windows_are_the_means_that_exact_arithmetic_gives() -> None:
    chance = random.Random(3)
    values = [chance.choice([0.1, 1e-9, 3e7, 11.3]) * chance.random() for _ in range(60)]
    for size in (1, 2, 7, 60):
        exact = [
            float(sum(map(Fraction, values[begin : begin + size])) / size) for begin in range(len(values) - size + 1)
        ]
        assert list(evaluate("windows", "", (tuple(values), size))) == exact  # type: ignore[call-overload]
    (whole,) = evaluate("windows", "", (tuple(values), 61))  # type: ignore[misc]
    assert whole == float(sum(map(Fraction, values)) / len(values))


def test_the_bottom_is_a_tenth_of_the_windows_but_at_least_one() -> None:
    for count, lowest in ((1, 1), (9, 1), (10, 1), (19, 1), (20, 2), (35, 3)):
        values = tuple(float(each) for each in range(count, 0, -1))
        assert evaluate("lowest", "", (values, 0.1)) == tuple(float(each) for each in range(1, lowest + 1))


def test_the_bar_is_a_percentile_by_linear_interpolation() -> None:
    values = (3.0, 1.0, 7.0, 2.0, 5.0)
    assert evaluate("quantile", "", (values, 0.9)) == pytest.approx(5 + 0.6 * (7 - 5))  # place 3.6 of 1 2 3 5 7
    deciles = quantiles(values, n=10, method="inclusive")
    for place, expected in enumerate(deciles, 1):
        assert evaluate("quantile", "", (values, place / 10)) == pytest.approx(expected)


# --- the online rule -------------------------------------------------------------------------------------------------


def text(confidences: Sequence[float]) -> str:
    """A reply with as many tokens, the last of them the end of the turn."""
    return "." * (len(confidences) - 1)


def engine(traces: Sequence[Sequence[float]], jitter_seed: int | None, **more: Any) -> ScriptedEngine:
    """An engine that says each trace for one seed, in the order in which it was asked first."""
    given: dict[int, Sequence[float]] = {}
    turns = itertools.count()
    replies: list[Sequence[float]] = list(traces)

    def reply(prompt: str, seed: int, sampling: Sampling) -> str:
        given.setdefault(seed, replies[next(turns) % len(replies)])
        lengths[text(given[seed])] = given[seed]
        return text(given[seed])

    lengths: dict[str, Sequence[float]] = {}

    def sure(before: str, span: str) -> Sequence[float]:
        return lengths[span.replace("<|end|>", "")]

    jitter = {} if jitter_seed is None else {"jitter": 0.5, "jitter_seed": jitter_seed}
    return ScriptedEngine(reply, confidences=sure, **jitter, **more)  # type: ignore[arg-type]


def scanned(confidences: Sequence[float], bar: float, window: int) -> tuple[str, int]:
    """How a trace ends, and with how many tokens: looking at it as a whole, with exact fractions."""
    for end in range(window, len(confidences)):  # the token that ends the turn is beyond stopping
        if sum(map(Fraction, confidences[end - window : end])) / window < Fraction(bar):
            return "below", end
    return "eos", len(confidences)


@settings(max_examples=20, deadline=None)
@given(
    traces=st.lists(CONFIDENCES, min_size=1, max_size=5, unique_by=len),
    bar=st.sampled_from([1.0, 4.5, 5.0, 20.0]),
    window=st.integers(1, 4),
    jitter_seed=st.integers(0, 99),
)
def test_a_trace_is_stopped_where_a_scan_of_the_whole_trace_says(
    traces: list[list[float]], bar: float, window: int, jitter_seed: int
) -> None:
    values = {"q": "?", "n": len(traces), "bar": bar, "window": window}
    expected = [
        f"{finish} {tokens} {tokens} {text(trace)[:tokens]}"
        for trace, (finish, tokens) in ((trace, scanned(trace, bar, window)) for trace in traces)
    ]
    for level, seed in ((0, None), (2, None), (2, jitter_seed)):
        found = PROGRAMS[level].run(engine=engine(traces, None if level == 0 else seed), **values)
        assert found.value == expected
        assert found.usage.aborted == sum(each.startswith("below") for each in expected)


def test_a_trace_is_looked_at_eight_times_in_a_window() -> None:
    """Each report costs a server time; an eighth of a window more is decoded at most."""
    assert [Bar(1.0, window).every for window in (1, 8, 16, 100, 2048)] == [1, 1, 2, 12, 256]
    assert all(8 * Bar(1.0, window).every <= max(8, window) for window in range(1, 300))


PROGRAMS: dict[int, ttsc.CompiledProgram] = {
    level: ttsc.compile(LOOK, level=level)  # type: ignore[arg-type]
    for level in (0, 2)
}
LONG = (8.0, 8.0, 1.0, 1.0, 1.0, *[8.0] * 10)


def test_a_stop_is_an_abort_and_what_came_after_it_is_cut_off_and_paid() -> None:
    events: list[Any] = []
    on = engine([LONG], None)
    result = PROGRAMS[2].run(q="?", n=1, engine=on, on_event=events.append)
    assert result.value == ["below 4 4 ...."]  # 8 1 1 is the first window of less than 5
    (ended,) = [event for event in events if isinstance(event, RequestEnded)]
    assert on.abort_calls == [(ended.request_id,)]
    assert (ended.finish, ended.seen_tokens, len(ended.output_ids)) == ("below", 4, 4)
    assert ended.decision == "the mean confidence of 3 tokens is 3.33333 at token 4, below 5"
    assert 4 <= ended.completion_tokens < len(LONG)
    assert result.usage.decoded_tokens == ended.completion_tokens
    assert result.usage.lost_tokens == ended.completion_tokens - 4


@pytest.mark.parametrize("logprobs", [False, True])
def test_a_stop_that_the_engine_never_confirms_is_asked_for_once(
    logprobs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was reported is all of a stopped trace, unless the log-probabilities of its tokens are wanted too."""
    events: list[Any] = []
    trace = (8.0, 8.0, 1.0, 1.0, 1.0, *[8.0] * 5000)
    on = engine([trace], None, step_s=0.001, context_tokens=10**6)
    asked: list[Sequence[str]] = []

    async def deaf(request_ids: Sequence[str]) -> None:
        asked.append(request_ids)
        if logprobs and len(asked) > 1:
            await ScriptedEngine.abort(on, request_ids)

    monkeypatch.setattr(on, "abort", deaf)
    monkeypatch.setattr("ttsc.program.Session", partial(Session, abort_timeout_s=0.1))
    figures = ' + " " + to_str(length(c.logprobs))' if logprobs else ""
    program = ttsc.compile(
        LOOK.replace("max_tokens=16", "max_tokens=9000").replace(" + c.text)", f" + c.text{figures})")
    )
    result = program.run(q="?", n=1, engine=on, on_event=events.append)
    assert result.value == ["below 4 4 ...." + (" 4" if logprobs else "")]
    ends = [event for event in events if isinstance(event, RequestEnded)]
    assert [each.finish for each in ends] == (["abort", "below"] if logprobs else ["below"])
    assert ends[0].completion_tokens >= 4
    assert result.usage.requests == len(on.records) == len(ends)


def test_nothing_is_asked_for_where_nobody_reads_it() -> None:
    source = 'prompt put(q: str) { user "{{ q }}" }\nprogram p(q: str) -> list[str] { return put(q) |> sample(2%s) }'
    for options, reads, expected in (
        ("", "", 0),
        (", top_logprobs=5", "", 0),
        ("", " |> filter(c => length(c.confidences) > 0)", 20),
        (", top_logprobs=5", " |> filter(c => length(c.confidences) > 0)", 5),
        (", top_logprobs=5, stop_below=1.0", "", 5),
    ):
        on = ScriptedEngine({"": ["a b"]})
        text = (source % options).replace(" }\n", " }\n", 1)[: -len(" }")] + reads + " |> text }"
        ttsc.compile(text).run(q="?", engine=on)
        assert [record.request.confidences for record in on.records] == [expected] * 2


def test_a_journal_and_a_replay_give_the_stopped_trace_again(tmp_path: Path) -> None:
    tokenizer, path = ScriptedTokenizer(), tmp_path / "journal"

    async def scenario() -> None:
        first = engine([LONG], None, tokenizer=tokenizer)
        values = {"q": "?", "n": 2}
        results = [each async for each in PROGRAMS[2].amap([values], engine=first, journal=path)]
        silent = ScriptedEngine({}, tokenizer=tokenizer)
        again = [each async for each in PROGRAMS[2].amap([values], engine=silent, journal=path)]
        assert [each.value for each in again] == [each.value for each in results]
        assert not silent.records

    asyncio.run(scenario())
    trace = tmp_path / "trace"
    result = PROGRAMS[2].run(q="?", n=2, engine=engine([LONG], 5), trace=trace)
    (replayed,) = ttsc.replay(trace)
    assert replayed.value == result.value == ["below 4 4 ...."] * 2


# --- SGLang ----------------------------------------------------------------------------------------------------------


def test_the_servers_most_probable_tokens_make_confidences_whatever_the_events() -> None:
    tops = [
        [[-0.5, 1, None], [-1.5, 2, None]],
        [[-1.0, 1, None], [-3.0, 2, None]],
        [[-0.25, 1, None], [-0.75, 2, None]],
    ]
    for parts in ([(0, 3)], [(0, 1), (0, 3)], [(0, 1), (1, 3)]):
        decoded = Decoded()
        for begin, end in parts:
            meta = {"completion_tokens": end, "output_top_logprobs": tops[begin:end]}
            decoded.add({"output_ids": [7, 8, 9][begin:end], "meta_info": meta})
        assert (decoded.confidences, decoded.widths) == ([1.0, 2.0, 0.5], {2})


@pytest.mark.parametrize(
    ("original", "temperature", "refused"), [(True, 0.6, False), (False, 0.6, True), (False, 1, False)]
)
def test_a_server_that_tells_tempered_figures_is_refused(original: bool, temperature: float, refused: bool) -> None:
    asked: list[Any] = []

    async def ask(body: dict[str, Any]) -> dict[str, Any]:
        asked.append(body)
        hot = 1 if original else body["sampling_params"]["temperature"]
        return {"meta_info": {"output_top_logprobs": [[[-1.0 / hot, 1, None], [-2.0 / hot, 2, None]]]}}

    figures = OriginalFigures("http://here", ask, 26)
    request = GenerateRequest("r", (1, 2), Sampling(8, temperature), confidences=20)

    async def scenario() -> None:
        for _ in range(2):
            if refused:
                with pytest.raises(RequestRefused, match="at the temperature of the request"):
                    await figures.require(request)
            else:
                await figures.require(request)

    asyncio.run(scenario())
    assert len(asked) == (0 if temperature == 1 else 2), "once for all requests"


def test_no_more_tokens_than_the_model_has() -> None:
    async def ask(body: dict[str, Any]) -> dict[str, Any]:
        raise AssertionError("nothing is asked")

    request = GenerateRequest("r", (1, 2), Sampling(8), confidences=27)
    with pytest.raises(RequestRefused, match="the model has 26"):
        asyncio.run(OriginalFigures("http://here", ask, 26).require(request))
