"""The doctor: what it says of this machine, and of servers that do and do not do what ttsc relies on."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from ttsc.backends.sglang import doctor, server_command
from ttsc.backends.sglang.doctor import Check, diagnose
from ttsc.backends.sglang.server_command import free_port

sys.path.insert(0, str(Path(__file__).parent))
from fake_sglang import Behaviour, StubServer  # noqa: E402
from test_tokenizer import CHATML, save  # noqa: E402


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTSC_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TTSC_CACHE_DIR", str(tmp_path / "cache"))


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_this_machine_is_described() -> None:
    found = by_name(diagnose())
    assert found["python"].status == "ok"
    assert found["packages"].status == "ok"
    assert found["built-in model"].status == "warn"
    assert found["kept engines"].detail == "none"
    assert {"sglang", "torch", "gpu", "cpu", "memory", "cache folder", "state folder"} <= set(found)
    assert all(check.fix for check in found.values() if check.status == "missing")


def test_a_missing_sglang_comes_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version
    absent = {"sglang", "torch"}

    def without(package: str) -> str:
        if package in absent:
            raise importlib.metadata.PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr(importlib.metadata, "version", without)
    found = by_name(diagnose())
    assert found["sglang"].status == "missing"
    assert found["sglang"].fix == server_command.install_command()
    monkeypatch.setattr(importlib.metadata, "version", lambda package: "0.5.3")
    assert by_name(diagnose())["sglang"].status == "warn"


def test_a_gpu_beside_a_torch_for_the_cpu_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "cuda_devices", lambda: ["NVIDIA H100, 81559 MiB"])
    monkeypatch.setattr(importlib.metadata, "version", lambda package: "2.13.0+cpu")
    assert by_name(diagnose())["gpu"].status == "warn"


def test_nothing_heavy_is_imported() -> None:
    code = "import sys; from ttsc.backends.sglang.doctor import diagnose; diagnose(); "
    code += "print([name for name in ('torch', 'sglang', 'transformers') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_good_server_passes(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    save(folder, tokenizer_config={"chat_template": CHATML, "eos_token": "<|im_end|>"})
    with StubServer(Behaviour(model_path=str(folder))) as stub:
        found = by_name(diagnose(stub.url))
    names = ("server", "server version", "tokenizer", "seeds", "prefix cache", "metrics")
    assert {name: found[name].status for name in names} == dict.fromkeys(names, "ok")


def test_a_server_without_seeds_is_told_apart(tmp_path: Path) -> None:
    save(tmp_path, tokenizer_config={"chat_template": CHATML})
    with StubServer(Behaviour(deterministic=False)) as stub:
        found = by_name(diagnose(stub.url, str(tmp_path)))
    assert found["seeds"].status == "warn"
    assert "--enable-deterministic-inference" in found["seeds"].fix


def test_no_server_is_reported_not_raised() -> None:
    found = by_name(diagnose(f"http://127.0.0.1:{free_port()}"))
    assert found["server"].status == "missing"


def test_a_server_without_a_tokenizer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ttsc.backends.sglang.tokenizer._from_hub", lambda name: None)
    with StubServer() as stub:
        found = by_name(diagnose(stub.url))
    assert found["tokenizer"].status == "missing"
    assert "--tokenizer" in found["tokenizer"].fix
