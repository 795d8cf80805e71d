"""Inputs that were measured at several temperatures: plans follow what each input's samples are like at each."""

from __future__ import annotations

from pathlib import Path

import pytest

import ttsc
from ttsc.compiler.cost.distributions import Lengths
from ttsc.compiler.cost.workload import AtTemperature, Question, Workload, Writing
from ttsc.workloads import write_workload

PROGRAM = """
prompt solve(question: str) { user "{{ question }}" }

program vote_of_all(question: str, n: int = 3 in [1, 3], temperature: float = 1.0 in [0.2, 1.0]) -> str? {
    return solve(question)
        |> sample(n, temperature=temperature, max_tokens=64)
        |> vote(by=c => find_last(c.text, "A:([0-9]+)", 1))
}
"""


def question(cool: float) -> Question:
    """At temperature 1 right with chance 0.5, else always wrong in the same way; at 0.2 right with chance `cool`."""
    rows = [(0.2, cool), (1.0, 0.5)]
    warm = tuple(AtTemperature(degrees, p, (("12", p), ("14", 1 - p))) for degrees, p in rows)
    return Question(0.5, warm[-1].answers, "12", by_temperature=warm)


@pytest.mark.parametrize(("cool", "planned"), [((1.0, 0.0), 0.5), ((1.0, 0.8), (1 + 0.896) / 2)])
def test_a_plan_takes_no_vote_for_better_than_it_is(tmp_path: Path, cool: tuple[float, ...], planned: float) -> None:
    """A vote of three at temperature 1 is right with chance 1/2; so is one at 0.2 where half of the inputs are always
    wrong, though it would gain if their accuracies were moved together.
    """
    writing = {"default": Writing(Lengths.constant(20), answer="A:{answer}", temperature=1.0)}
    workload = Workload("two", tuple(question(each) for each in cool), writing)
    write_workload(workload, tmp_path / "w.toml")
    made = ttsc.plan(ttsc.compile(PROGRAM), workload=tmp_path / "w.toml")
    assert made.defaults.known.accuracy == pytest.approx(0.5)
    assert made.best.known.accuracy == pytest.approx(planned)
