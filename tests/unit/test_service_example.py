"""The service of docs/embedding.md answers; the engine is the scripted one."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.setenv("ENGINE_URL", "http://scripted")
    spec = importlib.util.spec_from_file_location("fastapi_service", EXAMPLES / "fastapi_service.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_service_answers(service: Any, scripted: Callable[..., Any]) -> None:
    engine = scripted()
    with TestClient(service.app) as client:
        reply = client.post("/answer", params={"question": "What is the sum?", "n": 3})
        refused = client.post("/answer", params={"question": "What is the sum?", "n": 100_000})
    assert reply.status_code == 200
    assert set(reply.json()) == {"answer", "decoded_tokens"}
    assert len(engine.records) == 3
    assert refused.status_code == 422


def test_the_page_shows_the_file_as_it_is() -> None:
    code = (EXAMPLES / "fastapi_service.py").read_text(encoding="utf-8")
    assert code in (EXAMPLES.parent / "embedding.md").read_text(encoding="utf-8")
