"""Workload files: what they say is read as it is meant, written so that it reads the same, and every fault is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ttsc.compiler.cost.workload import of_kind
from ttsc.compiler.cost.workload_file import WorkloadInvalid, default_workload, parse_workload, workload_text
from ttsc.errors import UsageError
from ttsc.workloads import read_workload, write_workload

FULL = """
name = "sums"
collision = 0.4
samples = 120

[[question]]
accuracy = 0.75
gold = "12"
answers = { "12" = 0.75, "14" = 0.15 }
prompt_tokens = 80

[[question]]
answers = { "7" = 0.2, "8" = 0.5 }
weight = 2

[[question.by_temperature]]
temperature = 0.2
answers = { "8" = 0.9 }

[[question.by_temperature]]
temperature = 0.8
accuracy = 0.5
answers = { "7" = 0.2, "8" = 0.5 }

[writing.default]
tokens = { values = [30, 10, 20] }
answer = "Answer: {answer}"

[writing."judge:critic"]
tokens = { constant = 2 }

[writing.branch]
tokens = { quantiles = [[0, 10], [1, 30]] }
steps = { values = [2, 3] }
temperature = 0.8
skill = -0.5

[verdicts.default]
true_positive = 0.9
false_positive = 0.3
no_verdict = 0.05
by_accuracy = [[0.0, 0.7, 0.4], [0.5, 0.95, 0.2]]

[rewards.judge]
right_mean = 8
right_sd = 1
wrong_mean = 3
wrong_sd = 2
low = 0
high = 10
whole = true

[revisions.default]
fixes = 0.3
breaks = 0.1

[confidence.default]
right_mean = -0.2
"""


def test_everything_is_read() -> None:
    workload = parse_workload(FULL)
    assert (workload.name, workload.collision, workload.samples) == ("sums", 0.4, 120)
    first, second = workload.questions
    assert (first.accuracy, first.gold, first.prompt_tokens) == (0.75, "12", 80)
    assert first.answers == (("12", 0.75), ("14", 0.15))
    assert (second.accuracy, second.gold, second.weight) == (0.5, None, 2.0)
    assert [(each.temperature, each.accuracy) for each in second.by_temperature] == [(0.2, 0.9), (0.8, 0.5)]
    assert second.at(0.5).accuracy == pytest.approx(0.7) and second.at(0.0).answers == (("8", 0.9),)
    assert workload.writing["default"].tokens.values == (10, 20, 30)
    judged = of_kind(workload.writing, "v9", "judge", "critic")
    assert judged is not None and judged.tokens.values == (2,)
    branch = workload.writing["branch"]
    assert branch.tokens.mean == pytest.approx(20, abs=0.1)
    assert branch.steps is not None and (branch.steps.values, branch.temperature, branch.skill) == ((2, 3), 0.8, -0.5)
    assert workload.verdicts["default"].by_accuracy == ((0.0, 0.7, 0.4), (0.5, 0.95, 0.2))
    assert workload.rewards["judge"].whole and workload.rewards["judge"].high == 10
    assert workload.revisions["default"].fixes == 0.3
    assert workload.confidence["default"].right_mean == -0.2


@pytest.mark.parametrize("workload", [parse_workload(FULL), default_workload()], ids=["full", "built-in"])
def test_what_is_written_reads_the_same(workload: object) -> None:
    assert parse_workload(workload_text(workload)) == workload  # type: ignore[arg-type]


def test_the_hash_is_of_what_is_said() -> None:
    plain = parse_workload(FULL)
    assert parse_workload("# a comment\n" + FULL.replace('"sums"', '"others"')).hash == plain.hash
    assert parse_workload(FULL.replace("0.75", "0.74")).hash != plain.hash


def test_accuracies_of_a_beta_distribution_keep_its_mean() -> None:
    found = parse_workload("[questions]\nbeta = [2, 3]\ncount = 9\n[writing.default]\ntokens = { constant = 5 }")
    accuracies = [each.accuracy for each in found.questions]
    assert len(accuracies) == 9 and accuracies == sorted(accuracies)
    assert sum(accuracies) / 9 == pytest.approx(2 / 5)


WRITING = "[writing.default]\ntokens = { constant = 5 }\n"
ONE = "[questions]\nvalues = [0.5]\n"
FAULTS = {
    "name = ": "the file",
    WRITING: "question",
    ONE: "writing",
    ONE + WRITING + "colision = 0.2": "writing.default.colision",
    "colision = 0.2\n" + ONE + WRITING: "colision",
    "collision = 0\n" + ONE + WRITING: "collision",
    "samples = -1\n" + ONE + WRITING: "samples",
    "[questions]\nvalues = [0.5, 1.5]\n" + WRITING: "questions.values",
    "[questions]\nvalues = []\n" + WRITING: "questions.values",
    "[questions]\nbeta = [1, 0]\n" + WRITING: "questions",
    "[questions]\nbeta = [1, 1]\ncount = 0\n" + WRITING: "questions.count",
    "[[question]]\naccuracy = 2\n" + WRITING: "question 1.accuracy",
    "[[question]]\ngold = 3\naccuracy = 0.5\n" + WRITING: "question 1.gold",
    "[[question]]\nanswers = { a = 0.7, b = 0.6 }\n" + WRITING: "question 1.answers",
    "[[question]]\naccuracy = 0.1\ngold = 'a'\nanswers = { a = 0.7 }\n" + WRITING: "question 1.accuracy",
    "[[question]]\n" + WRITING: "question 1.accuracy",
    "[[question]]\naccuracy = 0.5\nby_temperature = [0.2]\n" + WRITING: "question 1.by_temperature",
    "[[question]]\naccuracy = 0.5\n[[question.by_temperature]]\naccuracy = 1\n"
    + WRITING: "question 1.by_temperature 1.temperature",
    "[[question]]\naccuracy = 0.5\nby_temperature = [{ temperature = 1, accuracy = 1 }, { temperature = 0 }]\n"
    + WRITING: "question 1.by_temperature 2.accuracy",
    "[[question]]\naccuracy = 0.5\n"
    + 2 * "[[question.by_temperature]]\ntemperature = 1\naccuracy = 0.5\n"
    + WRITING: "question 1.by_temperature",
    ONE + "[writing.default]\n": "writing.default.tokens",
    ONE + "[writing.default]\ntokens = 12": "writing.default.tokens",
    ONE + "[writing.default]\ntokens = { lognormal = { mean = 'a', cv = 1 } }": "writing.default.tokens",
    ONE + "[writing.default]\ntokens = { lognormal = { mean = -3, cv = 1 } }": "writing.default.tokens",
    ONE + "[writing.default]\ntokens = { quantiles = [[0, 5], [0.9, 8]] }": "writing.default.tokens",
    ONE + WRITING + "answer = 'the answer'": "writing.default.answer",
    ONE + WRITING + "steps = { constant = 0 }": "writing.default.steps",
    ONE + WRITING + "[verdicts.default]\ntrue_positive = 1.2": "verdicts.default.true_positive",
    ONE + WRITING + "[verdicts.default]\nby_accuracy = [[0.5, 1, 1], [0.2, 1, 1]]": "verdicts.default.by_accuracy",
    ONE + WRITING + "[rewards.default]\nright_sd = -1": "rewards.default.right_sd",
    ONE + WRITING + "[rewards.default]\nwhole = 1": "rewards.default.whole",
    ONE + WRITING + "[revisions.default]\nfixes = 2": "revisions.default.fixes",
    ONE + WRITING + "[revisions]\nfixes = 0.2": "revisions.fixes",
}


@pytest.mark.parametrize("text", FAULTS, ids=FAULTS.values())
def test_a_fault_is_named_by_its_place(text: str) -> None:
    with pytest.raises(WorkloadInvalid) as caught:
        parse_workload(text)
    assert [each.place for each in caught.value.faults] == [FAULTS[text]]


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(WorkloadInvalid) as caught:
        parse_workload("collision = 2\n[writing.default]\ntokens = 3")
    assert [each.place for each in caught.value.faults] == ["question", "writing.default.tokens", "collision"]


def test_a_file_is_read_and_written(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    write_workload(default_workload(), path)
    assert read_workload(path) == default_workload()


def test_what_is_wrong_with_a_file_is_said_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as missing:
        read_workload(tmp_path / "none.toml")
    assert [each.code for each in missing.value.problems] == ["E0550"]
    path = tmp_path / "bad.toml"
    path.write_text("collision = 2")
    with pytest.raises(UsageError) as bad:
        read_workload(path)
    assert {each.code for each in bad.value.problems} == {"E0551"}
    assert f"{path}: collision: 2 is not a number from 0.01 to 1" in str(bad.value)
    with pytest.raises(UsageError):
        write_workload(default_workload(), tmp_path / "nowhere" / "own.toml")


ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", sorted((ROOT / "programs" / "workloads").glob("*.toml")), ids=lambda path: path.stem)
def test_workloads_of_the_repository_can_be_read(path: Path) -> None:
    assert read_workload(path).name.replace(" ", "_") == path.stem


def test_examples_of_the_documentation_can_be_read() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "workloads.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    found = [parse_workload(block) for block in blocks]
    assert [len(each.questions) for each in found] == [4, 32, 2, 1]
