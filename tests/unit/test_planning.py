"""Plans: what is chosen, what its file carries, and when it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import ttsc
from ttsc.cli.app import app
from ttsc.compiler.cost.distributions import Lengths
from ttsc.compiler.cost.search.evaluating import Objective, Predicted
from ttsc.compiler.cost.search.frontier import dominates
from ttsc.compiler.cost.search.halving import halve
from ttsc.compiler.cost.search.space import Axis, Space
from ttsc.compiler.cost.workload import Question, Verdicts, Workload, Writing
from ttsc.compiler.ir.nodes import Limit
from ttsc.errors import UsageError
from ttsc.planning.advice import advice
from ttsc.planning.plan_file import ByDifficulty, Plan, Row, plan_text, program_hash, read_plan, write_plan
from ttsc.planning.planner import Asked, planned
from ttsc.planning.running import check_engines, check_files, check_program, check_unchanged, run_by_difficulty
from ttsc.planning.show import text_of
from ttsc.runtime.events import Decided, Event, RunResult, Usage
from ttsc.simulation import simulate
from ttsc.workloads import write_workload

PROGRAMS = Path(__file__).resolve().parents[2] / "programs"

VOTE = """
use std.answers (number)
prompt pose(q: str) { user "{{ q }}" }
program vote_n(q: str, n: int = 4 in 1..32) -> str { return pose(q) |> sample(n, max_tokens=200) |> vote(by=number) }
program single(q: str) -> str? { let c = pose(q) |> sample(1, max_tokens=200) |> one return number(c.text) }
program other(p: str, n: int = 4 in 1..8) -> str { return pose(p) |> sample(n) |> vote(by=number) }
"""


TEXT = Writing(Lengths.lognormal(60, 0.4), answer="Answer: {answer}")


def workload(**changes: Any) -> Workload:
    questions = tuple(Question(p) for p in (0.95, 0.9, 0.85, 0.45, 0.4, 0.35))
    base = Workload("w", questions, {"default": TEXT}, collision=0.15)
    return replace(base, **changes)


def asked(*programs: ttsc.CompiledProgram, **changes: Any) -> Asked:
    base = Asked(programs, "accuracy", workloads={"": workload()}, samples=12)
    return replace(base, **changes)


def codes(error: pytest.ExceptionInfo[UsageError]) -> list[str]:
    return codes_of(error.value)


def codes_of(error: UsageError) -> list[str]:
    return [problem.code for problem in error.problems]


# --- closed forms ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "n"), [("self_consistency", 9), ("first_finish", 6), ("verified_vote", 5)])
def test_closed_forms_say_what_the_simulation_says(name: str, n: int) -> None:
    """Tokens and seconds of the executor's own run of the plan, in virtual time."""
    program = ttsc.compile(PROGRAMS / f"{name}.tts")
    said = replace(workload(), verdicts={"default": Verdicts(0.8, 0.3)})
    said = replace(said, writing={**said.writing, "judge": Writing(Lengths((2,)))})
    found = planned(asked(program, workloads={"": said}, samples=32, limits=(Limit("calls", 40.0),)))
    closed, real = found.defaults.predicted, found.defaults.simulated
    assert real is not None
    assert closed.tokens == pytest.approx(real.tokens, rel=0.08)
    assert closed.latency == pytest.approx(real.latency, rel=0.08)
    assert closed.calls == pytest.approx(real.calls, rel=0.08)
    assert closed.accuracy is not None and real.accuracy is not None
    assert abs(closed.accuracy - real.accuracy) < 4 * max(real.error, 0.05)
    assert not any("may not read answers" in note for note in found.notes)


# --- the search -----------------------------------------------------------------------------------------------------


class Hill:
    """Best at x = 37 of a hundred; the less effort the more it is off."""

    efforts = (1, 2, 4)

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def __call__(self, setting: Mapping[str, Any], effort: int) -> Predicted:
        self.asked.append((setting["x"], effort))
        off = (setting["x"] * 7 % 5 - 2) * 0.004 * (4 - effort)
        return Predicted(1 - abs(setting["x"] - 37) / 100 + off, float(setting["x"]), 1.0, 1.0)


def test_a_search_looks_closer_at_the_better_half() -> None:
    hill = Hill()
    found = halve(Space((Axis("x", range(1, 101)),)), hill, Objective("accuracy"))
    assert found.best is not None and found.best.setting == {"x": 37}
    per_effort = [len({x for x, effort in hill.asked if effort == each}) for each in (2, 4)]
    assert 40 > per_effort[0] > per_effort[1] > 0
    assert len(hill.asked) == len(set(hill.asked))


def test_a_search_by_simulation_keeps_to_its_requests() -> None:
    """An input at x asks x requests: what would take too many is left out, and said."""

    class Dear(Hill):
        def __call__(self, setting: Mapping[str, Any], effort: int) -> Predicted:
            return replace(super().__call__(setting, effort), calls=float(setting["x"]))

    dear = Dear()
    found = halve(Space((Axis("x", range(1, 101)),)), dear, Objective("accuracy"), requests=300)
    assert found.left_out > 0
    assert sum(x * effort for x, effort in dear.asked) <= 300
    whole = halve(Space((Axis("x", range(1, 101)),)), Dear(), Objective("accuracy"), requests=30_000)
    assert whole.left_out == 0 and whole.best is not None and whole.best.setting == {"x": 37}


def test_a_limit_that_binds_is_met() -> None:
    found = halve(Space((Axis("x", range(1, 101)),)), Hill(), Objective("accuracy", (Limit("tokens", 20.0),)))
    assert found.best is not None and found.best.setting == {"x": 20}
    none = halve(Space((Axis("x", range(10, 101)),)), Hill(), Objective("accuracy", (Limit("tokens", 2.0),)))
    assert none.best is None and none.nearest.setting == {"x": 10}


# --- plans ----------------------------------------------------------------------------------------------------------


def test_a_plan_keeps_its_budget_and_beats_the_defaults() -> None:
    found = planned(asked(ttsc.compile(VOTE, "vote_n"), limits=(Limit("tokens", 900.0),)))
    assert found.best.known.tokens <= 900
    assert found.best.setting["n"] > 4
    assert (found.best.known.accuracy or 0) > (found.defaults.known.accuracy or 1)
    for one in found.frontier:
        assert not any(dominates(other.predicted, one.predicted, "tokens") for other in found.frontier)
    text = text_of(found, ["a model says something"])
    assert "<- planned" in text and "vote_n, n=4" in text
    assert max(map(len, text.split("\n"))) <= 100


def test_alternatives_and_models_are_chosen_among() -> None:
    programs = [ttsc.compile(VOTE, "vote_n"), ttsc.compile(VOTE, "single")]
    quick = planned(asked(*programs, goal="latency", accuracy=0.1, models={"": ("Qwen3-8B", "Qwen3-0.6B")}))
    assert quick.best.variant.program.name == "single"
    assert quick.best.variant.models == {"policy": "Qwen3-0.6B"}
    assert any("the same of every model" in note for note in quick.notes)
    better = workload(questions=(Question(0.9),))
    workloads = {"": workload(), "Qwen3-8B": better}
    best = planned(asked(*programs, models={"policy": ("Qwen3-8B", "Qwen3-0.6B")}, workloads=workloads))
    assert best.best.variant.models == {"policy": "Qwen3-8B"}
    assert best.best.variant.program.name == "vote_n"


def test_what_can_not_be_planned_is_said() -> None:
    vote = ttsc.compile(VOTE, "vote_n")
    with pytest.raises(UsageError) as error:
        planned(asked(vote, ttsc.compile(VOTE, "other")))
    assert codes(error) == ["E0575"]
    with pytest.raises(UsageError) as error:
        planned(asked(vote, workloads={"": workload(), "Nobody-1B": workload()}))
    assert codes(error) == ["E0576"]
    with pytest.raises(UsageError) as error:
        planned(asked(vote, goal="cost"))
    assert codes(error) == ["E0577"]
    with pytest.raises(UsageError) as error:
        planned(asked(vote, limits=(Limit("tokens", 3.0),)))
    assert codes(error) == ["E0578"] and "n=1" in str(error.value)


def test_a_table_by_difficulty_beats_one_setting() -> None:
    """Half of the inputs are easy: few samples tell, and what is saved goes to the hard ones."""
    found = planned(asked(ttsc.compile(VOTE, "vote_n"), limits=(Limit("tokens", 600.0),), by_difficulty=True))
    table = found.table
    assert table is not None
    assert (table.predicted.accuracy or 0) > (found.best.predicted.accuracy or 1)
    assert table.predicted.tokens <= 600 * (1 + 1e-6)
    assert table.rows[0].agreement == 0 and sum(row.share for row in table.rows) == pytest.approx(1)
    none = planned(asked(ttsc.compile(VOTE, "single"), by_difficulty=True))
    assert none.table is None and any("one setting for all inputs" in note for note in none.notes)


# --- files ----------------------------------------------------------------------------------------------------------


def plan(**changes: Any) -> Plan:
    base = Plan(
        "p.tts",
        "vote_n",
        2,
        {"n": 7},
        {"policy": "Qwen3-8B"},
        {"policy": "H100 SXM"},
        {},
        {},
        program_hash(ttsc.compile(VOTE, "vote_n")),
        ByDifficulty({"n": 3}, "vote1", (Row(0.0, {"n": 16}), Row(0.6, {}))),
    )
    return replace(base, **changes)


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_plan(plan(), tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == plan()
    text = (tmp_path / "plan.json").read_text()
    data = json.loads(text)
    assert list(data) == sorted(data) and text == plan_text(plan())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: "{", "not JSON"),
        (lambda data: {**data, "kind": "list"}, "kind"),
        (lambda data: {**data, "format": 9}, "format"),
        (lambda data: {**data, "setting": 3}, '"setting"'),
        (lambda data: {**data, "level": True}, '"level"'),
        (lambda data: {**data, "models": {"policy": 1}}, "models.policy"),
        (lambda data: {**data, "by_difficulty": {**data["by_difficulty"], "rows": []}}, "rows"),
        (
            lambda data: {
                **data,
                "by_difficulty": {**data["by_difficulty"], "rows": data["by_difficulty"]["rows"][::-1]},
            },
            "ascend",
        ),
    ],
)
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, change: Callable[[Any], Any], said: str) -> None:
    changed = change(json.loads(plan_text(plan())))
    path = tmp_path / "plan.json"
    path.write_text(changed if isinstance(changed, str) else json.dumps(changed))
    with pytest.raises(UsageError) as error:
        read_plan(path)
    assert codes(error) == ["E0580"] and said in str(error.value)


def test_a_plan_is_refused_for_another_program() -> None:
    check_unchanged(plan(), ttsc.compile("# a comment changes nothing\n" + VOTE, "vote_n"))
    with pytest.raises(UsageError) as error:
        check_unchanged(plan(), ttsc.compile(VOTE.replace("max_tokens=200", "max_tokens=300"), "vote_n"))
    assert codes(error) == ["E0583"] and "vote_n" in str(error.value)


def test_a_plan_by_difficulty_is_refused_under_a_budget() -> None:
    text = VOTE.replace("in 1..32) -> str {", "in 1..32) -> str budget tokens <= 90k {")
    limited = ttsc.compile(text, "vote_n")
    with pytest.raises(UsageError) as error:
        check_program(plan(), limited)
    assert codes(error) == ["E0584"]
    check_program(plan(by_difficulty=None), limited)


@pytest.mark.parametrize(
    ("probe", "node", "code"),
    [({"n": 3}, "gone", "E0584"), ({"k": 3}, "vote1", "E0502"), ({"n": 99}, "vote1", "E0504")],
)
def test_a_table_that_was_edited_wrongly_is_refused(probe: dict[str, int], node: str, code: str) -> None:
    rows = (Row(0.0, {"n": 16}), Row(0.6, {}))
    with pytest.raises(UsageError) as error:
        check_program(plan(by_difficulty=ByDifficulty(probe, node, rows)), ttsc.compile(VOTE, "vote_n"))
    assert codes(error) == [code]


def test_a_plan_is_refused_for_another_workload_or_profile(tmp_path: Path) -> None:
    from ttsc.workloads import read_workload

    write_workload(workload(), tmp_path / "w.toml")
    (tmp_path / "profile.toml").write_text("x")
    digest = read_workload(tmp_path / "w.toml").hash
    profiles = {"policy": {"file": "profile.toml", "sha256": "other"}}
    check_files(plan(workloads={"w.toml": digest, "gone.toml": "x"}), tmp_path)
    with pytest.raises(UsageError) as error:
        check_files(plan(workloads={"w.toml": "other"}, profiles=profiles), tmp_path)
    assert codes(error) == ["E0583", "E0583"]
    assert "w.toml" in str(error.value) and "profile.toml" in str(error.value)


def test_a_plan_is_refused_for_other_models_and_hardware() -> None:
    check_engines(plan(), {"policy": simulate(workload())})
    with pytest.raises(UsageError) as error:
        check_engines(plan(), {"policy": simulate(workload(), model="Qwen3-4B", hardware="h200")})
    assert codes(error) == ["E0583", "E0583"]
    assert "qwen3-4b" in str(error.value) and "H200" in str(error.value)


# --- running --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("agreeing", "runs"), [(1, [{"n": 3}, {"n": 16}]), (2, [{"n": 3}]), (3, [{"n": 3}])])
async def test_few_samples_tell_what_an_input_gets(agreeing: int, runs: list[dict[str, int]]) -> None:
    table = plan().by_difficulty
    assert table is not None
    given: list[Mapping[str, Any]] = []

    async def run(values: Mapping[str, Any], listen: Callable[[Event], None]) -> RunResult:
        given.append({"n": values["n"]})
        listen(Decided("other", "vote", "x", 3, 0, False, (("x", 3.0),), 0.0))
        listen(Decided("vote1", "vote", "x", 3, 0, False, (("x", float(agreeing)), ("y", 1.0)), 0.0))
        return RunResult(str(values["n"]), Usage(requests=values["n"]), 1.0, 0)

    result = await run_by_difficulty(table, {"q": "?"}, run)
    assert given == runs
    assert result.value == str(runs[-1]["n"])
    assert result.usage.requests == sum(each["n"] for each in runs)
    assert result.duration_s == len(runs)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_the_command_line_plans_and_runs(tmp_path: Path) -> None:
    program, made, picture = tmp_path / "p.tts", tmp_path / "plan.json", tmp_path / "front.svg"
    program.write_text(VOTE)
    write_workload(workload(), tmp_path / "w.toml")
    given = ["--workload", str(tmp_path / "w.toml"), "--samples", "8"]
    asked_for = ["plan", str(program), "-p", "vote_n", "--budget", "tokens<=600", *given, "-o", str(made)]
    found = invoke(*asked_for, "--plot", str(picture), "--by-difficulty")
    assert found.exit_code == 0, found.output
    assert "by difficulty" in found.output and picture.read_text().lstrip().startswith("<?xml")
    data = json.loads(made.read_text())
    assert data["file"] == "p.tts" and data["report"]["expected"]["tokens"] <= 600
    run = ["run", str(made), "--set", "q=How many?", "--engine", "simulator", "--workload", str(tmp_path / "w.toml")]
    answer = invoke(*run, "--json")
    assert answer.exit_code == 0, answer.output
    refused = invoke(*run, "--budget", "tokens<=9k")
    assert refused.exit_code == 2 and "by_difficulty" in refused.output
    del data["by_difficulty"]
    data["setting"]["n"] = 5
    made.write_text(json.dumps(data))
    edited = invoke(*run, "--json", "--disable", "decide_early")
    row = json.loads(next(line for line in edited.output.splitlines() if line.startswith("{")))
    assert row["usage"]["requests"] == 5
    program.write_text(VOTE.replace("max_tokens=200", "max_tokens=100"))
    stale = invoke(*run)
    assert isinstance(stale.exception, UsageError) and codes_of(stale.exception) == ["E0583"]
    assert invoke(*run, "--force").exit_code == 0
    assert invoke("run", str(program), "--force", "--set", "q=x").exit_code == 2


def test_allocation_models_say_what_they_can() -> None:
    told = replace(
        workload(),
        verdicts={"judge": Verdicts(0.9, 0.2)},
        writing={
            "default": Writing(Lengths((60,)), by_temperature=((0.3, 0.0), (1.0, -0.5))),
            "judge": Writing(Lengths((60,))),
        },
    )
    found = planned(asked(ttsc.compile(VOTE, "vote_n"), workloads={"": told}, limits=(Limit("calls", 8.0),)))
    lines = advice(found.best.variant, 8, wrong_costs=100.0)
    said = "\n".join(lines)
    for name in ("saturation", "difficulty", "temperatures", "solving or verifying", "resampling"):
        assert name in said
    assert "no sample at all" in said
    assert "8 at 0.3" in said, "the lower temperature is better for every input"


def test_a_workload_of_another_answer_format_is_noticed() -> None:
    boxed = workload(writing={"default": Writing(Lengths((60,)), answer="so \\boxed{{{answer}}}")})
    program = ttsc.compile(PROGRAMS / "self_consistency.tts")
    found = planned(asked(program, workloads={"": boxed}, samples=24, limits=(Limit("calls", 9.0),)))
    assert any("may not read answers" in note for note in found.notes)
