"""The programs that ask a reward model, on two real servers: one generates, one rates what it wrote.

The reward model is tiny and random, so nothing here tells how good a search is: only that the programs mean the same as
written and optimised, share what their prompts have in common, and leave nothing behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from tiny_models import tiny_model

import ttsc
from ttsc.backends.protocol import Completion, GenerateRequest
from ttsc.backends.sglang.client import SGLangEngine
from ttsc.backends.sglang.launcher import launch
from ttsc.backends.sglang.metrics import parse_metrics, totals
from ttsc.runtime.prefix_trie import PrefixTrie

pytestmark = pytest.mark.timeout(600)
pytest.importorskip("torch")

PROGRAMS = Path(__file__).parents[2] / "programs"
SETTINGS: dict[str, dict[str, Any]] = {
    "beam_search": {"width": 2, "fanout": 2, "steps": 3, "step_tokens": 24},
    "particle_filter": {"particles": 4, "steps": 3, "step_tokens": 24},
    "weighted_best_of_n": {"n": 4, "max_tokens": 64},
}
MOST_REWARDS = {"beam_search": 2 + 4 + 4, "particle_filter": 4 * 3, "weighted_best_of_n": 4 * 64}
QUESTION = "A shop sells 3 pens for 2 dollars. What do 12 pens cost?"
SHARING = 1.05
"""Prefill tokens the policy's server may compute, over the distinct prompt tokens of the run's prefix tree, beside one
token for each request: the last of a prompt is always computed. These prompts are too short for that to be nothing.
"""


@pytest.fixture(scope="module")
def rater_url(launched_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("tiny-reward")
    tiny_model(folder, reward=True)
    with launch(str(folder), log_path=folder / "server.log") as process:
        yield process.url


class Recording:
    """An engine, and the distinct prompt tokens that were sent to it."""

    def __init__(self, engine: SGLangEngine) -> None:
        self._engine = engine
        self.prompts = PrefixTrie()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def generate(self, request: GenerateRequest, on_progress: Any = None) -> Completion:
        self.prompts.insert(request.input_ids)
        return await self._engine.generate(request, on_progress)


@dataclass(frozen=True)
class Ran:
    result: ttsc.RunResult
    events: tuple[ttsc.Event, ...]
    distinct_tokens: int

    def texts(self) -> list[str]:
        """What was generated, in no order."""
        ended = (e for e in self.events if isinstance(e, ttsc.RequestEnded) and e.kind == "generate")
        return sorted(e.text for e in ended if e.finish != "abort")


@cache
def ran(policy_url: str, rater_url: str, name: str, level: ttsc.Level) -> Ran:
    """One run on caches that hold nothing, shared by the tests below."""
    for url in (policy_url, rater_url):
        httpx.post(f"{url}/flush_cache", timeout=60)
    events: list[ttsc.Event] = []

    async def run() -> Ran:
        policy, rater = Recording(await SGLangEngine.connect(policy_url)), await SGLangEngine.connect(rater_url)
        try:
            result = await ttsc.compile(PROGRAMS / f"{name}.tts", level=level).arun(
                question=QUESTION,
                engine={"policy": policy, "prm": rater},
                seed=3,
                on_event=events.append,
                **SETTINGS[name],
            )
        finally:
            await policy.close()
            await rater.close()
        return Ran(result, tuple(events), policy.prompts.tokens)

    return asyncio.run(run())


@pytest.fixture(params=sorted(SETTINGS))
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


def test_every_program_with_a_reward_model_is_here() -> None:
    asking = {
        path.stem
        for path in PROGRAMS.glob("*.tts")
        if any(request.kind == "reward" for request in ttsc.compile(path).plan.requests)
    }
    assert asking == set(SETTINGS)


def test_the_policy_shares_prefixes_and_rewards_are_counted(engine_url: str, rater_url: str, name: str) -> None:
    run = ran(engine_url, rater_url, name, 2)
    usage = run.result.usage
    policy, prm = usage.by_model["policy"], usage.by_model["prm"]
    assert usage.failed == 0 and policy["decoded_tokens"] > 0
    assert policy["prefill_tokens"] <= SHARING * run.distinct_tokens + policy["requests"], usage
    assert 0 < usage.rewards == prm["requests"] == prm["rewards"] <= MOST_REWARDS[name]
    assert prm["decoded_tokens"] == policy["rewards"] == 0


def test_each_request_ended(engine_url: str, rater_url: str, name: str) -> None:
    for level in (2, 0):
        events = ran(engine_url, rater_url, name, level).events
        started = [e.request_id for e in events if isinstance(e, ttsc.RequestStarted)]
        ended = [e.request_id for e in events if isinstance(e, ttsc.RequestEnded)]
        assert len(set(started)) == len(started) > 0
        assert sorted(started) == sorted(ended)
    for url in (engine_url, rater_url):
        counters = totals(parse_metrics(httpx.get(f"{url}/metrics", timeout=60).text))
        assert counters.get("sglang:num_running_reqs", 0.0) == 0


def test_every_level_gives_the_same(engine_url: str, rater_url: str, name: str) -> None:
    written, optimised = (ran(engine_url, rater_url, name, level) for level in (0, 2))
    assert written.result.value == optimised.result.value
    assert written.texts() == optimised.texts(), "the same was generated: what is kept depends on the rewards"
