"""The hand-written arms ask the engine the same as ttsc where it waits for all: prompts, parameters, seeds, answers.

That is what makes the comparison exact; it would end silently with a pass that renames a program's nodes.
"""

from __future__ import annotations

import asyncio
import importlib
import random
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import ttsc
from ttsc.backends.protocol import GenerateRequest, RewardRequest, Sampling
from ttsc.backends.scripted import ScriptedEngine, ScriptedTokenizer

ROOT = Path(__file__).parents[2]
NAMES = (
    "self_consistency",
    "first_finish",
    "best_of_n",
    "verify_refine",
    "particle_filter",
    "multi_chain_reasoning",
    "tree_of_thought_deep",
    "llm_judge",
    "tip_suggestion",
)


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The workloads; the arms' folder is on the path."""
    pytest.importorskip("aiohttp", reason="the hand-written arms use aiohttp, which comes with the engine")
    pytest.importorskip("orjson", reason="the hand-written arms use orjson, which comes with the engine")
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "peers" / "arms")
    workloads = importlib.import_module("benchmarks.peers.workloads")
    # The stub's tokenizer has no template of a model; texts are for arms that send text.
    monkeypatch.setattr(workloads, "rendered", lambda tokenizer, turns: "")
    return workloads


def reply(prompt: str, seed: int, sampling: Sampling) -> str:
    """Steps, then an answer that often agrees with others; it depends on the prompt and the seed alone."""
    numbers = random.Random(f"{prompt} {seed} {sampling.temperature}")
    steps = "".join(f"{numbers.randint(10, 12)}+{numbers.randint(1, 3)}\n" for _ in range(numbers.randint(0, 6)))
    return f"{steps}A:{numbers.choice(['07', '07', '9', '10'])}"


def reward(ids: Any) -> tuple[float, ...]:
    return (random.Random(str(tuple(ids))).uniform(-3, 3),)


TOKENIZER = ScriptedTokenizer()
"""One for all, since it numbers words as they come."""


def engine() -> ScriptedEngine:
    return ScriptedEngine(reply, reward=reward, tokenizer=TOKENIZER)


class StubClient:
    """The hand-written arms' client, on the scripted engine instead of a server."""

    def __init__(self, stub: ScriptedEngine, hand_client: ModuleType) -> None:
        self._stub, self._module, self._number, self.aborted = stub, hand_client, 0, list[str]()

    def rid(self) -> str:
        self._number += 1
        return f"hand-{self._number:06d}"

    async def one(self, request: Any, rid: str | None = None) -> Any:
        stop = () if request.stop is None else (request.stop,)
        sampling = Sampling(request.max_tokens, request.temperature, stop=stop, seed=request.seed)
        done = await self._stub.generate(GenerateRequest(rid or self.rid(), request.ids, sampling))
        text = self._stub.tokenizer.decode(done.output_ids)
        return self._module.Reply(done.output_ids, text, done.finish == "eos", done.finish == "abort")

    async def several(self, requests: Any) -> list[Any]:
        return list(await asyncio.gather(*(self.one(request) for request in requests)))

    async def lead(self, request: Any, rid: str, first: asyncio.Event) -> Any:
        task = asyncio.ensure_future(self.one(request, rid))
        first.set()
        return await task

    async def reward(self, ids: Any) -> float:
        return (await self._stub.reward(RewardRequest(self.rid(), tuple(ids)))).values[0]

    async def abort(self, rids: Any) -> None:
        self.aborted += rids
        await self._stub.abort(rids)


def program_of(name: str) -> Any:
    module = importlib.import_module("hand_programs")
    return getattr(module, name, None) or getattr(importlib.import_module("hand_ports"), name)


async def by_hand(
    workloads: ModuleType, name: str, kind: str, early: bool, **changed: int
) -> tuple[list[Any], ScriptedEngine, Any]:
    programs, fanout = importlib.import_module("hand_programs"), importlib.import_module("hand_fanout")
    stub = engine()
    client = StubClient(stub, importlib.import_module("hand_client"))
    sizes = replace(workloads.Sizes.small(), **changed)
    content = workloads.data(workloads.workload(name, kind, sizes), stub.tokenizer, 3)
    prompts = [tuple(each["ids"]) for each in content["inputs"]]
    warmth = fanout.Warmth(prompts)
    cases = [
        programs.Case(
            client, client, stub.tokenizer, content["settings"], each["values"], ids, content["nodes"], 5, number,
            warmth, early,
        )
        for number, (each, ids) in enumerate(zip(content["inputs"], prompts, strict=True))
    ]  # fmt: skip
    answers = await asyncio.gather(*(program_of(name)(case) for case in cases))
    return list(answers), stub, client


async def by_ttsc(workloads: ModuleType, name: str, kind: str) -> tuple[list[Any], ScriptedEngine]:
    stub = engine()
    made = workloads.workload(name, kind, workloads.Sizes.small())
    program = ttsc.compile(workloads.PROGRAMS / f"{name}.tts", disabled=["decide_early"])
    given = [made.values(i) for i in range(3)]
    engines = dict.fromkeys(program.models, stub)
    externs = [check] if name == "verify_refine" else None
    results = [each async for each in program.amap(given, engine=engines, externs=externs, seed=5)]
    assert [each.error for each in results] == [None] * 3
    return [each.value for each in results], stub


@ttsc.extern
def check(answer: str, expected: str) -> bool:
    return answer == expected


def asked(stub: ScriptedEngine) -> Counter[Any]:
    """What the engine was asked to decode, each with how often."""
    found: Counter[Any] = Counter()
    for record in stub.records:
        if record.kind == "generate":
            sampling = record.request.sampling
            options = (sampling.temperature, sampling.max_tokens, sampling.stop, sampling.seed)
            found[(record.request.input_ids, *options)] += 1
    return found


@pytest.mark.parametrize("kind", ["testbed", "chat"])
@pytest.mark.parametrize("name", NAMES)
async def test_the_same_requests_and_answers(peers: ModuleType, name: str, kind: str) -> None:
    answers, stub = await by_ttsc(peers, name, kind)
    hand_answers, hand_stub, _ = await by_hand(peers, name, kind, early=False)
    assert asked(hand_stub) == asked(stub)
    assert hand_answers == answers


@pytest.mark.parametrize("name", ["self_consistency", "first_finish", "best_of_n", "tree_of_thought_deep"])
async def test_deciding_early_changes_no_answer(peers: ModuleType, name: str) -> None:
    longer = {"samples": 12, "solution_tokens": 48, "tree_tokens": 48}
    waited, _, _ = await by_hand(peers, name, "testbed", early=False, **longer)
    answers, stub, client = await by_hand(peers, name, "testbed", early=True, **longer)
    assert answers == waited
    assert client.aborted
    assert stub.running == 0


def test_every_workload_has_both(peers: ModuleType) -> None:
    assert peers.NAMES == NAMES
    assert all(program_of(name) for name in NAMES)
    assert str(ROOT) in sys.path
