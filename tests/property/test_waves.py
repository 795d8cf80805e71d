"""Programs of votes, of whatever kind and wherever they stand, give the same at every level and timing, and end."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import ttsc
from ttsc.backends.protocol import Sampling
from ttsc.backends.scripted import ScriptedEngine
from ttsc.runtime.executor import run_plan
from ttsc.runtime.session import Session

HEAD = """
prompt solve(q: str) { user "{{ q }}" }
function letter(t: str) -> str? = find(t, "[ab]")
"""
RULES = (
    "",
    "wave=1",
    "wave=3",
    "ties=last",
    "ties=random, wave=2",
    "invalid=count",
    "stop=adaptive",
    "stop=adaptive, confidence=0.7",
    "stop=adaptive, confidence=0.7, wave=3, invalid=count",
    "stop=beta, confidence=0.8",
    "stop=beta, confidence=0.7, wave=2",
    "stop=esc, window=2",
    "stop=esc, window=3, wave=2, invalid=count",
    "stop=sprt, share=0.8, confidence=0.8",
    "stop=sprt, share=0.8, confidence=0.8, wave=4, ties=last",
)

BETWEEN = (
    "",
    "|> filter(c => c.tokens > 3)",
    '|> verify(c => contains(c.text, "a"))',
    "|> extract(by=letter)",
)


def reply(prompt: str, seed: int, sampling: Sampling) -> str:
    """A letter, or none, after some steps."""
    r = random.Random(f"{seed}{prompt}")
    return "." * r.randint(0, 6) + r.choice(["a", "a", "b", "", "ab"])


@st.composite
def votes(draw: st.DrawFn, question: str = "q") -> str:
    """An expression that is a vote on a pool, through filters and maps or not."""
    n = draw(st.sampled_from(["1", "2", "5", "9", "n", "n"]))
    rule = draw(st.sampled_from(RULES))
    between = draw(st.sampled_from(BETWEEN))
    arguments = ", ".join(part for part in ("by=letter", rule) if part)
    return f'solve({question}) |> sample({n}) {between} |> vote({arguments}, otherwise="none")'


@st.composite
def programs(draw: st.DrawFn) -> str:
    """Votes beside, inside of and after one another."""
    shape = draw(st.sampled_from(["one", "two", "each", "any", "branch", "loop", "first", "shared", "after"]))
    one, two, inner = draw(votes()), draw(votes()), draw(votes("q + x"))
    match shape:
        case "two":
            body = f"let a = {one}\n let b = {two}\n return a + b"
        case "each":
            body = f'return join(["1", "2", "3"] |> each(x => {inner}), "")'
        case "any":
            body = f'return to_str(any(["1", "2", "3"], x => ({inner}) == "a"))'
        case "branch":
            body = f'if ({one}) == "a" {{ return {two} }}\n return "other"'
        case "loop":
            body = f'var x = q\n repeat 3 {{ x = {inner} }} until x == "b"\n return x'
        case "first":
            body = (
                f'return ["1", "2", "3", "4"] |> each(x => {inner}) |> filter(x => x != "none") |> one(otherwise="?")'
            )
        case "shared":
            rule = draw(st.sampled_from([rule for rule in RULES if rule]))
            body = f"""let pool = solve(q) |> sample(n)
                let a = pool |> vote(by=letter, {rule}, otherwise="none")
                let b = pool |> take(2) |> text
                return a + join(b, "") """
        case "after":
            body = f'return ["1", "2", "3"] |> each(x => {inner}) |> vote({draw(st.sampled_from(RULES))})'
        case _:
            body = f"return {one}"
    return f"{HEAD}\nprogram p(q: str, n: int = 7 in 0..9) -> str {{\n {body}\n}}"


def value(
    text: str, level: ttsc.Level, seed: int, n: int, jitter_seed: int = 0, slots: int | None = None, threshold: int = 0
) -> Any:
    """What a run gives, a failure by its code. It must end, and leave no task and no request behind."""

    async def main() -> Any:
        engine = ScriptedEngine(reply, jitter=0.5 if jitter_seed else 0.0, jitter_seed=jitter_seed, slots=slots)
        session = Session({"policy": engine}, concurrency=slots, prefix_threshold=threshold)
        async with asyncio.timeout(60):
            result = await run_plan(ttsc.compile(text, level=level).plan, {"q": "?", "n": n}, session, {}, seed=seed)
        await session.close()
        assert engine.running == 0
        await engine.close()
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not left, left
        return result.value if result.error is None else result.error.code

    return asyncio.run(main())


@given(
    programs(),
    st.integers(0, 1000),
    st.sampled_from([0, 1, 3, 7]),
    st.integers(1, 1000),
    st.sampled_from([1, 2, 3, None]),
    st.sampled_from([0, 8, 1000]),
)
@settings(max_examples=100, deadline=None)
def test_values_do_not_depend_on_level_or_timing(
    text: str, seed: int, n: int, jitter_seed: int, slots: int | None, threshold: int
) -> None:
    """Also where there is room for few requests at a time, and where each waits for another to warm its prefix."""
    expected = value(text, 0, seed, n)
    assert value(text, 2, seed, n) == expected
    assert value(text, 2, seed, n, jitter_seed, slots, threshold) == expected
