"""What each pass is worth: a program on which it matters, run with the pass and without it.

    python benchmarks/passes.py                                  counts on the scripted engine, the same everywhere
    python benchmarks/passes.py --engine URL [--repeats 5]       seconds and tokens on a running SGLang as well
    python benchmarks/passes.py --only decide_early

A line for each pass, five runs together: requests made, prompt tokens computed, tokens decoded, and steps, which is the
virtual time of the scripted engine: one step decodes one token of every request that runs. Each as `with / without`.
With `--engine` the seconds of a run, medians over the repeats with the fastest and the slowest; arms alternate, the one
that begins changes from repeat to repeat, and the engine's cache is emptied before each run, so nothing else should use
that engine.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import ttsc
from ttsc.backends.protocol import Sampling
from ttsc.backends.scripted import ScriptedEngine
from ttsc.backends.sglang.client import SGLangEngine
from ttsc.compiler.passes.pass_ import Pass
from ttsc.compiler.passes.pipeline import PIPELINE
from ttsc.runtime.events import RunResult

SEEDS = 5
"""Runs on the scripted engine, each with a seed of its own; counts are those of all together."""
Measure = Literal["requests", "prefill", "decoded", "steps"]

PROMPTS = """
prompt solve(question: str) {
    system "Answer with one word. The word is the whole answer. Do not explain it, and do not repeat the question."
    user "{{ question }}"
}
prompt grade(question: str, answer: str) { user "Grade this answer to '{{ question }}' from 0 to 10: {{ answer }}" }
function word(text: str) -> str = or_else(find(text, "[a-z]+"), "")
"""


@dataclass(frozen=True)
class Case:
    """A program on which a pass matters, and in what it shows first."""

    name: str
    shows: Measure
    body: str
    slots: int | None = None
    """Requests that the scripted engine runs at once."""

    @property
    def text(self) -> str:
        return f"{PROMPTS}\nprogram measured(question: str, n: int = 12) -> str {{\n{self.body}}}\n"


CASES = (
    Case(
        "fold_constants",
        "requests",
        """    let first = solve("colour " + "of the sky") |> sample(1, temperature=0, max_tokens=8) |> one |> text
    let second = solve("colour of " + "the sky") |> sample(1, temperature=0, max_tokens=8) |> one |> text
    return first + second
""",
    ),
    Case(
        "hoist_invariants",
        "requests",
        """    var answer = ""
    repeat 4 {
        let rules = solve("rules for " + question) |> sample(1, temperature=0, max_tokens=8) |> one |> text
        answer = solve(answer + rules) |> sample(1, max_tokens=8) |> one |> text
    }
    return answer
""",
    ),
    Case(
        "share_prefixes",
        "prefill",
        "    return solve(question) |> sample(n, max_tokens=8) |> best(by=tokens) |> text\n",
    ),
    Case(
        "merge_generations",
        "requests",
        """    let first = solve(question) |> sample(1, temperature=0, max_tokens=8) |> one |> text
    let second = solve(question) |> sample(1, temperature=0, max_tokens=8) |> one |> text
    return first + second
""",
    ),
    Case(
        "remove_dead",
        "requests",
        """    var answer = ""
    var spare = ""
    repeat 3 {
        answer = solve(question + answer) |> sample(1, max_tokens=8) |> one |> text
        spare = spare + (solve("spare " + answer) |> sample(1, max_tokens=8) |> one |> text)
    }
    return answer
""",
    ),
    Case(
        "drop_scores",
        "requests",
        """    return solve(question) |> sample(n, max_tokens=8)
        |> score(c => grade(question, c.text), max_tokens=4) |> vote(by=text)
""",
    ),
    Case(
        "select_leading",
        "decoded",
        """    return solve(question) |> sample(n, max_tokens=16) |> filter(c => c.tokens > 1) |> one |> text
""",
    ),
    Case(
        "decide_early",
        "decoded",
        "    return solve(question) |> sample(n, temperature=1.0, max_tokens=48) |> vote(by=c => word(c.text))\n",
    ),
    Case(
        "size_waves",
        "requests",
        """    return solve(question) |> sample(n, temperature=1.0, max_tokens=16)
        |> vote(by=c => word(c.text), stop=adaptive)
""",
        slots=4,
    ),
    Case(
        "speculate",
        "steps",
        """    let draft = solve(question) |> sample(1, max_tokens=24) |> one |> text
    let grades = grade(question, draft) |> sample(1, max_tokens=24) |> one |> text
    if grades == "10" { return draft }
    return solve("again " + question + draft) |> sample(1, max_tokens=24) |> one |> text
""",
    ),
)


@dataclass
class Counts:
    """What runs took, all together, and what they gave."""

    values: list[object] = field(default_factory=list)
    requests: int = 0
    prefill: int = 0
    decoded: int = 0
    steps: int = 0


def reply(prompt: str, seed: int, sampling: Sampling) -> str:
    """Mostly one word, now and then with much after it, and grades; greedy requests ignore the seed."""
    draw = random.Random(prompt if sampling.temperature == 0 else f"{seed} {prompt}")
    answer = draw.choice(["blue", "blue", "blue", "blue", "grey"])
    more = 12 if "again" in prompt else draw.choice([0, 0, 1, 1, 2, 12])
    grade = f"All of it is as it should be, so: {draw.randint(0, 10)}"
    return grade if "Grade this" in prompt else answer + " and so on" * more


def compiled(case: Case, used: bool) -> ttsc.CompiledProgram:
    """The program with all passes and this one, or without this one."""
    asked_for = [case.name] if used and _pass(case.name).level is None else []
    return ttsc.compile(case.text, disabled=[] if used else [case.name], enabled=asked_for)


def _pass(name: str) -> Pass:
    return next(each for each in PIPELINE if each.name == name)


def counted(case: Case, used: bool) -> Counts:
    """Runs on the scripted engine, each on an empty cache."""
    program, total = compiled(case, used), Counts()
    for seed in range(SEEDS):
        engine = ScriptedEngine(reply, slots=case.slots)
        result = program.run(question="the colour of the sky", engine=engine, seed=seed)
        total.values.append(result.value)
        total.requests += result.usage.requests
        total.prefill += result.usage.prefill_tokens
        total.decoded += result.usage.decoded_tokens
        total.steps += engine.step
    return total


def shown(with_pass: float, without: float, digits: int = 0) -> str:
    return f"{with_pass:.{digits}f} / {without:.{digits}f}"


def print_counts(cases: Sequence[Case]) -> None:
    print(f"{'pass':18}{'requests':>14}{'prefill':>16}{'decoded':>16}{'steps':>14}   with / without")
    for case in cases:
        a, b = counted(case, True), counted(case, False)
        if a.values != b.values:
            raise SystemExit(f"{case.name}: {a.values!r} with the pass, {b.values!r} without")
        row = (shown(getattr(a, name), getattr(b, name)) for name in ("requests", "prefill", "decoded", "steps"))
        print(
            f"{case.name:18}" + "".join(f"{cell:>{width}}" for cell, width in zip(row, (14, 16, 16, 14), strict=True))
        )


# --- on a real engine -------------------------------------------------------------------------------------------------


@dataclass
class Times:
    """Runs of one arm: seconds, and what they took."""

    seconds: list[float] = field(default_factory=list)
    results: list[RunResult] = field(default_factory=list)

    def spread(self) -> str:
        ordered = sorted(self.seconds)
        return f"{statistics.median(ordered):.2f} s ({ordered[0]:.2f} to {ordered[-1]:.2f})"

    def median(self, name: str) -> float:
        return statistics.median(getattr(each.usage, name) for each in self.results)


async def timed(case: Case, url: str, repeats: int) -> tuple[Times, Times]:
    """With and without the pass, in turn, each run on an empty cache."""
    arms = {True: Times(), False: Times()}
    programs = {used: compiled(case, used) for used in arms}
    async with ttsc.connect(url) as engine:
        client = cast(SGLangEngine, await engine.client())
        for repeat in range(-1, repeats):  # the first of each warms up
            for used in (True, False) if repeat % 2 else (False, True):
                await client.flush_cache()
                begin = time.perf_counter()
                result = await programs[used].arun(
                    question="What is the colour of the sky?", engine=engine, seed=repeat
                )
                if repeat >= 0:
                    arms[used].seconds.append(time.perf_counter() - begin)
                    arms[used].results.append(result)
    return arms[True], arms[False]


def print_times(cases: Sequence[Case], url: str, repeats: int) -> None:
    print(f"\n{url}: medians of {repeats}, fastest and slowest; with the pass, then without")
    for case in cases:
        a, b = asyncio.run(timed(case, url, repeats))
        ratio = statistics.median(a.seconds) / statistics.median(b.seconds)
        tokens = ", ".join(
            f"{name} {shown(a.median(usage), b.median(usage))}"
            for name, usage in (("requests", "requests"), ("prefill", "prefill_tokens"), ("decoded", "decoded_tokens"))
        )
        print(f"{case.name:18}{a.spread()}   {b.spread()}   x {ratio:.2f}   {tokens}")


def main() -> None:
    parser = argparse.ArgumentParser(description="What each pass is worth.")
    parser.add_argument("--engine", metavar="URL", help="a running SGLang that nothing else uses")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", action="append", choices=[case.name for case in CASES], help="these passes")
    given = parser.parse_args()
    cases = [case for case in CASES if given.only is None or case.name in given.only]
    print_counts(cases)
    if given.engine is not None:
        print_times(cases, given.engine, given.repeats)


if __name__ == "__main__":
    main()
