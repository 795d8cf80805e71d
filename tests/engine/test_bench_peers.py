"""The peers' benchmark, whole, on a real server: ttsc and the hand-written client decode the same tokens."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_harness_measures_both_alike(engine_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    run = importlib.import_module("benchmarks.peers.run")
    sizes = ("alone=1", "chain_tokens=8", "final_tokens=4")
    arguments = [
        *("--engine", engine_url, "--model", "smoke", "--kind", "chat"),
        *("--workloads", "multi_chain_reasoning", "--arms", "ttsc_wait,hand_wait", "--inputs", "1", "--repeats", "1"),
        *(part for size in sizes for part in ("--set", size)),
        *("--out", str(tmp_path), "--page", str(tmp_path / "RESULTS.md"), "--logs", str(tmp_path / "logs")),
    ]
    assert run.main(arguments) == 0
    result = json.loads((tmp_path / "smoke.multi_chain_reasoning.1.json").read_text())
    ours, theirs = result["arms"]["ttsc_wait"], result["arms"]["hand_wait"]
    assert ours["answers"] == theirs["answers"]
    for counter in ("prompt", "decoded", "requests"):
        assert ours["counts"][0][counter] == theirs["counts"][0][counter] > 0
    page = (tmp_path / "RESULTS.md").read_text()
    assert "## multi_chain_reasoning, one input alone" in page and "1 of 1" in page
