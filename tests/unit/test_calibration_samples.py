"""Samples are kept: nothing is asked twice, and what is in the file decides nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from calibration_engine import PROGRAM, Planted

import ttsc
from ttsc.calibration.samples import FORMAT, Samples


def calls() -> tuple[list[str], ttsc.extern]:  # type: ignore[valid-type]
    made: list[str] = []

    @ttsc.extern
    def looks_right(solution: str) -> bool:
        made.append(solution)
        return "A:1000" not in solution

    return made, looks_right


def keys(text: str) -> list[str]:
    """Of all lines but the first, sorted."""
    return sorted(json.loads(line)["key"] for line in text.splitlines()[1:])


def test_a_second_calibration_asks_nothing_and_learns_the_same(tmp_path: Path) -> None:
    planted, journal = Planted(), tmp_path / "samples.jsonl"
    engine, program = planted.engine(), ttsc.compile(PROGRAM, "checked")
    first = program.calibrate(planted.rows(6), samples=8, engine=engine, journal=journal)
    asked = len(engine.records)
    again = program.calibrate(planted.rows(6), samples=8, engine=engine, journal=journal)
    assert (first.asked, first.taken) == (asked, 0) and asked > 0
    assert (again.asked, again.taken) == (0, asked) and len(engine.records) == asked
    assert again.workload == first.workload and again.figures == first.figures


def test_more_samples_more_inputs_and_other_programs_ask_for_what_is_new(tmp_path: Path) -> None:
    planted, journal = Planted(), tmp_path / "samples.jsonl"
    engine = planted.engine()
    voted = ttsc.compile(PROGRAM, "voted")
    voted.calibrate(planted.rows(4), samples=8, engine=engine, journal=journal)
    more = voted.calibrate(planted.rows(4), samples=12, engine=engine, journal=journal)
    assert (more.asked, more.taken) == (4 * 4, 4 * 8)
    wider = voted.calibrate(planted.rows(5), samples=12, engine=engine, journal=journal)
    assert (wider.asked, wider.taken) == (12, 4 * 12)
    revised = ttsc.compile(PROGRAM, "revised").calibrate(planted.rows(5), samples=12, engine=engine, journal=journal)
    assert (revised.asked, revised.taken) == (60, 60), "the pool is there, the revisions are not"


def test_other_temperatures_and_seeds_are_other_samples(tmp_path: Path) -> None:
    planted, journal = Planted(), tmp_path / "samples.jsonl"
    engine, program = planted.engine(), ttsc.compile(PROGRAM, "voted")
    program.calibrate(planted.rows(3), samples=4, engine=engine, journal=journal)
    warm = program.calibrate(planted.rows(3), samples=4, engine=engine, journal=journal, temperatures=(0.7, 1.0))
    assert (warm.asked, warm.taken) == (12, 12)
    other = program.calibrate(planted.rows(3), samples=4, engine=engine, journal=journal, seed=1)
    assert (other.asked, other.taken) == (12, 0)


def test_values_of_host_functions_are_kept(tmp_path: Path) -> None:
    planted, journal = Planted(), tmp_path / "samples.jsonl"
    made, looks_right = calls()
    engine, program = planted.engine(), ttsc.compile(PROGRAM, "tested")
    options = {"samples": 8, "engine": engine, "externs": [looks_right], "journal": journal}
    first = program.calibrate(planted.rows(4), **options)  # type: ignore[arg-type]
    before = len(made)
    again = program.calibrate(planted.rows(4), **options)  # type: ignore[arg-type]
    assert before > 0 and len(made) == before and again.asked == 0
    assert again.workload.verdicts == first.workload.verdicts


def test_what_a_crash_cut_off_is_dropped_and_asked_again(tmp_path: Path) -> None:
    planted, journal = Planted(), tmp_path / "samples.jsonl"
    engine, program = planted.engine(), ttsc.compile(PROGRAM, "voted")
    first = program.calibrate(planted.rows(3), samples=4, engine=engine, journal=journal)
    text = journal.read_text(encoding="utf-8")
    journal.write_text(text[:-20], encoding="utf-8")
    again = program.calibrate(planted.rows(3), samples=4, engine=engine, journal=journal)
    assert (again.asked, again.taken) == (1, 11) and again.workload == first.workload
    assert keys(journal.read_text(encoding="utf-8")) == keys(text)


def test_without_a_file_all_is_asked_each_time() -> None:
    planted = Planted()
    engine, program = planted.engine(), ttsc.compile(PROGRAM, "voted")
    first = program.calibrate(planted.rows(2), samples=4, engine=engine)
    again = program.calibrate(planted.rows(2), samples=4, engine=engine)
    assert (first.asked, again.asked) == (8, 8) and again.workload == first.workload


@pytest.mark.parametrize(
    "text", ['{"format": "another"}\n', "no JSON at all\n", "\x00\n", json.dumps({"format": FORMAT}) + "\n{}\n", "half"]
)
def test_another_file_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ttsc.UsageError) as refused:
        Samples(path)
    assert refused.value.problems[0].code == "E0560" and path.read_text(encoding="utf-8") == text


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ttsc.UsageError) as refused:
        Samples(tmp_path)
    assert refused.value.problems[0].code == "E0560"
