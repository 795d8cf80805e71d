"""The peers' arms on a real server: what they send, that samples differ, and that a failed run is an answer."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ttsc.backends.sglang.client import SGLangEngine
from ttsc.backends.sglang.tokenizer import load_tokenizer

ROOT = Path(__file__).parents[2]
N = 4

Start = Callable[..., Any]


@pytest.fixture
async def start(engine: SGLangEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts an arm for a workload of three inputs, the third of which is too long for any model."""
    monkeypatch.syspath_prepend(ROOT)
    arms = importlib.import_module("benchmarks.peers.arm_process")
    environments = importlib.import_module("benchmarks.peers.environments")
    workloads = importlib.import_module("benchmarks.peers.workloads")
    info = engine.info
    tokenizer = load_tokenizer(info.model)

    def started(name: str, workload: str) -> Any:
        arm = arms.ARMS[name]
        if arm.environment and not environments.is_made(arm.environment):
            pytest.skip(f"no environment of {arm.environment}: python benchmarks/peers/environments.py makes it")
        content = workloads.data(workloads.workload(workload, "chat", workloads.Sizes.small()), tokenizer, 3)
        long = "one " * 50_000
        content["inputs"][2] |= {"text": long, "messages": [{"role": "user", "content": long}]}
        file = tmp_path / f"{workload}.json"
        file.write_text(json.dumps(content))
        command = arms.command(arm, arms.interpreter(arm.environment), engine.url, info.model, workload, file)
        return arms.ArmProcess(command, tmp_path / "arm.log")

    return started


def test_its_hub_asks_a_judge_for_each_distinct_sample(start: Start) -> None:
    # Without seeds all samples would be the same here, and it would ask none.
    with start("its_hub", "best_of_n") as arm:
        answer = arm.run(1, [0, 1], 2, 120)
    assert len(answer["answers"]) == 2
    assert 2 * N < answer["calls"] <= 4 * N


def test_its_hub_goes_on_after_a_failed_run(start: Start) -> None:
    arms = importlib.import_module("benchmarks.peers.arm_process")
    with start("its_hub", "self_consistency") as arm:
        with pytest.raises(arms.ArmFailed, match="(?i)context length|longer than"):
            arm.run(1, [0, 2], 2, 120)
        assert arm.run(1, [0], 1, 120)["calls"] == N


def test_the_frontend_computes_a_prefix_ahead_where_it_is_told_to(start: Start) -> None:
    arms = importlib.import_module("benchmarks.peers.arm_process")
    with start("frontend_warm", "llm_judge") as arm:
        alone = arm.run(1, [0], 1, 120)
        with pytest.raises(arms.ArmFailed):
            arm.run(1, [2], 1, 120)
        both = arm.run(1, [0, 1], 2, 120)
    assert alone["warm_ups"] == 1
    assert both["answers"][0] == alone["answers"][0]
    # One for each input, and what all begin with, if that is long.
    assert both["warm_ups"] - 2 in (0, 1)
    assert both["calls"] - both["warm_ups"] == 2 * (alone["calls"] - 1)


def test_optillm_answers_through_its_proxy(start: Start) -> None:
    with start("optillm", "self_consistency") as arm:
        answer = arm.run(1, [0, 1], 2, 120)
    assert len(answer["answers"]) == answer["calls"] == 2
