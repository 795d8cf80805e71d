"""Groups of models, against stub servers: started, seen and stopped as one; each role on the model of its name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import ttsc
from ttsc.backends.protocol import EngineError, EngineUnavailable, ModelNotFound
from ttsc.backends.sglang import groups, kept, launcher
from ttsc.backends.sglang.groups import group_folder, model_folder, model_for_role, models_in
from ttsc.backends.sglang.models import resolve_model
from ttsc.cli import run
from ttsc.cli.engine_options import engines_given
from ttsc.engine_groups import group_engines
from ttsc.engines import EngineHandle
from ttsc.errors import UsageError

sys.path.insert(0, str(Path(__file__).parent))
from stub_launch import own_state, stub_engine_fixture  # noqa: E402, F401 (fixtures)


@pytest.fixture
def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A test bed of three models without weights."""
    monkeypatch.setattr(groups, "_CHECKOUT", tmp_path)
    folder = tmp_path / "benchmarks" / "testbed" / "models"
    for name in ("policy", "prm", "large"):
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text("{}")
    (folder / "notes").mkdir()
    (folder / "roles.toml").write_text('target = "large"\n')
    return folder


def test_a_group_is_a_folder_of_models(bed: Path) -> None:
    assert group_folder("testbed") == bed == group_folder(str(bed))
    assert list(models_in(bed)) == ["large", "policy", "prm"]
    assert group_folder(str(bed / "policy")) is None, "a model"
    assert group_folder(str(bed / "notes")) is None and group_folder("nowhere") is None
    assert model_folder("testbed/prm") == bed / "prm" and model_folder("owner/prm") is None
    assert resolve_model("testbed/prm").path == str(bed / "prm")
    with pytest.raises(ModelNotFound, match="no model 'judge'") as raised:
        model_folder("testbed/judge")
    assert "policy" in raised.value.hint


def test_a_role_has_the_model_of_its_name_or_of_the_roles_file(bed: Path) -> None:
    assert model_for_role(bed, "prm") == bed / "prm"
    assert model_for_role(bed, "target") == bed / "large"
    assert model_for_role(bed, "fuser") is None
    (bed / "roles.toml").write_text('fuser = "gone"\n')
    with pytest.raises(ModelNotFound, match="gone"):
        model_for_role(bed, "fuser")
    (bed / "roles.toml").write_text("fuser = \n")
    with pytest.raises(ModelNotFound, match="can't be read"):
        model_for_role(bed, "fuser")


def test_without_a_checkout_there_is_no_test_bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "_CHECKOUT", tmp_path)
    with pytest.raises(ModelNotFound, match="the test bed is not installed"):
        group_folder("testbed")
    assert run(["engine", "start", "testbed"]) == 5


def test_a_group_starts_is_seen_and_stops(
    bed: Path, stub_engine: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (kept, launcher):
        monkeypatch.setattr(module, "resolve", lambda model, progress: resolve_model(model).path)
    assert run(["engine", "start", "testbed", "--port", "3000"]) == 2, "one port is for one engine"
    assert run(["engine", "start", "testbed/policy", "--timeout", "30"]) == 0
    (first,) = kept.status("testbed")
    assert run(["engine", "start", str(bed), "--timeout", "30", "--", "--max-total-tokens", "100"]) == 0
    records = [each.record for each in kept.status("testbed")]
    assert sorted(Path(record.model_path).name for record in records) == ["large", "policy", "prm"]
    assert first.record in records, "what runs stays"
    capsys.readouterr()
    assert run(["engine", "status", "testbed", "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert run(["engine", "stop", "testbed"]) == 0
    assert kept.status() == []
    with pytest.raises(EngineError, match="no engine of 'testbed' is kept"):
        kept.status("testbed")


def test_one_that_cannot_start_does_not_stop_the_others(
    bed: Path, stub_engine: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    stub_engine("--exit-code", "3")
    assert run(["engine", "start", "testbed", "--timeout", "30"]) == 5
    assert capsys.readouterr().err.count("error[") == 3
    assert kept.status() == []


def test_each_role_gets_the_engine_of_its_model(bed: Path, stub_engine: Callable[..., None]) -> None:
    stub_engine()
    with pytest.raises(EngineUnavailable, match="testbed/prm"):
        group_engines("testbed", ["prm"], {})
    records = {name: kept.start_daemon(str(bed / name), timeout_s=30) for name in ("policy", "prm", "large")}
    found = group_engines("testbed", ["policy", "prm", "target"], {})
    urls = {role: handle.url for role, handle in found.items()}
    assert urls == {
        role: records[name].url for role, name in (("policy", "policy"), ("prm", "prm"), ("target", "large"))
    }
    assert group_engines("testbed", ["policy"], {"policy": "testbed/large"})["policy"].url == records["large"].url
    with pytest.raises(UsageError, match="'fuser'"):
        group_engines("testbed", ["fuser"], {})
    given = engines_given(("testbed", "prm=http://127.0.0.1:9"), None, ["policy", "prm"], {})
    assert isinstance(given, dict)
    handles = {role: handle.url for role, handle in given.items() if isinstance(handle, EngineHandle)}
    assert handles == {"policy": records["policy"].url, "prm": "http://127.0.0.1:9"}
    one = engines_given(("prm=testbed/prm", "policy=testbed/policy"), None)
    assert isinstance(one, dict) and isinstance(one["prm"], EngineHandle) and one["prm"].url == records["prm"].url
    assert kept.find_running("testbed/prm") == records["prm"]


def test_a_role_that_rates_needs_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def launched(*_: object) -> None:
        raise AssertionError("nothing starts")

    monkeypatch.setattr("ttsc.engines._kept_or_launched", launched)
    program = ttsc.compile("std:weighted_best_of_n")
    with pytest.raises(UsageError, match="'prm' rates texts") as raised:
        program.run(question="?")
    assert raised.value.problems[0].code == "E0510"
