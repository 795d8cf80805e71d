"""From names to machines: what `--hardware`, `--model`, `--profile` and a connected engine stand for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ttsc.backends.protocol import EngineInfo
from ttsc.compiler.cost.roofline import Roofline
from ttsc.errors import UsageError
from ttsc.machines import costs_for, costs_of_engine, hardware_named, machine_for, shape_named

LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 1000,
    "max_position_embeddings": 2048,
}


def code(caught: pytest.ExceptionInfo[UsageError]) -> str:
    (problem,) = caught.value.problems
    assert problem.hint
    return problem.code


def test_without_a_word_it_is_qwen3_8b_on_an_h100() -> None:
    machine = machine_for()
    assert (machine.model, machine.name) == ("Qwen3-8B", "H100 SXM")
    assert machine.source == "roofline of Qwen3-8B on H100 SXM"
    assert machine.limits.kv_tokens > 300_000


@pytest.mark.parametrize("name", ["h100", "H100", "NVIDIA H100 80GB HBM3", "RTX4090", "cpu_avx512", "mi300x"])
def test_hardware_by_its_name_or_the_drivers(name: str) -> None:
    assert hardware_named(name).devices == 1


def test_several_devices() -> None:
    four = machine_for("4xH100", "Qwen3-32B")
    assert four.name == "4 x H100 SXM"
    assert isinstance(four.steps, Roofline) and four.steps.tensor_parallel == 4
    assert hardware_named("2xmi300x").name == "MI300X"


def test_devices_without_a_link_do_not_serve_a_model_together() -> None:
    with pytest.raises(UsageError, match="no link between them") as caught:
        machine_for("2xorin", "Qwen3-0.6B")
    assert code(caught) == "E0530"


def test_a_model_by_its_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    machine = machine_for("cpu", str(tmp_path))
    assert machine.model == tmp_path.name
    assert machine.limits.context_tokens == 2048
    assert isinstance(machine.steps, Roofline) and machine.steps.shape.compute == "fp32"


def test_a_model_by_its_id() -> None:
    assert shape_named("Qwen/Qwen3-8B") == shape_named("qwen3-8b")


def test_a_fetched_model_of_a_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "models--somebody--their-model" / "snapshots" / "abc"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(LLAMA))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert shape_named("somebody/their-model").layers == 2


def test_unknown_hardware_is_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'h100'") as caught:
        machine_for("h10")
    assert code(caught) == "E0530"


@pytest.mark.parametrize("name", ["h1000", "NVIDIA GH200 480GB", "GB200"])
def test_a_name_that_only_holds_a_known_one_is_another_device(name: str) -> None:
    with pytest.raises(UsageError, match="no hardware is known") as caught:
        hardware_named(name)
    assert code(caught) == "E0530"


def test_a_hardware_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="nowhere.toml") as caught:
        machine_for("nowhere.toml")
    assert code(caught) == "E0530"


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'Qwen3-8B'") as caught:
        machine_for("h100", "Qwen3-9B")
    assert code(caught) == "E0531"


def test_a_model_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="61 GiB") as caught:
        machine_for("rtx4090", "Qwen3-32B")
    assert code(caught) == "E0532"


@pytest.mark.parametrize("text", [None, "format = 99"])
def test_a_profile_that_is_none_is_refused(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "profile.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UsageError, match="profile") as caught:
        machine_for(profile=file)
    assert code(caught) == "E0533"


def engine(device: str, model: str = "Qwen/Qwen3-8B", **details: str) -> EngineInfo:
    return EngineInfo("sglang", model, 40_960, False, 1, device, max_running=64, kv_tokens=100_000, details=details)


def test_a_connected_engine_has_its_own_limits() -> None:
    costs = costs_of_engine(engine("NVIDIA H100 80GB HBM3", chunked_prefill_size="2048"))
    assert costs is not None
    assert (costs.machine.limits.kv_tokens, costs.machine.limits.running) == (100_000, 64)
    assert costs.machine.limits.chunk_tokens == 2048


def test_an_engine_of_unknown_hardware_takes_what_is_named() -> None:
    far = engine("cuda", url="http://somewhere:30000")
    assert costs_of_engine(far) is None
    named = costs_of_engine(far, "l40s")
    assert named is not None and named.hardware is not None
    assert named.hardware.name == "L40S"


def test_an_engine_of_an_unknown_model_has_no_costs() -> None:
    assert costs_of_engine(engine("cpu", "nobody/knows")) is None


def test_an_engine_on_several_devices() -> None:
    costs = costs_of_engine(engine("NVIDIA A100-SXM4-80GB", tp_size="4"))
    assert costs is not None and costs.hardware is not None
    assert costs.hardware.devices == 4


def test_a_paid_machine_knows_its_dollars(tmp_path: Path) -> None:
    file = tmp_path / "rented.toml"
    file.write_text('base = "h100"\ndevices = 2\ndollars_per_hour = 1.8\n')
    machine = costs_for(str(file), "Qwen3-8B").machine
    assert machine.dollars_per_s == pytest.approx(2 * 1.8 / 3600)
    assert machine_for().dollars_per_s is None
