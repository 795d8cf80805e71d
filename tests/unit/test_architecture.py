"""The architecture, as far as a machine can check it; `make imports` checks the import contract."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("grammar", "compiler", "backends", "runtime", "stdlib", "src/ttsc")
HEAVY = ("torch", "sglang", "transformers", "lark", "pydantic", "httpx", "rich", "jinja2", "asyncio", "numpy", "scipy")
MAX_LINES = 400


def source_files() -> list[Path]:
    """Every Python file of the package, where it really lies."""
    found = [file for room in ROOMS for file in (ROOT / room).rglob("*.py")]
    return sorted({file for file in found if file.resolve() == file})


def modules_after(code: str) -> set[str]:
    """Names of the modules that are loaded after running `code` in a new interpreter."""
    script = f"import sys\n{code}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_ttsc_loads_nothing_heavy() -> None:
    loaded = modules_after("import ttsc")
    assert not loaded & set(HEAVY)
    assert {name for name in loaded if name.startswith("ttsc")} == {"ttsc"}


@pytest.mark.parametrize("name", ["compile", "connect", "launch", "extern"])
def test_using_the_interface_loads_no_engine(name: str) -> None:
    loaded = modules_after(f"import ttsc\nttsc.{name}")
    assert not loaded & {"torch", "sglang", "transformers", "httpx"}


def test_checking_a_program_loads_no_engine_and_no_validator() -> None:
    code = "import contextlib, io\nfrom ttsc.cli import run\nwith contextlib.redirect_stdout(io.StringIO()):\n"
    program = ROOT / "programs" / "self_consistency.tts"
    loaded = modules_after(f"{code}    assert run(['check', {str(program)!r}]) == 0")
    assert not loaded & {"torch", "sglang", "transformers", "httpx", "pydantic", "rich", "asyncio"}


def test_every_public_name_is_there() -> None:
    import ttsc

    for name in ttsc.__all__:
        assert getattr(ttsc, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'compil'"):
        _ = ttsc.compil


def test_files_are_short_and_say_what_they_are_for() -> None:
    for file in source_files():
        text = file.read_text(encoding="utf-8")
        assert text.count("\n") < MAX_LINES, f"{file} has {text.count(chr(10))} lines"
        if text.strip():
            assert ast.get_docstring(ast.parse(text)), f"{file} has no docstring"


def test_every_room_is_linked_and_its_bare_name_is_banned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    banned = project["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]
    for room in ROOMS[:-1]:
        link = ROOT / "src" / "ttsc" / room
        assert os.readlink(link) == f"../../{room}"
        assert room in banned


def test_locks_pin_everything_that_is_asked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name, wanted in (("core", project["dependencies"]), ("dev", project["optional-dependencies"]["dev"])):
        lines = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
        assert all(pins.values())
        for requirement in wanted:
            package = requirement.split(">")[0].split("=")[0].split("[")[0].strip()
            assert package in pins
