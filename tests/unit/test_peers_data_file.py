"""What the peers' arms share: reading a data file, filling its texts, finding answers."""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "peers" / "arms" / "data_file.py"


@pytest.fixture
def data_file(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, found as the arms find it: in their folder."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    return importlib.import_module("data_file")


def test_places_are_filled_at_once_and_other_braces_stay(data_file: ModuleType) -> None:
    # A question that says {solution} must not receive the solution.
    filled = data_file.filled("{question} {x} {solution}", question="{solution}?", solution="{question}!")
    assert filled == "{solution}? {x} {question}!"


def test_the_last_match_counts(data_file: ModuleType) -> None:
    assert data_file.last_match(r"A: *(\d+)", "A: 1\nA: 2 \nB: 3") == "2"
    assert data_file.last_match(r"\d+", "7 of 10") == "10"
    assert data_file.last_match(r"(a)|b", "a b") is None
    assert data_file.last_match(r"\d", "none") is None


def test_commands_share_no_seeds(data_file: ModuleType) -> None:
    seeds = [set(itertools.islice(data_file.first_seeds(seed), 10_000)) for seed in range(20)]
    assert sum(map(len, seeds)) == len(set().union(*seeds)) == 200_000
    assert all(0 <= seed < 2**31 for each in seeds for seed in each)


def test_a_task_is_options_and_file(data_file: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_text(json.dumps({"workload": "w", "settings": {"n": 2}, "inputs": [{"values": {}}]}))
    options = argparse.Namespace(url="http://x/", model="m", workload="w", data=file)
    task = data_file.task(options)
    assert (task.url, task.settings["n"], len(task.inputs)) == ("http://x", 2, 1)
