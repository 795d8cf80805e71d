"""The test bed's committed models: complete, of the shapes that their cards say, and readable by their tokenizer.

What they can do is measured by benchmarks/testbed/evaluate.py; here nothing is computed with them.
"""

from __future__ import annotations

import json
import random
import re
import struct
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.testbed.task import answer_of, apply, arithmetic_right, problem, steps_right  # noqa: E402

TESTBED = ROOT / "benchmarks" / "testbed"
MODELS = sorted(path for path in (TESTBED / "models").iterdir() if path.is_dir())
REWARDS = {"prm", "prm_weak", "prm_biased"}
LARGER = REWARDS | {"large", "judge"}
"""Two layers more than the policy has."""


def tensors(folder: Path) -> dict[str, dict[str, object]]:
    """The header of a safetensors file: by name, its type and shape."""
    with (folder / "model.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, dict[str, object]] = json.loads(file.read(length))
    return {name: value for name, value in header.items() if name != "__metadata__"}


def test_all_are_there() -> None:
    assert {path.name for path in MODELS} == REWARDS | {"policy", "strong", "judge", "reviser", "fuser", "large"}


@pytest.mark.parametrize("folder", MODELS, ids=lambda path: path.name)
def test_a_model_is_what_its_configuration_says(folder: Path) -> None:
    config, held = json.loads((folder / "config.json").read_text()), tensors(folder)
    reward = folder.name in REWARDS
    assert config["architectures"] == ["LlamaForSequenceClassification" if reward else "LlamaForCausalLM"]
    assert config["num_hidden_layers"] == (6 if folder.name in LARGER else 4)
    layers = {int(found[1]) for name in held if (found := re.search(r"layers\.(\d+)\.", name))}
    assert layers == set(range(config["num_hidden_layers"]))
    assert held["model.embed_tokens.weight"]["shape"] == [config["vocab_size"], config["hidden_size"]]
    assert ("score.weight" in held) == reward
    assert ("model.layers.0.self_attn.q_proj.bias" in held) == config.get("attention_bias", False)
    assert {value["dtype"] for value in held.values()} == {"BF16"}


@pytest.mark.parametrize("folder", MODELS, ids=lambda path: path.name)
def test_a_tokenizer_has_an_id_for_each_character(folder: Path) -> None:
    text = "Q:78+41-33*05\n78+41=22\nA:22\nW\nV\nyn?"
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids
    assert len(ids) == len(text) and 2 not in ids
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    assert settings["eos_token"] == "<eos>" and settings["chat_template"]


@pytest.mark.parametrize("folder", MODELS, ids=lambda path: path.name)
def test_a_model_has_a_card(folder: Path) -> None:
    assert f"`{folder.name}`" in (TESTBED / "README.md").read_text()


def test_together_they_are_small() -> None:
    assert sum(path.stat().st_size for folder in MODELS for path in folder.iterdir()) < 19_000_000


def test_a_solution_of_a_problem_is_right_at_every_step() -> None:
    numbers = random.Random(0)
    for operations in range(3, 8):
        asked = problem(numbers, operations)
        assert steps_right(asked, asked.solution) == (True,) * operations
        assert all(map(arithmetic_right, asked.steps)) and answer_of(asked.solution) == asked.answer


def test_a_step_from_a_wrong_value_is_wrong_though_its_arithmetic_is_right() -> None:
    asked = problem(random.Random(1), 3)
    (sign, operand), (after, by), _ = asked.operations
    wrong = (apply(asked.first, sign, operand) + 1) % 97
    first = f"{asked.first:02d}{sign}{operand:02d}={wrong:02d}"
    second = f"{wrong:02d}{after}{by:02d}={apply(wrong, after, by):02d}"
    assert steps_right(asked, f"{first}\n{second}\n") == (False, False)
    assert not arithmetic_right(first) and arithmetic_right(second)
