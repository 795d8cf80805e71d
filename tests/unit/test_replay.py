"""A replay gives what the run gave, without an engine, and says where it goes another way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import ttsc
from ttsc.backends.protocol import RequestFailed, Sampling
from ttsc.backends.scripted import ScriptedEngine, ScriptedTokenizer
from ttsc.cli.app import app

VOTED = """
prompt solve(question: str) {
    user "{{ question }}"
}

program voted(question: str, n: int = 5 in 1..16) -> str {
    return solve(question) |> sample(n, max_tokens=8) |> vote(by=text)
}
"""
FIRST = """
prompt solve(question: str) {
    user "{{ question }}"
}

program first(question: str) -> str {
    return solve(question) |> sample(6, max_tokens=40) |> stop_first(1, order=time) |> one |> text
}
"""
CALLING = """
extern note(text: str) -> int
environment extern act(text: str) -> int

prompt solve(question: str) {
    user "{{ question }}"
}

program called(question: str) -> int {
    let draft = solve(question) |> sample(1, max_tokens=8) |> one
    let noted = note(draft.text)
    return act(draft.text) + noted
}
"""


def said(prompt: str, seed: int, sampling: Sampling) -> str:
    return ("yes", "no", "well then")[seed % 3] + " so" * (seed % 5)


async def run(
    source: str, folder: Path, engine: ScriptedEngine | None = None, count: int = 3, **more: Any
) -> list[ttsc.RunResult]:
    program, on = ttsc.compile(source), engine or ScriptedEngine(said)
    inputs = [{"question": f"question {number}?"} for number in range(count)]
    return [result async for result in program.amap(inputs, engine=on, trace=folder / "run.jsonl", **more)]


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines()]


def rewrite(folder: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Path:
    """The trace, changed."""
    path = folder / "changed.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in change(lines(folder))))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ttsc.UsageError) as caught:
        ttsc.replay(path)
    (problem,) = caught.value.problems
    assert problem.hint
    return f"{problem.code}: {problem.message}"


@pytest.mark.parametrize("jitter_seed", range(6))
async def test_who_is_first_in_time_stays_first(jitter_seed: int, tmp_path: Path) -> None:
    engine = ScriptedEngine(said, jitter=0.5, jitter_seed=jitter_seed)
    results = await run(FIRST, tmp_path, engine)
    assert ttsc.replay(tmp_path / "run.jsonl") == results


async def test_a_deadline_is_over_when_it_was(tmp_path: Path) -> None:
    slow = ScriptedEngine(lambda p, s, k: "so " * 40, step_s=0.1)
    results = await run(VOTED, tmp_path, slow, count=2, budget="latency<=0.15s")
    assert all(result.cut for result in results)
    assert ttsc.replay(tmp_path / "run.jsonl") == results


async def test_failures_and_retries(tmp_path: Path) -> None:
    def fault(number: int, request: Any) -> RequestFailed | None:
        return RequestFailed("boom", retry_after_s=0.001) if number in (1, 2, 7) else None

    results = await run(VOTED, tmp_path, ScriptedEngine(said, fault=fault))
    assert sum(result.usage.retries for result in results) == 3
    assert ttsc.replay(tmp_path / "run.jsonl") == results


@pytest.mark.parametrize("fails", [False, True])
async def test_externs_are_not_called_again(fails: bool, tmp_path: Path) -> None:
    made: list[str] = []

    def note(text: str) -> int:
        made.append("note")
        return 1

    async def act(text: str) -> int:
        made.append("act")
        if fails:
            raise ValueError("closed")
        return 2

    results = await run(CALLING, tmp_path, externs={"note": note, "act": act})
    async with asyncio.timeout(30):
        while len(made) < 6:  # a run that has failed waits for no thread
            await asyncio.sleep(0.001)
    before = list(made)
    assert all((result.error is not None) is fails for result in results)
    assert ttsc.replay(tmp_path / "run.jsonl") == results
    assert made == before and len(before) == 6


async def test_the_program_comes_from_the_trace(tmp_path: Path) -> None:
    (tmp_path / "lib.tts").write_text('prompt solve(question: str) {\n    user "{{ question }}"\n}\n')
    main = tmp_path / "main.tts"
    main.write_text(
        "use lib (solve)\n"
        "program main(question: str, n: int = 3 in 1..9) -> str {\n"
        "    return solve(question) |> sample(n, max_tokens=8) |> vote(by=text)\n}\n"
    )
    program = ttsc.compile(main, disabled=["decide_early"]).specialize(n=4)
    inputs = [{"question": "a?"}, {"question": "b?"}]
    path = tmp_path / "run.jsonl"
    results = [result async for result in program.amap(inputs, engine=ScriptedEngine(said), trace=path, seed=7)]
    main.unlink()
    (tmp_path / "lib.tts").unlink()
    again = ttsc.replay(path)
    assert again == results
    assert [result.seed for result in again] == [7, 7]
    assert [result.usage.requests for result in again] == [4, 4]


async def test_a_resumed_run_replays_too(tmp_path: Path) -> None:
    program, tokenizer, journal = ttsc.compile(VOTED), ScriptedTokenizer(), tmp_path / "journal"
    inputs = [{"question": f"{number}?"} for number in range(4)]
    slow = ScriptedEngine(said, tokenizer=tokenizer, step_s=0.002)
    running: AsyncIterator[ttsc.RunResult] = program.amap(inputs, engine=slow, journal=journal, ordered=False)
    async with aclosing(running) as some:  # type: ignore[type-var]
        await anext(some)
    engine, path = ScriptedEngine(said, tokenizer=tokenizer), tmp_path / "run.jsonl"
    results = [each async for each in program.amap(inputs, engine=engine, journal=journal, trace=path)]
    taken = [each for each in results if each.usage.taken_requests == each.usage.requests]
    assert taken and len(engine.records) < 4 * 5
    again = {each.input: each for each in ttsc.replay(path)}
    assert again and all(again[number] == results[number] for number in again)


async def test_a_trace_that_was_cut_off_gives_what_had_ended(tmp_path: Path) -> None:
    results = await run(VOTED, tmp_path, concurrency=1)
    text = (tmp_path / "run.jsonl").read_text()
    ended = [index for index, line in enumerate(text.splitlines()) if '"RunEnded"' in line]
    (tmp_path / "cut.jsonl").write_text("\n".join(text.splitlines()[: ended[1] + 4]) + '\n{"type":"Requ')
    assert ttsc.replay(tmp_path / "cut.jsonl") == results[:2]


def test_inside_of_an_event_loop_and_without_one(tmp_path: Path) -> None:
    results = asyncio.run(run(VOTED, tmp_path))

    async def inside() -> list[ttsc.RunResult]:
        return ttsc.replay(tmp_path / "run.jsonl")

    assert asyncio.run(inside()) == ttsc.replay(tmp_path / "run.jsonl") == results


# --- what goes another way ---


async def test_another_decision_is_named(tmp_path: Path) -> None:
    await run(VOTED, tmp_path)

    def change(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        decided = next(line for line in lines if line["type"] == "Decided" and line["input"] == 1)
        decided["value"] = "maybe"
        return lines

    said_ = refusal(rewrite(tmp_path, change))
    assert said_.startswith("R0515") and "input 1 decides" in said_ and "maybe" in said_


async def test_a_request_without_an_answer_is_named(tmp_path: Path) -> None:
    await run(VOTED, tmp_path, count=1)

    def change(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        gone = {line["request_id"] for line in lines if line["type"] == "RequestStarted" and line["index"] < 5}
        return [line for line in lines if line.get("request_id") not in gone]

    said_ = refusal(rewrite(tmp_path, change))
    assert said_.startswith("R0515") and "asks at" in said_ and "#0" in said_


async def test_another_answer_is_named(tmp_path: Path) -> None:
    (result,) = await run(VOTED, tmp_path, count=1)

    def change(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        ended = [line for line in lines if line["type"] == "RequestEnded"]
        other = next(line for line in ended if line["text"] != result.value)
        for line in ended:
            line["output_ids"], line["text"] = other["output_ids"], other["text"]
        return lines

    assert refusal(rewrite(tmp_path, change)).startswith("R0515: ")


async def test_another_prompt_is_named(tmp_path: Path) -> None:
    await run(VOTED, tmp_path, count=1)

    def change(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        next(line for line in lines if line["type"] == "InputStarted")["values"]["question"] = "what else?"
        return lines

    said_ = refusal(rewrite(tmp_path, change))
    assert said_.startswith("R0515") and "asks the tokenizer for the prompt 'what else?'" in said_


async def test_another_usage_is_named(tmp_path: Path) -> None:
    await run(VOTED, tmp_path, count=1)

    def change(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        lines[-1]["result"]["usage"]["requests"] += 1
        return lines

    assert "has the usage" in refusal(rewrite(tmp_path, change))


async def test_what_cannot_be_replayed_is_refused(tmp_path: Path) -> None:
    await run(VOTED, tmp_path, count=1)

    def headed(**fields: Any) -> Path:
        return rewrite(tmp_path, lambda lines: [{**lines[0], **fields}, *lines[1:]])

    assert refusal(headed(format=1)).startswith("E0518") and "lacks the answers" in refusal(headed(format=1))
    assert "format 3" in refusal(headed(format=3))
    assert "another plan" in refusal(headed(plan="0" * 32))
    assert "does not compile" in refusal(headed(source={"path": "<string>", "text": "program"}))
    assert "no header" in refusal(rewrite(tmp_path, lambda lines: lines[1:]))
    assert "no input has ended" in refusal(rewrite(tmp_path, lambda lines: lines[:-1]))
    assert refusal(tmp_path / "nowhere.jsonl").startswith("E0509")
    (tmp_path / "text").write_text("hello\nyou\n")
    assert "is no trace" in refusal(tmp_path / "text")


# --- the command ---


def test_the_command_prints_what_the_run_printed(tmp_path: Path) -> None:
    results = asyncio.run(run(VOTED, tmp_path))
    trace = str(tmp_path / "run.jsonl")
    shown = CliRunner().invoke(app, ["replay", trace], standalone_mode=False)
    assert shown.stdout.splitlines() == [result.value for result in results]
    assert "inputs    3 ended, 0 failed" in shown.stderr
    out = tmp_path / "out.jsonl"
    as_json = CliRunner().invoke(app, ["replay", trace, "--json", "--out", str(out)], standalone_mode=False)
    rows = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert [row["value"] for row in rows] == [result.value for result in results]
    assert out.read_text().splitlines() == as_json.stdout.splitlines()
