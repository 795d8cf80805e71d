"""Calibration on a real server: what is learned is what its answers say, and nothing is asked twice."""

from __future__ import annotations

from pathlib import Path

import pytest

import ttsc
from ttsc.workloads import read_workload

PROGRAM = """
prompt solve(question: str) {
    system "Answer with one number."
    user "How much is 2 + 2?"
    assistant "A: 4"
    user "{{ question }}"
}

extern small(text: str) -> bool

function answer(text: str) -> str? = find(text, "A: *([0-9]+)", 1)

program sums(question: str, n: int = 2 in 1..8) -> str {
    let pool = solve(question) |> sample(n, temperature=0.8, max_tokens=12)
    let few = pool |> filter(c => small(c.text)) |> vote(by=answer, otherwise="")
    if few != "" { return few }
    return pool |> vote(by=answer, otherwise="")
}
"""


def test_a_workload_of_a_real_server(engine_url: str, tmp_path: Path) -> None:
    seen: list[str] = []

    @ttsc.extern
    def small(text: str) -> bool:
        seen.append(text)
        return len(text) < 6

    rows = [{"question": f"How much is {i} + {i}?", "gold": str(2 * i)} for i in range(1, 5)]
    program = ttsc.compile(PROGRAM)
    with ttsc.connect(engine_url) as engine:
        options = {"samples": 6, "engine": engine, "externs": [small], "journal": tmp_path / "samples.jsonl"}
        found = program.calibrate(rows, **options)  # type: ignore[arg-type]
        texts = list(seen)
        again = program.calibrate(rows, **options)  # type: ignore[arg-type]
    assert found.failed == 0 and found.asked >= 24
    assert again.asked == 0 and seen == texts and again.workload == found.workload
    (right,) = [each for each in found.figures if (each.group, each.name) == ("answers", "right")]
    assert right.samples == 24 and right.inputs == 4
    mean = sum(question.accuracy for question in found.workload.questions) / 4
    assert right.estimate == pytest.approx(mean, abs=1e-5)
    lengths = found.workload.writing["sample:policy"].tokens
    assert 1 <= lengths.values[0] and lengths.values[-1] <= 13
    assert all(question.prompt_tokens and question.prompt_tokens > 10 for question in found.workload.questions)
    assert any("4 inputs are too few" in note for note in found.notes)
    found.write(tmp_path / "w.toml")
    assert read_workload(tmp_path / "w.toml") == found.workload
