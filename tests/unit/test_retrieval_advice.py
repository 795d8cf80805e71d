"""Advice on retrieval: a formula fitted to runs, and the best setting that fits a context."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ttsc.errors import UsageError
from ttsc.planning.advice import retrieval_advice


def codes(error: pytest.ExceptionInfo[UsageError]) -> list[str]:
    return [problem.code for problem in error.value.problems]


def test_retrieval_is_fitted_from_observations(tmp_path: Path) -> None:
    rows = []
    for documents in (0, 2, 10):
        for shots in (0, 4):
            for rounds in (1, 3):
                for gain in (0.1, 0.3):
                    accuracy = 0.2 + 0.02 * documents * gain + 0.01 * shots + 0.02 * rounds
                    row = {"documents": documents, "shots": shots, "rounds": rounds, "accuracy": accuracy}
                    rows.append(json.dumps({**row, "document_gain": gain, "shot_gain": gain / 2}))
    path = tmp_path / "runs.jsonl"
    path.write_text("\n".join(rows))
    assert "10 documents, 4 shots, 3 rounds" in retrieval_advice(path, None, {})[-1]
    assert "2 documents, 4 shots, 3 rounds" in retrieval_advice(path, 900, {"document": 300, "shot": 50})[-1]
    assert "no setting fits" in retrieval_advice(path, -1, {})[-1]
    path.write_text("\n".join(rows[:3]))
    with pytest.raises(UsageError) as error:
        retrieval_advice(path, None, {})
    assert codes(error) == ["E0581"]
    path.write_text('{"documents": 1}')
    with pytest.raises(UsageError) as error:
        retrieval_advice(path, None, {})
    assert codes(error) == ["E0581"] and ":1" in str(error.value)
