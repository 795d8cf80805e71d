"""Generations begin in waves: how many requests a vote makes, what waits and what is let go, and that nothing hangs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from executor_programs import Builder, run  # noqa: E402

import ttsc  # noqa: E402
from ttsc.backends.protocol import RequestFailed, Sampling  # noqa: E402
from ttsc.backends.scripted import ScriptedEngine  # noqa: E402
from ttsc.compiler.ir.nodes import Generate, Leading, Majority, Program, Sequential, Value  # noqa: E402
from ttsc.compiler.values.types import FLOAT, INT, POOL, ListOf  # noqa: E402
from ttsc.runtime.events import Decided, Event, RequestStarted  # noqa: E402
from ttsc.runtime.executor import run_plan  # noqa: E402
from ttsc.runtime.retries import RetryPolicy  # noqa: E402
from ttsc.runtime.session import Session  # noqa: E402

HEAD = 'prompt solve(q: str) { user "{{ q }}" }\n'


def saying(answers: str) -> Callable[[str, int, Sampling], str]:
    """The k-th candidate says the k-th letter: requests of one generation differ by their seeds alone."""
    seen: dict[int, int] = {}

    def reply(prompt: str, seed: int, sampling: Sampling) -> str:
        return answers[seen.setdefault(seed, len(seen)) % len(answers)]

    return reply


def vote(answers: str, arguments: str, n: int = 40, level: ttsc.Level = 2, **engine: Any) -> tuple[Any, list[Event]]:
    """A vote over candidates that say one letter each, and its events."""
    text = f"{HEAD}program p(q: str) -> str {{ return solve(q) |> sample({n}) |> vote(by=text, {arguments}) }}"
    events: list[Event] = []
    program = ttsc.compile(text, level=level)
    result = program.run(q="?", engine=ScriptedEngine(saying(answers), **engine), on_event=events.append)
    return result, events


def requests(events: list[Event]) -> int:
    return sum(isinstance(event, RequestStarted) for event in events)


def decided(events: list[Event]) -> Decided:
    return next(event for event in events if isinstance(event, Decided))


@pytest.mark.parametrize(
    ("answers", "arguments", "calls"),
    [
        ("a", "stop=adaptive", 4),
        ("ba", "stop=adaptive", 39),
        ("b" + "a" * 39, "stop=adaptive", 7),
        ("bab" + "a" * 37, "stop=adaptive", 10),
        ("a", "stop=adaptive, wave=3", 6),
        ("a", "stop=adaptive, wave=16", 16),
        ("a", "stop=adaptive, confidence=0.99", 6),
        ("a", "stop=esc", 5),
        ("ab" + "a" * 38, "stop=esc", 10),
        ("a", "stop=esc, window=3, wave=2", 4),
        ("a", "stop=sprt", 8),
        ("b" + "a" * 39, "stop=sprt", 10),
        ("a", "stop=sprt, share=0.75, confidence=0.9", 2),
        ("a", "stop=beta, wave=1", 4),
        ("a", "wave=8", 24),
        ("a", "wave=1", 20),
    ],
)  # fmt: skip
def test_how_many_requests_are_made(answers: str, arguments: str, calls: int) -> None:
    """As many as the rule looks at, up to the end of a wave, whatever the order of arrival."""
    for jitter_seed in range(3):
        _, events = vote(answers, arguments, jitter=0.5 if jitter_seed else 0.0, jitter_seed=jitter_seed)
        assert requests(events) == calls


@pytest.mark.parametrize("arguments", ["stop=adaptive", "stop=esc, window=2", "stop=sprt, share=0.7", "stop=beta"])
@pytest.mark.parametrize("answers", ["abaabaaab", "aab", "abc", "aaaab", "abba"])
def test_the_answer_depends_neither_on_timing_nor_on_the_level(answers: str, arguments: str) -> None:
    def reply(prompt: str, seed: int, sampling: Sampling) -> str:
        return answers[seed % len(answers)] + " " * (seed // 7 % 3)

    text = f"""{HEAD}
program p(q: str) -> str {{ return solve(q) |> sample(12) |> vote(by=c => strip(c.text), {arguments}) }}"""
    for seed in range(3):
        values = {
            ttsc.compile(text, level=level)
            .run(q="?", engine=ScriptedEngine(reply, jitter=jitter, jitter_seed=jitter_seed), seed=seed)
            .value
            for level in (0, 2)
            for jitter, jitter_seed in ((0.0, 0), (0.5, 1), (0.5, 2))
        }  # fmt: skip
        assert len(values) == 1


def test_the_event_says_what_decided() -> None:
    result, events = vote("b" + "a" * 39, "stop=adaptive")
    event = decided(events)
    assert result.value == "a"
    assert (event.rule, event.looked, event.early, event.confidence) == ("adaptive", 7, True, 247 / 256)
    assert decided(vote("ab", "stop=adaptive", n=6)[1]).rule == "majority"
    assert decided(vote("a", "stop=never")[1]).confidence is None
    at_0 = decided(vote("b" + "a" * 39, "stop=adaptive", level=0)[1])
    assert (at_0.rule, at_0.looked, at_0.early) == ("adaptive", 7, False)


def test_nothing_begins_that_the_rule_does_not_look_at() -> None:
    """The answers are split for a while: what begins together is what the rule needs at the least."""
    for arguments in ("stop=adaptive", "stop=sprt, share=0.75", "wave=1"):
        _, events = vote("abababababaaaaaaaaaa", arguments, n=20)
        assert decided(events).looked == requests(events) < 20


def gated(n: int, rule: Any, waves: Any = "gated", **parts: Any) -> tuple[Builder, Value, Value]:
    """A generation in waves and a vote on its texts."""
    b = Builder()
    pool = b.generate(b.user("what?"), n, max_tokens=60)
    generate = b.nodes[-1]
    assert isinstance(generate, Generate)
    b.nodes[-1] = replace(generate, waves=waves)
    return b, pool, b.vote(b.texts(pool), rule=rule, **parts)


ONE_BY_ONE = Sequential("adaptive", wave=1)


def test_a_second_reader_starts_everything() -> None:
    """No pass marks such a program; if one did, it would cost requests and not hang."""
    b, pool, answer = gated(6, ONE_BY_ONE)
    length = b.pure("length", pool, kind=INT)
    result = b.pure("add", answer, b.pure("to_str", length))
    outcome = run(b.program(result), ScriptedEngine(saying("a")))
    assert (outcome.value, outcome.usage.requests) == ("a6", 6)


def test_a_selection_that_waits_for_all_starts_everything() -> None:
    b, _, answer = gated(6, ONE_BY_ONE, early=False)
    outcome = run(b.program(answer), ScriptedEngine(saying("a")))
    assert (outcome.value, outcome.usage.requests) == ("a", 6)


def test_level_0_starts_everything() -> None:
    b, _, answer = gated(6, ONE_BY_ONE, early=False)
    assert run(b.program(answer), ScriptedEngine(saying("a")), level=0).usage.requests == 6


def test_lists_of_different_lengths_start_everything() -> None:
    """A vote whose weights are another list fails, or goes on with what is there, and does not wait for ever."""
    b, pool, _ = gated(6, Majority())
    weights = b.const((1.0, 1.0, 1.0), kind=ListOf(FLOAT))
    answer = b.vote(b.texts(pool), rule=Majority(max_weight=1.0, wave=1), weights=weights)
    outcome = run(b.program(answer), ScriptedEngine(saying("a")))
    assert outcome.error is not None and "different lengths" in outcome.error.message


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_fewer_than_a_wave(n: int) -> None:
    for rule in (ONE_BY_ONE, Sequential("esc", wave=5), Majority(wave=8)):
        b, _, answer = gated(n, rule, otherwise=None)
        outcome = run(b.program(answer), ScriptedEngine(saying("a")))
        assert outcome.usage.requests <= n
        assert (outcome.value == "a") is (n > 0)


def test_what_fails_is_made_up_for() -> None:
    """A failed candidate is no vote: another one begins."""
    b, _, answer = gated(10, ONE_BY_ONE)
    calls = 0

    def fault(*_: Any) -> Any:
        nonlocal calls
        calls += 1
        return RequestFailed("no") if calls == 2 else None

    outcome = run(b.program(answer), ScriptedEngine(saying("a"), fault=fault), session_options=no_retries())
    assert (outcome.value, outcome.usage.requests) == ("a", 5)


def no_retries() -> Mapping[str, Any]:
    return {"retry": RetryPolicy(attempts=1)}


def test_a_vote_that_nobody_needs_lets_its_candidates_go() -> None:
    """The vote is an element's key in a race that another has won: what had not begun never does, and all ends."""
    text = f"""{HEAD}
program p(q: str) -> bool {{
    return any(["slow", "quick"], x => (solve(x) |> sample(40) |> vote(by=text, stop=adaptive)) == "yes")
}}"""

    def reply(prompt: str, seed: int, sampling: Sampling) -> str:
        return "yes" if "quick" in prompt else "no, not yet, and it takes a long time to say so"

    result = ttsc.compile(text).run(q="?", engine=ScriptedEngine(reply), seed=1)
    assert result.value is True
    assert result.usage.requests == 8
    assert result.usage.aborted == 4


def test_votes_in_rounds_and_branches() -> None:
    text = f"""{HEAD}
program p(q: str, rounds: int = 3 in 0..4) -> str {{
    var answer = "start"
    repeat rounds {{
        if answer != "stop" {{
            answer = solve(answer) |> sample(9) |> vote(by=text, stop=adaptive)
        }}
    }}
    return answer
}}"""
    result = ttsc.compile(text).run(q="?", engine=ScriptedEngine(saying("a")))
    assert (result.value, result.usage.requests) == ("a", 12)


def test_budgets_end_waves() -> None:
    text = f"""{HEAD}
program p(q: str) -> str budget calls <= 3 {{ return solve(q) |> sample(40) |> vote(by=text, stop=adaptive) }}"""
    result = ttsc.compile(text).run(q="?", engine=ScriptedEngine(saying("a")))
    assert (result.value, result.usage.requests) == ("a", 3)
    assert result.cut


def test_a_vote_on_a_vote() -> None:
    """The called programs' votes end their own candidates; the outer one ends the others' votes, with theirs."""
    text = f"""{HEAD}
program inner(q: str) -> str {{ return solve(q) |> sample(5) |> vote(by=text) }}
program p(q: str) -> str {{ return ["1", "2", "3", "4", "5"] |> each(x => inner(q + x)) |> vote }}"""

    def reply(prompt: str, seed: int, sampling: Sampling) -> str:
        slow = "4" in prompt or "5" in prompt
        return "a" if not slow else "a, and a lot of words that take their time to be said one by one"

    program = ttsc.compile(text, program="p")
    result = program.run(q="?", engine=ScriptedEngine(reply), seed=3)
    assert result.value == "a"
    assert result.usage.aborted >= 6, "those of two votes that are sure to be needed by these"
    waits = ttsc.compile(text, program="p", level=0).run(q="?", engine=ScriptedEngine(reply), seed=3)
    assert waits.value == "a"
    assert result.usage.decoded_tokens < waits.usage.decoded_tokens / 2


def test_the_first_that_passes_ends_the_rest() -> None:
    text = f"""{HEAD}
program p(q: str) -> str {{ return solve(q) |> sample(8) |> filter(c => contains(c.text, "good")) |> one |> text }}"""
    answers = ["bad", "good", *["good, but it takes a long time to be said word by word"] * 6]
    order: dict[int, int] = {}

    def reply(prompt: str, seed: int, sampling: Sampling) -> str:
        return answers[order.setdefault(seed, len(order))]

    engine = ScriptedEngine(reply)
    result = ttsc.compile(text).run(q="?", engine=engine)
    assert (result.value, result.usage.requests, result.usage.aborted) == ("good", 8, 6)


def test_ranked_requests_come_after_what_is_needed() -> None:
    """Of two votes on a narrow engine, what either surely needs is sent before what it may do without."""
    events: list[Event] = []
    text = f"""{HEAD}
program p(q: str) -> str {{
    let first = solve("one") |> sample(6) |> vote(by=text)
    let second = solve("two") |> sample(6) |> vote(by=text)
    return first + second
}}"""
    plan = ttsc.compile(text).plan
    engine = ScriptedEngine(saying("a"), slots=2)

    async def main() -> None:
        session = Session({"policy": engine}, concurrency=2)
        result = await run_plan(plan, {"q": "?"}, session, {}, seed=0, emit=events.append)
        await session.close()
        assert result.value == "aa"

    asyncio.run(main())
    started = [event.index for event in events if isinstance(event, RequestStarted)]
    assert sorted(started[:6]) == [0, 0, 1, 1, 2, 2]
    assert len(started) < 12, "some of what no vote needed was never sent"


def test_leading_of_a_gated_pool() -> None:
    b = Builder()
    pool = b.generate(b.user("what?"), 5, max_tokens=60)
    lead = b.select("leading", pool, Leading(), POOL, count=b.const(2, INT), early=True)
    program: Program = b.program(b.texts(lead))
    result = run(program, ScriptedEngine(saying("abcde")))
    assert result.value == ["a", "b"]
