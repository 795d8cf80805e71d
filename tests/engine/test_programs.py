"""Every program of `programs/` on the real engine: it runs, shares its prefixes, stops its losers, and means the same
at every level and costs no more than its worst case.

Each runs once on a flushed cache at `-O2`, where the server's own counts are checked, and once at `-O0` for the value.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest

import ttsc
from ttsc.backends.sglang.metrics import parse_metrics, totals
from ttsc.compiler.bounds import worst_case

PROGRAMS = Path(__file__).parents[2] / "programs"
FILES = sorted(
    path.stem
    for path in PROGRAMS.glob("*.tts")
    if not any(request.kind == "reward" for request in ttsc.compile(path).plan.requests)
)
"""All but those that ask a reward model, which a server beside this one would have to serve (`test_scores.py`)."""
INPUTS = {
    "code_monkeys": "tasks",
    "iterative_retrieval": "rivers",
    "llm_judge": "essays",
    "tip_suggestion": "topics",
    "verify_and_refine": "tasks",
    "with_notes": "contexts",
}
"""By program: the file of its inputs, where these are not the questions."""
SETTINGS: dict[str, dict[str, object]] = {
    "adaptive_consistency": {"n": 8},
    "atom_of_thoughts": {"max_tokens": 64, "attempts": 2},
    "best_of_n": {"n": 4},
    "budget_forcing": {"extensions": 1},
    "code_monkeys": {"trajectories": 2, "rounds": 1, "max_tokens": 64},
    "iterative_retrieval": {"rounds": 2, "max_tokens": 48},
    "judged_steps": {"depth": 3},
    "llm_judge": {"max_tokens": 32},
    "multi_chain_reasoning": {"max_tokens": 48},
    "parallel_distill_refine": {"rounds": 1, "width": 2},
    "speculative_steps": {"turns": 3, "step_tokens": 32},
    "tip_suggestion": {"tips": 3, "paragraph_tokens": 32},
    "tree_of_thought_deep": {"max_tokens": 24},
    "tree_search": {"rounds": 3, "step_tokens": 32},
    "verified_vote": {"n": 4},
    "verify_and_refine": {"rounds": 1},
    "window_consistency": {"n": 10},
    "with_notes": {"max_tokens": 48},
}
"""Smaller than the defaults: a small model on a CPU."""
STORES = {"iterative_retrieval": {"documents": "documents"}}
SHARING = 1.05
"""Prefill tokens the server may compute, over the distinct prompt tokens of the run's prefix tree. The last token of
every prompt is computed in any case, so that a request more may cost a token more.
"""
STEPS = 2
"""Decode steps a loser may go on after its abort was sent, by the server's count."""
ATTEMPTS = 5
"""Runs, each with a seed of its own, of which one must keep to `STEPS`. An abort crosses three processes before it
reaches the scheduler: where these wait for a core, the scheduler gets further.
"""
SEED = 3


@dataclass(frozen=True)
class Ran:
    result: ttsc.RunResult
    events: tuple[ttsc.Event, ...]
    aborts_counted: float


def lines(file: str) -> list[Any]:
    return [json.loads(line) for line in (PROGRAMS / "inputs" / f"{file}.jsonl").read_text().splitlines()]


def first_input(name: str) -> dict[str, object]:
    given: dict[str, object] = lines(INPUTS.get(name, "questions"))[0]
    known = {parameter.name for parameter in compiled(name, 2).parameters}
    return {key: value for key, value in given.items() if key in known} | SETTINGS.get(name, {})


def aborts(url: str) -> float:
    """The server's own count of aborted requests."""
    return totals(parse_metrics(httpx.get(f"{url}/metrics", timeout=60).text)).get(
        "sglang:num_aborted_requests_total", 0.0
    )


def ran(url: str, name: str, level: ttsc.Level, seed: int = SEED) -> Ran:
    """One run, shared by the tests below."""
    return fresh_run(url, name, level, seed)


@cache
def fresh_run(url: str, name: str, level: ttsc.Level, seed: int) -> Ran:
    """One run on a cache that holds nothing."""
    httpx.post(f"{url}/flush_cache", timeout=60)
    before = aborts(url)
    events: list[ttsc.Event] = []
    with ttsc.connect(url) as engine, TemporaryDirectory() as folder:
        result = compiled(name, level).run(
            first_input(name),
            engine=engine,
            seed=seed,
            on_event=events.append,
            stores={store: ttsc.Store.memory(lines(file)) for store, file in STORES.get(name, {}).items()},
            artifacts=Path(folder),
        )
    return Ran(result, tuple(events), aborts(url) - before)


def streaming_losers(run: Ran, name: str) -> list[ttsc.RequestEnded]:
    """The aborted requests of a run that streamed, each of which was really cut.

    A request that did not stream tells no count before its end. An abort that meets a request at its end is counted by
    the server, and the request has ended by itself all the same.
    """
    told = [e for e in run.events if isinstance(e, ttsc.RequestEnded) and e.seen_tokens is not None]
    stopped = [e for e in told if e.finish == "abort"]
    assert len(stopped) == run.result.usage.aborted <= run.aborts_counted <= len(told)
    limits = {request.node: dict(request.fixed).get("max_tokens") for request in compiled(name, 2).plan.requests}
    settings = first_input(name).items()
    given = max((value for key, value in settings if key.endswith("_tokens") and isinstance(value, int)), default=0)
    losers = []
    for loser in stopped:
        assert loser.seen_tokens is not None
        if loser.seen_tokens:
            limit = limits[loser.node] or given
            assert isinstance(limit, int)
            left = limit - loser.seen_tokens
            assert loser.completion_tokens - loser.seen_tokens <= max(STEPS, left // 4), loser
            losers.append(loser)
    return losers


@cache
def compiled(name: str, level: ttsc.Level) -> ttsc.CompiledProgram:
    return ttsc.compile(PROGRAMS / f"{name}.tts", level=level)


@pytest.fixture(params=FILES)
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    chosen: str = request.param
    yield chosen


def test_it_runs_and_shares_its_prefixes(engine_url: str, name: str) -> None:
    usage = ran(engine_url, name, 2).result.usage
    assert usage.requests > 0 and usage.failed == 0
    assert usage.decoded_tokens > 0
    # A token's log-probability is known where the token is computed, so what is scored is not taken from the cache.
    again = usage.requests - 1
    assert usage.prefill_tokens <= SHARING * (usage.distinct_tokens + usage.scored_tokens) + again, usage


def test_losers_stop_within_two_steps(engine_url: str, name: str) -> None:
    late = []
    for seed in range(SEED, SEED + ATTEMPTS):
        losers = streaming_losers(ran(engine_url, name, 2, seed), name)
        if name == "first_finish":
            assert losers, "a race without losers shows nothing"
        over = [loser for loser in losers if loser.completion_tokens > (loser.seen_tokens or 0) + STEPS]
        if not over:
            return
        late.append(over)
    pytest.fail(f"in each of {ATTEMPTS} runs losers went on for more than {STEPS} steps: {late}")


def test_every_level_gives_the_same_value(engine_url: str, name: str) -> None:
    assert ran(engine_url, name, 0).result.value == ran(engine_url, name, 2).result.value


@pytest.mark.parametrize("level", [0, 2])
def test_no_run_costs_more_than_its_worst_case(engine_url: str, name: str, level: ttsc.Level) -> None:
    """By role: requests, prompt tokens, decoded tokens, and how many decode at once."""
    program = compiled(name, level)
    stores = {store: lines(file) for store, file in STORES.get(name, {}).items()}
    most = worst_case(program.ir).at({**program.check_input(first_input(name)), **stores})
    asked: Counter[str] = Counter()
    prompts: Counter[str] = Counter()
    decoded: Counter[str] = Counter()
    scored: Counter[str] = Counter()
    roles: dict[str, str] = {}
    under_way: set[str] = set()
    for event in ran(engine_url, name, level).events:
        match event:
            case ttsc.RequestStarted(kind="generate"):
                roles[event.request_id] = event.role
                under_way.add(event.request_id)
                asked[event.role] += 1
                assert len(under_way) <= most.live
            case ttsc.RequestStarted():
                roles[event.request_id] = event.role
            case ttsc.RequestEnded(kind="generate"):
                under_way.discard(event.request_id)
                prompts[roles[event.request_id]] += event.prompt_tokens
                decoded[roles[event.request_id]] += event.completion_tokens
            case ttsc.RequestEnded():
                scored[roles[event.request_id]] += event.prompt_tokens
    assert asked and asked <= Counter(most.generations)
    assert prompts <= Counter(most.prefill) and decoded <= Counter(most.decode) and scored <= Counter(most.scored)


def test_early_decision_spares_tokens(engine_url: str) -> None:
    whole, early = (ran(engine_url, "first_finish", level).result.usage.decoded_tokens for level in (0, 2))
    assert early < whole


def test_nothing_is_left_running(engine_url: str) -> None:
    running = totals(parse_metrics(httpx.get(f"{engine_url}/metrics", timeout=60).text)).get(
        "sglang:num_running_reqs", 0.0
    )
    assert running == 0
