"""What the language says of records, scores, edits, state and budgets, on a real engine."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import ttsc
from ttsc.backends.protocol import ScoreRequest, Turn
from ttsc.backends.sglang.client import SGLangEngine

pytestmark = pytest.mark.timeout(300)
PROGRAMS = Path(__file__).parents[2] / "programs"
TOPICS = (
    "a cat, a dog, a bus, the sea, bread, a violin, rain, chess, a bridge, a volcano, tea, a clock, a forest, a letter,"
    " the moon, a bicycle, salt, a library, a dream, ants"
).split(", ")


@dataclass
class Ran:
    result: ttsc.RunResult
    events: list[ttsc.Event] = field(default_factory=list)

    @property
    def value(self) -> Any:
        return self.result.value

    def ended(self) -> list[ttsc.RequestEnded]:
        return [event for event in self.events if isinstance(event, ttsc.RequestEnded)]

    def nodes(self) -> list[str]:
        return [event.node for event in self.events if isinstance(event, ttsc.RequestStarted)]


def run(url: str, text: str, *, level: ttsc.Level = 2, **given: Any) -> Ran:
    events: list[ttsc.Event] = []
    result = ttsc.compile(text, level=level).run(engine=url, on_event=events.append, **given)
    return Ran(result, events)


# -- records --------------------------------------------------------------------------------------------------------

THING = """
record Thing { name: str, size: int in 1..10, kind: str in ["alive", "made", "other"], parts: list[str, 2], old: bool? }
prompt describe(topic: str) { user "Describe {{ topic }}: its name, size from 1 to 10, kind, and two parts." }
program things(topics: list[str]) -> list[Thing?] {
    return topics |> each(topic => describe(topic) |> ask(Thing, attempts=3, otherwise=none, max_tokens=96))
}
"""


def test_only_what_was_cut_is_asked_again(engine_url: str) -> None:
    """Whatever the model ends by itself under a schema is a value of the record: 20 prompts, at temperature 0.7."""
    ran = run(engine_url, THING, topics=TOPICS, seed=5)
    whole = [event for event in ran.ended() if event.finish == "eos"]
    cut = [event for event in ran.ended() if event.finish == "length"]
    assert len(whole) + len(cut) == len(ran.ended())
    found = [value for value in ran.value if value is not None]
    assert len(found) == len(whole) > len(TOPICS) // 2, "each whole answer was taken: none was asked for again"
    assert sorted(map(str, found)) == sorted(map(str, (_with_none(json.loads(event.text)) for event in whole)))
    for value in found:
        assert isinstance(value["name"], str) and value["old"] in (None, True, False)
        assert 1 <= value["size"] <= 10 and value["kind"] in ("alive", "made", "other") and len(value["parts"]) <= 2


def _with_none(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in ("name", "size", "kind", "parts", "old")}


# -- scores ---------------------------------------------------------------------------------------------------------

CHOICES = """
prompt asked(q: str) { user "{{ q }} Answer yes or no." }
record Found { shares: list[float], logs: list[float] }
program weigh(q: str, texts: list[str]) -> Found {
    return Found(shares=choices(asked(q), texts), logs=choices(asked(q), texts, normalise=none))
}
"""


async def test_choices_are_shares_of_what_the_engine_scores(engine_url: str, engine: SGLangEngine) -> None:
    texts = ["Yes", "No", "I do not know that"]
    found = (await ttsc.compile(CHOICES).arun(q="Is the sky blue?", texts=texts, engine=engine_url)).value
    ids = engine.tokenizer.chat_ids([Turn("user", "Is the sky blue? Answer yes or no.")])
    direct = []
    for number, text in enumerate(texts):
        request = ScoreRequest(f"choice-{id(found)}-{number}", (*ids, *engine.tokenizer.encode(text)), len(ids))
        direct.append(math.fsum((await engine.score(request)).logprobs))
    assert found["logs"] == pytest.approx(direct, abs=1e-3)
    assert sum(found["shares"]) == pytest.approx(1.0)
    whole = math.fsum(map(math.exp, direct))
    assert found["shares"] == pytest.approx([math.exp(each) / whole for each in direct], abs=1e-3)


LOGPROBS = """
prompt asked(q: str) { user "{{ q }}" }
record Pair { own: float, scored: float, count: int }
program known(q: str) -> list[Pair] {
    return asked(q) |> sample(3, max_tokens=8, temperature=1.0)
        |> each(c => Pair(own=c.logprob, scored=logprob(c, normalise=sum), count=length(c.logprobs)))
}
"""


def test_the_log_probability_of_a_candidate_is_what_a_score_of_it_gives(engine_url: str) -> None:
    """At temperature 1, where sampling and scoring mean the same distribution."""
    for pair in run(engine_url, LOGPROBS, q="Tell me about the sea, at length.", seed=2).value:
        assert pair["count"] == 8
        assert pair["own"] < 0
        assert pair["own"] == pytest.approx(pair["scored"], abs=2e-3)


# -- what is generated, and edited ----------------------------------------------------------------------------------

EDIT = """
prompt asked(q: str) { user "{{ q }}" }
program edited(q: str, ids: list[int]) -> list[Candidate] {
    let draft = asked(q) |> sample(1, temperature=0.0, max_tokens=24) |> one
    let short = draft |> cut(8)
    let again = short |> branch(1, temperature=0.0, max_tokens=16) |> one
    let forced = short |> force(ids) |> branch(1, temperature=0.0, max_tokens=4) |> one
    return [draft, short, again, forced]
}
"""


async def test_a_cut_candidate_goes_on_as_if_it_had_never_stopped(engine_url: str, engine: SGLangEngine) -> None:
    ids = engine.tokenizer.encode(" But wait,")
    result = await ttsc.compile(EDIT).arun(q="Tell me about the sea, at length.", ids=ids, engine=engine_url)
    draft, short, again, forced = result.value
    assert draft["tokens"] == 24
    assert draft["text"].startswith(short["text"]) and short["text"] != draft["text"]
    assert again["text"] == draft["text"], "greedy decoding from the cut makes the same tokens"
    assert forced["text"].startswith(short["text"] + " But wait,")
    assert len(forced["text"]) > len(short["text"] + " But wait,")
    assert result.usage.cached_tokens > 2 * result.usage.prefill_tokens > 0, "the branches found their parent's tokens"


GRID = """
prompt asked(q: str) { user "{{ q }}" }
program grid(q: str) -> list[Candidate] { return asked(q) |> sample(6, temperature=[0.0, 0.8, 1.2], max_tokens=12) }
"""


def test_a_grid_of_temperatures(engine_url: str) -> None:
    found = run(engine_url, GRID, q="Tell me a story.", seed=1).value
    assert [each["temperature"] for each in found] == [0.0, 0.8, 1.2, 0.0, 0.8, 1.2]
    texts = [each["text"] for each in found]
    assert texts[0] == texts[3] and len({texts[1], texts[2], texts[4], texts[5]}) == 4


# -- state ----------------------------------------------------------------------------------------------------------

NOTED = """
prompt study(context: str) { user "In a few words: {{ context }}" }
prompt answer(notes: str, q: str) { user "{{ notes }} {{ q }}" }
program noted(context: str, q: str) -> str {
    offline let notes = study(context) |> sample(1, max_tokens=12) |> one |> text
    return answer(notes, q) |> sample(1, max_tokens=12) |> one |> text
}
"""


def test_a_second_run_asks_nothing_for_what_is_offline(engine_url: str, tmp_path: Path) -> None:
    given = {"context": "The library opens at ten.", "artifacts": tmp_path}
    first = run(engine_url, NOTED, q="When does it open?", **given)
    second = run(engine_url, NOTED, q="Does it open at noon?", seed=9, **given)
    assert len(first.nodes()) == 2 and len(second.nodes()) == 1
    assert set(second.nodes()) < set(first.nodes())
    taken = [event.source for ran in (first, second) for event in ran.events if isinstance(event, ttsc.OfflineTaken)]
    assert taken == ["computed", "kept"]


LESSONS = """
store lessons: str
prompt learn(topic: str) { user "One word about {{ topic }}:" }
program learned(topic: str) -> list[str] {
    lessons += learn(topic) |> sample(1, max_tokens=4) |> one |> text
    return lessons
}
"""


async def test_what_one_input_adds_the_next_one_reads(engine_url: str, tmp_path: Path) -> None:
    store = ttsc.Store.open(tmp_path / "lessons.jsonl")
    program, inputs = ttsc.compile(LESSONS), [{"topic": topic} for topic in TOPICS[:3]]
    results = [each async for each in program.amap(inputs, engine=engine_url, stores={"lessons": store})]
    assert [len(each.value) for each in results] == [1, 2, 3]
    assert results[2].value[:2] == results[1].value
    assert list(store.items) == results[2].value


ACTING = """
environment extern act(word: str) -> str
prompt asked(q: str) { user "{{ q }}" }
program acting(words: list[str]) -> list[str] {
    var seen: list[str] = []
    for word in words {
        let first = asked(word) |> sample(1, max_tokens=8) |> one |> text
        let told = act(first)
        let second = asked(told) |> sample(1, max_tokens=2) |> one |> text
        seen += [act(second)]
    }
    return seen
}
"""


def test_an_environment_sees_the_same_calls_in_the_same_order(engine_url: str) -> None:
    calls: dict[int, list[str]] = {0: [], 2: []}
    for level in (0, 2):

        def act(word: str, log: list[str] = calls[level]) -> str:
            log.append(word)
            return f"{len(log)}: {word}"

        words = ["Sing!", "Count to nine.", "Sleep."]
        run(engine_url, ACTING, level=level, words=words, externs={"act": act}, seed=4)  # type: ignore[arg-type]
    assert len(calls[2]) == 6 and calls[0] == calls[2]


# -- budgets --------------------------------------------------------------------------------------------------------

LONG = """
prompt asked(q: str) { user "{{ q }}" }
program long(q: str, rounds: int) -> int {
    var count = 0
    repeat rounds {
        let found = asked(q + to_str(count)) |> sample(2, max_tokens=3)
        count += length(found)
    }
    return count
}
"""


@pytest.mark.parametrize("budget", ["tokens<=300", "calls<=7", "latency<=3s"])
def test_a_budget_is_kept_and_what_it_cut_says_so(engine_url: str, budget: str) -> None:
    rounds = 2000 if budget.startswith("latency") else 50
    ran = run(engine_url, LONG, q="Tell me about the sea.", rounds=rounds, budget=budget)
    usage = ran.result.usage
    assert ran.result.cut and ran.result.reason.startswith(budget.split("<")[0])
    assert ran.value > 0, "the rounds before"
    assert sorted(ran.nodes()) == sorted(event.node for event in ran.ended())
    if budget.startswith("tokens"):
        assert usage.prefill_tokens + usage.decoded_tokens <= 300
    if budget.startswith("calls"):
        assert usage.requests == 7
    assert usage.requests < 2 * rounds


def test_a_cut_answer_has_an_exit_code(engine_url: str) -> None:
    command = [sys.executable, "-m", "ttsc", "run", str(PROGRAMS / "self_consistency.tts"), "--engine", engine_url]
    more = ["--set", "question=Tim has 2 pens and buys 3. How many pens are that?", "--budget", "calls<=2", "--json"]
    done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 4, done.stderr
    row = json.loads(done.stdout)
    assert (row["cut"], row["reason"], row["usage"]["requests"]) == (True, "calls <= 2", 2)
    assert "cut       calls <= 2; the answer is the best so far" in done.stderr
