"""Calibration recovers what was planted: answers as the program reads them, verifiers, grades, revisions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from calibration_engine import PROGRAM, Planted
from click.testing import CliRunner, Result

import ttsc
from ttsc.calibration.calibrate import Calibration, split_inputs
from ttsc.calibration.figures import Figure
from ttsc.calibration.observations import Kind, Rating
from ttsc.calibration.report import as_json, as_text
from ttsc.calibration.verifiers import auc, calibration, verdicts
from ttsc.calibration.widening import widened
from ttsc.cli.app import app
from ttsc.compiler.cost.distributions import Lengths
from ttsc.compiler.cost.workload_file import parse_workload, workload_text
from ttsc.compiler.ir.nodes import Generate, Score
from ttsc.compiler.ir.rewrite import walk
from ttsc.compiler.ir.verify import verify
from ttsc.compiler.semantics.check import check
from ttsc.grammar.source import Source
from ttsc.library import FileLibrary
from ttsc.workloads import read_workload

PROGRAMS = Path(__file__).resolve().parents[2] / "programs"
INPUTS = 24


@ttsc.extern
def looks_right(solution: str) -> bool:
    return "A:1000" not in solution


def calibrated(name: str, planted: Planted | None = None, **options: Any) -> Calibration:
    planted = planted or Planted()
    rows = options.pop("rows", planted.rows(INPUTS))
    externs = [looks_right] if name in ("tested", "looped") else None
    program = ttsc.compile(PROGRAM, name)
    return program.calibrate(rows, **{"samples": 16, "engine": planted.engine(), "externs": externs, **options})


@cache
def usual(name: str) -> Calibration:
    """The calibration that several tests look at."""
    return calibrated(name)


def figure(found: Calibration, name: str, group: str = "") -> Figure:
    (one,) = [each for each in found.figures if each.name == name and each.group.startswith(group)]
    return one


def holds(found: Calibration, name: str, planted: float) -> bool:
    one = figure(found, name)
    assert one.low is not None and one.high is not None
    return one.low <= planted <= one.high


# --- samples and answers


def test_accuracy_lengths_and_answers() -> None:
    found = usual("voted")
    assert holds(found, "right", (0.2 + 0.5 + 0.9) / 3) and holds(found, "tokens of a generation", 25.5)
    questions = found.workload.questions
    assert len(questions) == INPUTS and [each.gold for each in questions] == [str(i) for i in range(INPUTS)]
    for start, planted in enumerate((0.2, 0.5, 0.9)):
        here = [each.accuracy for each in questions[start::3]]
        assert sum(here) / len(here) == pytest.approx(planted, abs=0.08)
    assert set(dict(questions[3].answers)) <= {"3", "1000", "1001", "1002"}
    assert found.workload.collision == pytest.approx(1 / 3, abs=0.04)
    assert found.workload.writing["sample:policy"].answer == "A:{answer}"
    assert found.workload.writing["sample:policy"].temperature == 0.7
    assert found.workload.samples == 16 * INPUTS
    assert found.failed == 0 and found.inputs == INPUTS


def test_a_pool_that_decides_early_is_sampled_whole() -> None:
    """At -O2 a vote stops when it is decided, and the program's n is 4."""
    assert figure(calibrated("voted", samples=10), "right").samples == 10 * INPUTS


def test_more_of_a_pool_than_its_parameter_allows() -> None:
    assert figure(calibrated("voted", samples=40, rows=Planted().rows(2)), "right").samples == 80


def test_answers_are_compared_as_the_program_reads_them() -> None:
    program = ttsc.compile(PROGRAM, "voted")
    for gold in ("7", "7.0", "so\nA:7", 7):
        rows = [{"question": "Q7", "gold": gold}]
        found = program.calibrate(rows, samples=8, engine=Planted((1.0,)).engine())
        assert found.workload.questions[0].accuracy == 1.0, gold


def test_a_generation_without_an_answer_is_wrong() -> None:
    program = ttsc.compile(PROGRAM.replace('"A: *(-?[0-9]+)"', '"Z: *(-?[0-9]+)"'), "voted")
    found = program.calibrate(Planted().rows(12), samples=4, engine=Planted().engine())
    assert figure(found, "no answer").estimate == 1.0 and figure(found, "right").estimate == 0.0
    assert any("reads no answer in 48 of 48" in each for each in found.notes)
    assert found.workload.questions[0].answers == (("", 1.0),)


def test_without_right_answers_the_commonest_stands_for_them() -> None:
    rows = [{"question": f"Q{i}"} for i in range(12)]
    found = calibrated("checked", rows=rows)
    assert any(each.startswith("no right answers were given") for each in found.notes)
    assert not [each for each in found.figures if each.name == "right"] and not found.workload.verdicts
    question = found.workload.questions[2]
    assert question.gold is None and question.accuracy == max(dict(question.answers).values())
    assert figure(found, "entropy of an input's answers").samples == 12


def test_inputs_are_measured_at_each_temperature() -> None:
    class Warm(Planted):
        def reply(self, prompt: str, seed: int, sampling: Any) -> str:
            self.accuracies = (0.9,) if sampling.temperature < 0.6 else (0.5,)
            return super().reply(prompt, seed, sampling)

    found = calibrated("voted", Warm(), temperatures=(1.0, 0.5))
    assert not found.workload.writing["sample:policy"].by_temperature, "a shift of all inputs would come on top"
    for question in found.workload.questions:
        low, high = question.by_temperature
        assert (low.temperature, high.temperature) == (0.5, 1.0)
        assert (high.accuracy, high.answers) == (question.accuracy, question.answers)
        assert dict(low.answers)[str(question.gold)] == low.accuracy
        assert question.at(0.75).accuracy == pytest.approx((low.accuracy + high.accuracy) / 2)
    mean = fmean(question.at(0.5).accuracy for question in found.workload.questions)
    assert mean == pytest.approx(0.9, abs=0.06)
    assert figure(found, "right", "answers, T = 0.5").estimate > figure(found, "right", "answers, T = 1").estimate
    assert parse_workload(workload_text(found.workload)) == found.workload


# --- verifiers, grades, revisions


def test_a_verifiers_rates() -> None:
    planted = Planted()
    found = calibrated("checked", planted)
    assert holds(found, "right ones accepted", 0.8) and holds(found, "wrong ones accepted", 0.3)
    (rates,) = {each for key, each in found.workload.verdicts.items() if key != "default"}
    right = [accepted for is_right, accepted in planted.verdicts if is_right]
    wrong = [accepted for is_right, accepted in planted.verdicts if not is_right]
    assert figure(found, "right ones accepted").samples == len(right)
    assert (rates.true_positive, rates.false_positive) == (sum(right) / len(right), sum(wrong) / len(wrong))


def test_a_host_function_as_a_verifier() -> None:
    found = usual("tested")
    rates = found.workload.verdicts["looks_right"]
    assert rates.true_positive == 1.0 and rates.false_positive == pytest.approx(2 / 3, abs=0.1)


def test_a_verifiers_rates_by_difficulty() -> None:
    kind, made = Kind("judge1", "judge", "policy"), []
    for number, rates in ((0, (5, 15)), (1, (3, 3)), (2, (19, 2))):
        size = 30 if number != 1 else 10
        for right, hits in zip((True, False), rates, strict=True):
            made += [Rating(number, kind, right, i < hits) for i in range(size)]
    found = verdicts(made, {0: 0.1, 1: 0.3, 2: 0.9})
    assert found.by_accuracy == ((0.0, 5 / 30, 15 / 30), (0.75, 19 / 30, 2 / 30)), "10 of a kind are too few for a bin"
    assert (found.true_positive, found.false_positive) == (27 / 70, 20 / 70)
    silent = [Rating(0, kind, True, None)] * 10
    assert verdicts([*made, *silent], {}).no_verdict == 10 / 150


def test_the_area_under_the_curve_and_its_bins() -> None:
    kind = Kind("reward1", "reward", "prm")
    made = [Rating(0, kind, right, value) for right, value in ((True, 3.0), (True, 1.0), (False, 1.0), (False, 0.0))]
    assert auc(made) == (2 + 1.5) / 4
    assert auc([each for each in made if each.right]) is None
    assert sum(count for _, _, count in calibration(made)) == 4
    assert calibration(made)[-1] == (3.0, 1.0, 1) and (1.0, 0.5, 2) in calibration(made)


# --- searches


def test_a_search_is_measured_by_what_it_would_write_if_it_chose_nothing() -> None:
    """The beam keeps what its judge likes; the walks beside it keep all. Each solution has three steps."""
    found = calibrated("stepped")
    right = figure(found, "right")
    assert right.samples == 16 * INPUTS and holds(found, "right", (0.2 + 0.5 + 0.9) / 3)
    assert found.workload.writing["branch:policy"].steps == Lengths((3,))
    assert figure(found, "tokens of a generation", "branch:policy").samples == 3 * 16 * INPUTS
    assert not any("chosen among" in each for each in found.notes)


@pytest.mark.parametrize("path", sorted(PROGRAMS.glob("**/*.tts")), ids=lambda path: path.stem)
def test_programs_that_are_measured_are_sound(path: Path) -> None:
    for each in check(Source(str(path), path.read_text(encoding="utf-8")), FileLibrary(path.parent)).programs:
        compiled = ttsc.compile(path, each.name).compiled
        wide = widened(compiled, 8, 0.9)
        verify(wide.compiled.built, "widening")
        verify(wide.compiled.plan.program, "widening")
        own = {node.result.id for node in walk(compiled.built.body) if isinstance(node, Generate | Score)}
        assert set(wide.stands_for.values()) <= own and not set(wide.stands_for) & own


def test_grades() -> None:
    found = usual("graded")
    grades = found.workload.rewards["judge:policy"]
    assert grades.right_mean == pytest.approx(7.5, abs=0.3) and grades.wrong_mean == pytest.approx(3.0, abs=0.3)
    assert grades.right_sd == pytest.approx(1.71, abs=0.2) and grades.wrong_sd == pytest.approx(2.0, abs=0.2)
    assert grades.whole and (grades.low, grades.high) == (0.0, 10.0)
    wins = sum((r > w) + (r == w) / 2 for r in range(5, 11) for w in range(7)) / 42
    assert figure(found, "right above wrong (AUC)").estimate == pytest.approx(wins, abs=0.02)


def test_revisions() -> None:
    found = usual("revised")
    assert holds(found, "wrong ones made right", 0.3) and holds(found, "right ones made wrong", 0.1)
    revised = found.workload.revisions["refine:policy"]
    assert revised.fixes == figure(found, "wrong ones made right").estimate
    assert not [each for each in found.notes if "assumed" in each]


def test_what_was_not_seen_is_said_to_be_assumed() -> None:
    """The loop returns what looks right, and it never takes a right one for wrong: none is ever revised."""
    found = usual("looped")
    assert "refine:policy revised no right candidate: what becomes of them is assumed" in found.notes
    assert found.workload.revisions["refine:policy"].breaks == 0.05


def test_few_inputs_are_said_to_be_too_few() -> None:
    few = calibrated("voted", rows=Planted().rows(6))
    assert any(each.startswith("6 inputs are too few to tell how inputs differ") for each in few.notes)
    (note,) = [each for each in few.notes if "'answers: right'" in each]
    needed = figure(few, "right").inputs_needed
    assert needed is not None and needed > 6 and f"about {needed} would give ± 0.05" in note
    wide = calibrated("voted", rows=Planted().rows(6), precision=0.9)
    assert not any("'answers: right'" in each for each in wide.notes)


# --- inputs


def test_the_field_of_right_answers() -> None:
    program = ttsc.compile(PROGRAM, "voted")
    rows: list[Mapping[str, Any]] = [{"question": "Q1", "expected": 5}, {"question": "Q2", "expected": None}]
    assert split_inputs(program, rows, None)[1] == ["5", None]
    inputs, golds = split_inputs(program, [{"question": "Q1", "label": "x"}], "label")
    assert golds == ["x"] and inputs[0] == {"question": "Q1", "n": 4}


def test_an_oracle_knows_the_right_answer() -> None:
    source = PROGRAM.replace("program voted(question: str, n", "program voted(question: str, oracle truth: str, n")
    program = ttsc.compile(source, "voted")
    assert split_inputs(program, [{"question": "Q1", "truth": "1"}], None)[1] == ["1"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"rows": []}, "E0561"),
        ({"gold": "nothing"}, "E0561"),
        ({"samples": 1}, "E0510"),
        ({"temperatures": (0.0,)}, "E0510"),
        ({"temperatures": (0.5, 0.5)}, "E0510"),
        ({"precision": 1.5}, "E0510"),
        ({"rows": [{"question": "Q1", "gold": "1", "other": 2}]}, "E0502"),
    ],
)
def test_what_can_not_be_measured_is_refused(options: dict[str, Any], code: str) -> None:
    with pytest.raises(ttsc.UsageError) as refused:
        calibrated("voted", **options)
    assert refused.value.problems[0].code == code


def test_a_program_without_models_is_refused() -> None:
    program = ttsc.compile("program plain(question: str) -> str {\n    return question\n}\n")
    with pytest.raises(ttsc.UsageError) as refused:
        program.calibrate([{"question": "Q1"}], engine=Planted().engine())
    assert refused.value.problems[0].code == "E0562"


# --- the report, the file, the command


def test_the_report_fits_and_has_every_figure() -> None:
    found = usual("checked")
    lines = as_text(found).split("\n")
    assert max(map(len, lines)) <= 100
    assert sum(line.startswith("  ") for line in lines) >= len(found.figures)
    data = json.loads(json.dumps(as_json(found)))
    assert len(data["figures"]) == len(found.figures) and data["workload_hash"] == found.workload.hash


@pytest.mark.parametrize("name", ["voted", "checked", "graded", "revised"])
def test_the_workload_can_be_written_and_read(name: str, tmp_path: Path) -> None:
    found = calibrated(name, rows=Planted().rows(6), samples=6, temperatures=(0.7, 1.0))
    found.write(tmp_path / "w.toml")
    assert read_workload(tmp_path / "w.toml") == found.workload
    assert parse_workload(workload_text(found.workload)).hash == found.workload.hash


def command(monkeypatch: pytest.MonkeyPatch, folder: Path, *args: str, program: str = "checked") -> Result:
    planted = Planted()
    monkeypatch.setattr("ttsc.cli.calibrate_command.engines_given", lambda *_: planted.engine())
    (folder / "p.tts").write_text(PROGRAM, encoding="utf-8")
    rows = "".join(json.dumps(row) + "\n" for row in planted.rows(12))
    (folder / "dev.jsonl").write_text(rows, encoding="utf-8")
    files = [str(folder / "p.tts"), "-p", program, "--inputs", str(folder / "dev.jsonl"), "--samples", "8"]
    return CliRunner().invoke(app, ["calibrate", *files, *args])


def test_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    out = tmp_path / "w.toml"
    result = command(monkeypatch, tmp_path, "-o", str(out), "--journal", str(tmp_path / "s.jsonl"))
    assert result.exit_code == 0, result.output
    assert "right ones accepted" in result.stdout and "too few inputs" in result.stdout
    assert "192 answers were asked for, 0 were known already" in result.stderr
    assert len(read_workload(out).questions) == 12


def test_the_commands_figures_as_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = command(monkeypatch, tmp_path, "--json", "--temperatures", "0.5,1.0", program="voted")
    data = json.loads(result.stdout)
    assert data["version"] == 1 and {each["group"] for each in data["figures"]} >= {
        "answers, T = 0.5",
        "answers, T = 1",
    }


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--temperatures", "hot"), "write numbers"),
        (("--engine", "policy=simulator"), "can't be measured"),
        (("--journal", "no/such/folder/s.jsonl"), "there is no folder"),
        (("-o", "no/such/folder/w.toml"), "there is no folder"),
    ],
)
def test_the_command_refuses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, args: tuple[str, ...], said: str) -> None:
    result = command(monkeypatch, tmp_path, *args)
    assert result.exit_code == 2 and said in result.output


def test_wrong_inputs_are_told_by_their_numbers() -> None:
    rows = [{"question": "fine", "gold": "1"}, {"question": 5, "gold": "1"}, *({"text": "no"} for _ in range(9))]
    with pytest.raises(ttsc.InputError) as caught:
        calibrated("voted", rows=rows)
    first, *_, last = (str(each.message) for each in caught.value.problems)
    assert first.startswith("input 2: parameter 'question' must be a str") and last == "and 9 more of the kind"


def test_the_commands_errors_have_their_codes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = command(monkeypatch, tmp_path, "--gold", "nothing")
    assert isinstance(result.exception, ttsc.InputError) and "they have: gold, question" in str(result.exception)
