"""A role that only gives vectors is bound to an engine that is launched for that."""

from __future__ import annotations

from typing import Any

import pytest

import ttsc
from ttsc.backends.scripted import ScriptedEngine

NEAR = """
model policy, small
prompt solve(question: str) { user "{{ question }}" }
program near(question: str, documents: list[str]) -> list[str] {
    return documents |> nearest(question, 1, model=small)
}
program both(question: str) -> float {
    return embed(solve(question) |> sample(1, max_tokens=4, model=policy) |> one |> text, small) |> sum
}
"""


@pytest.mark.parametrize(("program", "embeds"), [("near", {"small": True}), ("both", {"small": True, "policy": False})])
def test_a_model_that_gives_vectors_alone_is_launched_for_that(
    monkeypatch: pytest.MonkeyPatch, program: str, embeds: dict[str, bool]
) -> None:
    asked: list[tuple[str, bool]] = []

    class Handle:
        async def __aenter__(self) -> Handle:
            return self

        async def __aexit__(self, *_: object) -> None:
            return None

        async def client(self) -> ScriptedEngine:
            return ScriptedEngine(lambda *_: "yes")

    async def opened(model: str, embedding: bool, on_progress: object) -> Handle:
        asked.append((model, embedding))
        return Handle()

    monkeypatch.setattr("ttsc.engines._kept_or_launched", opened)
    given: dict[str, Any] = {"question": "sky"} | ({"documents": ["a sky", "b"]} if program == "near" else {})
    models = dict.fromkeys(embeds, "m")
    result = ttsc.compile(NEAR, program=program).run(given, models=models)
    assert program == "both" or result.value == ["a sky"]
    assert sorted(asked) == sorted(("m", embedding) for embedding in embeds.values())
