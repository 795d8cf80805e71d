"""Fixtures of the command-line tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # cli_programs.py, executor_programs.py
from cli_programs import SCRIPT, VOTE, Captured  # noqa: E402

from ttsc.backends.scripted import ScriptedEngine  # noqa: E402


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "vote_on.tts"
    path.write_text(VOTE, encoding="utf-8")
    return str(path)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ScriptedEngine]:
    """`scripted(fault=…)` is the engine that every `--engine http://scripted` gets."""

    def use(**more: Any) -> ScriptedEngine:
        engine = ScriptedEngine(SCRIPT, **more)

        async def connect(*_: Any, **__: Any) -> ScriptedEngine:
            return engine

        monkeypatch.setattr("ttsc.backends.sglang.client.SGLangEngine.connect", connect)
        return engine

    return use


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Captured:
    def read() -> tuple[str, str]:
        captured = capsys.readouterr()
        return captured.out, captured.err

    return read
