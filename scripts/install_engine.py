#!/usr/bin/env python3
"""Installs the inference engine into the environment of the interpreter that runs this script.

With an NVIDIA GPU: `pip install sglang==0.5.23`, as its authors ship it. Without: the CPU build of torch and the
lean, pinned set of `requirements/engine-cpu.txt`, a tenth of the size. Running it again when all is there takes a
second.

    python scripts/install_engine.py            install what fits this machine
    python scripts/install_engine.py --cpu      install the CPU set although there is a GPU
    python scripts/install_engine.py --check    say what is missing, install nothing; exit status 1 if anything is
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib import metadata
from pathlib import Path

SGLANG = "sglang==0.5.23"
TORCH_VERSION = "2.13.0"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
COMPILER = "ziglang==0.17.1"
"""A C++ compiler as a Python package, where there is none: the CPU kernels are compiled at the engine's first start."""
REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements" / "engine-cpu.txt"


class InstallFailed(Exception):
    """pip could not install something; the message says what and why."""


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(description="Install the inference engine (SGLang) into this Python environment.")
    parser.add_argument("--cpu", action="store_true", help="install the CPU set although there is an NVIDIA GPU")
    parser.add_argument("--check", action="store_true", help="only say what is missing")
    options = parser.parse_args(arguments)
    if sys.version_info < (3, 11) or sys.platform != "linux":
        return _fail("the engine needs Python 3.11 or newer on Linux")
    started = time.monotonic()
    gpu = _has_nvidia_gpu() and not options.cpu
    missing = _missing([SGLANG]) if gpu else _missing(_cpu_packages()) + _missing_torch()
    if not missing:
        print(f"engine: all installed ({'GPU' if gpu else 'CPU'} set)")
        return 0
    target = "an NVIDIA GPU" if gpu else "the CPU"
    print(f"engine: {len(missing)} package(s) to install for {target}: {_abridged(missing)}", flush=True)
    if options.check:
        return 1
    try:
        if gpu:
            _pip(["install", SGLANG])
        else:
            _install_cpu_set()
    except InstallFailed as failure:
        return _fail(str(failure))
    print(f"engine: installed in {time.monotonic() - started:.0f} s")
    return 0


def _install_cpu_set() -> None:
    if _missing_torch():
        _install_torch()
    _pip(["install", "--no-deps", "--requirement", str(REQUIREMENTS)])
    if _needs_compiler():
        print("engine: no C++ compiler here (g++); taking one from the Python package index (100 MB)", flush=True)
        _pip(["install", "--no-deps", COMPILER])


def _install_torch() -> None:
    """The CPU build, from PyTorch's own index where that answers; else whatever build of that version pip finds."""
    source = ["--extra-index-url", TORCH_CPU_INDEX] if _answers(f"{TORCH_CPU_INDEX}/torch/") else []
    try:
        _pip(["install", *source, f"torch=={TORCH_VERSION}+cpu"])
    except InstallFailed:
        print("engine: no CPU build of torch to be had; installing the general one (larger)", flush=True)
        _pip(["install", f"torch=={TORCH_VERSION}"])


def _pip(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments, "--quiet"]
    print(f"engine: pip {' '.join(arguments)}", flush=True)
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()[
            -5:
        ]
        raise InstallFailed("\n  ".join([f"pip {arguments[0]} failed:", *errors]))


def _read_requirements() -> list[str]:
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _cpu_packages() -> list[str]:
    return [*_read_requirements(), *([COMPILER] if _needs_compiler() else [])]


def _needs_compiler() -> bool:
    """Whether the machine has no C++ compiler: gcc alone is none."""
    return not any(shutil.which(name) for name in ("g++", "c++", "clang++"))


def _missing(requirements: list[str]) -> list[str]:
    """The pinned requirements that are not installed in exactly that version."""
    installed = {_canonical(entry.metadata["Name"]): entry.version for entry in metadata.distributions()}
    pairs = (requirement.partition("==") for requirement in requirements)
    return [f"{name}=={version}" for name, _, version in pairs if installed.get(_canonical(name)) != version]


def _missing_torch() -> list[str]:
    try:
        found = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return [f"torch=={TORCH_VERSION}"]
    return [] if found.partition("+")[0] == TORCH_VERSION else [f"torch=={TORCH_VERSION}"]


def _canonical(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _abridged(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _has_nvidia_gpu() -> bool:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    listing = subprocess.run([tool, "--list-gpus"], capture_output=True, text=True, check=False)
    return listing.returncode == 0 and "GPU" in listing.stdout


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=4) as reply:
            return int(reply.status) == 200
    except (urllib.error.URLError, OSError):
        return False


def _fail(message: str) -> int:
    print(f"engine: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
