"""Standalone files on the real engine, in a Python that cannot import ttsc: the same values as `ttsc run` gives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ttsc
from ttsc.cli import run

PROGRAMS = Path(__file__).parents[2] / "programs"
SEED = 3
SETTINGS: dict[str, dict[str, Any]] = {
    "atom_of_thoughts": {"max_tokens": 64, "attempts": 2},
    "best_of_n": {"n": 4},
    "budget_forcing": {"extensions": 1},
    "first_finish": {},
    "judged_steps": {"depth": 3},
    "parallel_distill_refine": {"rounds": 1, "width": 2},
    "self_consistency": {"n": 4},
    "speculative_steps": {"turns": 3, "step_tokens": 32},
    "tree_search": {"rounds": 3, "step_tokens": 32},
    "verified_vote": {"n": 4},
}
"""By program: what is smaller than the default, for a small model on a CPU."""
QUESTION = "A hen lays 2 eggs a day. How many eggs does she lay in 7 days?"
REFUSE = """
import runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "ttsc":
            raise ImportError("ttsc is refused here")
sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
PARTS = """
record Verdict { good: bool, grade: int in 0..10 }
store notes: list[str]
extern double(x: int) -> int
environment extern say(text: str) -> str

prompt ask_it(question: str) { user "{{ question }}" }
prompt grade(text: str) { user "Is this good? Answer in JSON with good and grade.\\n{{ text }}" }

program parts(question: str, n: int = 3 in 1..8) -> list[str] {
    let drafts = ask_it(question) |> sample(n, max_tokens=24)
    let verdict = grade(drafts[0].text) |> ask(Verdict, max_tokens=48, otherwise=Verdict(good=false, grade=0))
    let heard = say(drafts[0].text)
    let sure = drafts |> each(draft => draft |> logprob)
    notes += [heard]
    return [to_str(double(verdict.grade)), heard, to_str(length(sure))]
}
"""
"""Records, stores, both kinds of externs, log-probabilities."""
FUNCTIONS = """
def double(x):
    return 2 * x

def say(text):
    return text.upper()
"""


def from_file(folder: Path, source: Path, url: str, values: dict[str, Any], *more: str) -> Any:
    """What the program's standalone file prints."""
    file, refuse = folder / "file.py", folder / "refuse.py"
    assert run(["build", str(source), "-o", str(file)]) == 0
    refuse.write_text(REFUSE, encoding="utf-8")
    command = [sys.executable, str(refuse), str(file), "--url", url, "--input", json.dumps(values)]
    done = subprocess.run([*command, "--seed", str(SEED), "--json", *more], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["value"]


@pytest.mark.parametrize("name", SETTINGS)
def test_a_file_gives_what_the_program_gives(engine_url: str, name: str, tmp_path: Path) -> None:
    source = PROGRAMS / f"{name}.tts"
    values = {"question": QUESTION, **SETTINGS[name]}
    with ttsc.connect(engine_url) as engine:
        expected = ttsc.compile(source).run(values, engine=engine, seed=SEED).value
    assert from_file(tmp_path, source, engine_url, values) == expected


def test_an_offline_value_is_kept_between_runs(engine_url: str, tmp_path: Path) -> None:
    values = {"context": "The library opens at nine on weekdays.", "question": "When?", "max_tokens": 24}
    source, kept = PROGRAMS / "with_notes.tts", tmp_path / "kept"
    with ttsc.connect(engine_url) as engine:
        expected = ttsc.compile(source).run(values, engine=engine, seed=SEED, artifacts=tmp_path / "other").value
    for _ in range(2):
        assert from_file(tmp_path, source, engine_url, values, "--artifacts", str(kept)) == expected
    assert len(list(kept.iterdir())) == 1


def test_records_stores_externs_and_scores(engine_url: str, tmp_path: Path) -> None:
    source, functions, notes = tmp_path / "parts.tts", tmp_path / "functions.py", tmp_path / "notes.jsonl"
    source.write_text(PARTS, encoding="utf-8")
    functions.write_text(FUNCTIONS, encoding="utf-8")
    held = ttsc.Store.memory()
    externs = {"double": lambda x: 2 * x, "say": str.upper}
    with ttsc.connect(engine_url) as engine:
        expected = (
            ttsc.compile(source)
            .run(question=QUESTION, engine=engine, seed=SEED, externs=externs, stores={"notes": held})
            .value
        )
    more = ("--externs", str(functions), "--store", f"notes={notes}")
    assert from_file(tmp_path, source, engine_url, {"question": QUESTION}, *more) == expected
    assert [json.loads(line) for line in notes.read_text(encoding="utf-8").splitlines()] == list(held.items)
