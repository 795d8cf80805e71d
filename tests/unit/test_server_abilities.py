"""What a server says of itself, what follows from it, and how a reward model is started and looked at."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ttsc.backends.sglang import health, kept, server_command
from ttsc.backends.sglang.abilities import abilities, schema_facts
from ttsc.backends.sglang.architecture import folder_architectures, served_purpose
from ttsc.backends.sglang.doctor import diagnose_server

sys.path.insert(0, str(Path(__file__).parent))
from fake_sglang import Behaviour, Fault, StubServer  # noqa: E402
from stub_launch import own_state, stub_engine_fixture  # noqa: E402, F401 (fixtures)
from test_tokenizer import CHATML, save  # noqa: E402

REWARD = Behaviour(architecture="LlamaForSequenceClassification", pooled_dimensions=1)


@pytest.mark.parametrize(
    ("architectures", "is_generation", "expected"),
    [
        (["LlamaForCausalLM"], True, "generate"),
        (["LlamaForCausalLM"], False, "embed"),
        (["BertModel"], False, "embed"),
        (["ChatGLMModel"], True, "generate"),
        (["LlamaForSequenceClassification"], False, "reward"),
        (["LlamaForSequenceClassificationWithNormal_Weights"], False, "reward"),
        (["InternLM2ForRewardModel"], False, "reward"),
        (["LlamaForClassification"], False, "reward"),
        ([], False, "embed"),
    ],
)
def test_what_a_server_offers_follows_from_its_model(
    architectures: Sequence[str], is_generation: bool, expected: str
) -> None:
    assert served_purpose(architectures, is_generation) == expected
    found = abilities({"architectures": architectures, "is_generation": is_generation}, {})
    assert found == ({"generate", "score", "schema"} if expected == "generate" else {expected})


def test_what_stands_between_the_parts_of_a_value_is_told() -> None:
    assert schema_facts({}).startswith("unknown")
    assert schema_facts({"grammar_backend": "none"}) == "none"
    assert schema_facts({"grammar_backend": "xgrammar", "constrained_json_disable_any_whitespace": True}) == (
        "xgrammar, compact"
    )
    assert "2 white space" in schema_facts({"grammar_backend": "xgrammar", "constrained_json_max_whitespace_cnt": 2})
    assert schema_facts({"grammar_backend": "outlines"}).endswith("--constrained-json-disable-any-whitespace")


@pytest.mark.parametrize("cuda", [False, True])
def test_a_folder_with_a_reward_model_is_served_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuda: bool
) -> None:
    monkeypatch.setattr(server_command, "cuda_available", lambda: cuda)
    for name, wanted in (("LlamaForCausalLM", 0), ("Qwen2ForRewardModel", 1), ("LlamaForSequenceClassification", 1)):
        (tmp_path / "config.json").write_text(json.dumps({"architectures": [name]}))
        command = server_command.server_command(str(tmp_path), 30001)
        assert command.argv.count("--is-embedding") == wanted
        assert "--constrained-json-disable-any-whitespace" in command.argv
        again = server_command.server_command(str(tmp_path), 30001, extra_args=("--is-embedding",))
        assert again.argv.count("--is-embedding") == 1


@pytest.mark.parametrize("config", ["", "[]", "{}", '{"architectures": null}', '{"architectures": 3}'])
def test_a_config_without_an_architecture_says_nothing(tmp_path: Path, config: str) -> None:
    assert folder_architectures(str(tmp_path)) == ()
    assert folder_architectures("owner/name") == ()
    (tmp_path / "config.json").write_text(config)
    assert folder_architectures(str(tmp_path)) == ()


@pytest.mark.parametrize(("behaviour", "name"), [(REWARD, "reward"), (Behaviour(pooled_dimensions=3), "embed")])
async def test_the_doctor_asks_such_a_server_what_it_can_answer(
    tmp_path: Path, behaviour: Behaviour, name: str
) -> None:
    save(tmp_path, tokenizer_config={"chat_template": CHATML})
    with StubServer(behaviour) as stub:
        found = {check.name: check for check in await diagnose_server(stub.url, str(tmp_path))}
    assert {check.status for check in found.values()} == {"ok"}
    assert found["abilities"].detail == name
    assert name in found and "seeds" not in found


@pytest.mark.parametrize("behaviour", [Behaviour(), REWARD, Behaviour(pooled_dimensions=3)])
def test_a_server_is_ready_once_its_model_computes(behaviour: Behaviour) -> None:
    with StubServer(behaviour) as stub:
        stub.faults.append(Fault("status", status=503))
        assert not health._computes(stub.url, 5.0)
        assert health._computes(stub.url, 5.0)
        assert len(stub.bodies) == 2


def test_one_model_generating_and_embedding_is_two_engines(stub_engine: Callable[..., None]) -> None:
    stub_engine()
    generating = kept.start_daemon("some/model", timeout_s=30)
    embedding = kept.start_daemon("some/model", timeout_s=30, extra_args=("--is-embedding",))
    assert generating.url != embedding.url
    assert (generating.embeds, embedding.embeds) == (False, True)
    assert kept.find_running("some/model") == generating
    assert kept.find_running(embedding.name) == embedding
    assert kept.start_daemon("some/model", timeout_s=30, extra_args=("--is-embedding",)) == embedding
    kept.stop(generating.name)
    assert kept.find_running("some/model") is None, "a role that generates cannot use it"
    assert kept.stop("some/model") == [embedding]
