"""The harness of the peers' benchmark: statistics, data file, turns, failures, and what the page shows. No engine."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ttsc.backends.scripted import ScriptedTokenizer
from ttsc.backends.sglang.metrics import parse_metrics
from ttsc.driver import compile_file
from ttsc.inputs import bind

ROOT = Path(__file__).parents[2]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of the harness."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"benchmarks.peers.{name}")


# --- statistics ---


def test_ratios_are_of_medians(load: Any) -> None:
    measure = load("measure")
    ours, theirs = measure.Measured(seconds=[1.0, 9.0, 2.0]), measure.Measured(seconds=[4.0, 4.0, 100.0])
    assert measure.ratio(ours, theirs) == 0.5
    assert measure.Spread.of([3.0, 1.0, 2.0]) == measure.Spread(2.0, 1.0, 3.0)
    assert measure.Spread.of([]) is None


def test_a_failed_arm_has_no_ratio_and_is_never_the_fastest(load: Any) -> None:
    measure = load("measure")
    whole, failed = measure.Measured(seconds=[2.0]), measure.Measured(seconds=[1.0], error="gone")
    assert measure.ratio(whole, failed) is None
    assert measure.ratio(whole, measure.Measured()) is None
    assert measure.fastest({"a": whole, "b": failed}, ("a", "b", "c")) == "a"


def test_equal_answers_are_counted_by_run_and_input(load: Any) -> None:
    measure = load("measure")
    first = measure.Measured(answers=[["1", "2"], ["3", None]])
    second = measure.Measured(answers=[["1", "9"], ["3", None]])
    assert measure.equal_answers(first, second) == (3, 4)


def test_one_input_alone_is_a_command_each(load: Any) -> None:
    measure = load("measure")
    assert measure.Mode(1, alone=3).commands == [[0], [1], [2]]
    assert measure.Mode(4, alone=3).commands == [[0, 1, 2, 3]]


def test_counters_are_summed_over_what_they_are_split_by(load: Any) -> None:
    server = load("server")
    text = """
sglang:prompt_tokens_total{is_streaming="false"} 7
sglang:prompt_tokens_total{is_streaming="true"} 5
sglang:realtime_tokens_total{mode="prefill_compute"} 4
sglang:realtime_tokens_total{mode="prefill_cache"} 100
sglang:generation_tokens_total{is_streaming="true"} 30
sglang:num_requests_total 2
"""
    counts = server.counts(parse_metrics(text))
    assert counts == server.Counts(prompt=12, computed=4, decoded=30, requests=2)
    assert counts.since(server.Counts(prompt=2, decoded=30)) == server.Counts(prompt=10, computed=4, requests=2)


def test_tokens_of_the_tree_leave_out_what_was_decoded(load: Any) -> None:
    prefill = load("prefill")
    # Two samples of one prompt, and a continuation of the first: only its last token is new.
    assert prefill.tree_tokens([((1, 2, 3), (4, 5)), ((1, 2, 3), (6,)), ((1, 2, 3, 4, 5, 7), (8,))]) == 4
    assert prefill.tree_tokens([]) == 0


# --- the data file ---


@pytest.mark.parametrize("kind", ["testbed", "chat"])
def test_a_data_file_fits_its_program(load: Any, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    workloads = load("workloads")
    monkeypatch.setattr(workloads, "rendered", lambda tokenizer, turns: f"<{turns[0].text}>")
    tokenizer = ScriptedTokenizer()
    for name in workloads.NAMES:
        content = workloads.data(workloads.workload(name, kind, workloads.Sizes.of(kind), "URL"), tokenizer, 3)
        assert content == json.loads(json.dumps(content))
        program = compile_file(workloads.PROGRAMS / f"{name}.tts", None, 2, ()).plan.program
        for item in content["inputs"]:
            bind(program.parameters, item["values"])  # raises what does not fit
            assert item["text"] == f"<{item['messages'][0]['content']}>"
        assert len({tuple(item["ids"]) for item in content["inputs"]}) == 3
        settings = content["settings"]
        if name == "best_of_n":
            assert "{question}" in settings["judge"]["text"] and "{solution}" in settings["judge"]["text"]
        if name == "particle_filter":
            assert settings["reward"]["url"] == "URL" and settings["reward"]["text"].endswith("{solution}")
        if name == "tip_suggestion":
            assert "{topic}" in settings["expand"] and "{tip}" in settings["expand"]


def test_long_prompts_share_their_beginning(load: Any) -> None:
    texts = load("texts")
    said = texts.of("chat", 500)
    words = len(said.begin.split())
    assert 250 < words < 500
    assert said.solve(said.question(0)).startswith(said.begin) and said.ask("x").startswith(said.begin)


# --- arms as processes ---

ARM = """
import json, sys
print("a library says something")
print(json.dumps({"ready": True, "name": "NAME", "version": "1"}), flush=True)
for line in sys.stdin:
    command = json.loads(line)
    open("LOG", "a").write("NAME" + str(command["seed"]) + " ")
    BODY
    print(json.dumps({"seconds": 0.5, "answers": command["inputs"], "error": None, "calls": 3}), flush=True)
"""


@pytest.fixture
def arm(load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes arms out of the body of their loop."""
    arm_process, measure = load("arm_process"), load("measure")
    known: dict[str, Any] = {}

    def make(name: str, body: str = "pass") -> None:
        script = tmp_path / f"{name}.py"
        script.write_text(ARM.replace("NAME", name).replace("LOG", str(tmp_path / "log")).replace("BODY", body))
        known[name] = arm_process.Arm(str(script))

    monkeypatch.setattr(measure, "ARMS", known)
    yield make


class StubServer:
    """Counts up by ten tokens with each run."""

    url = "http://127.0.0.1:1"

    def __init__(self, server: ModuleType) -> None:
        self._module, self.emptied = server, 0

    def empty(self) -> None:
        self.emptied += 1

    def idle(self) -> None:
        pass

    def counts(self) -> Any:
        return self._module.Counts(decoded=10 * self.emptied)


def run(load: Any, tmp_path: Path, arms: list[str], **options: Any) -> tuple[Any, list[str], StubServer]:
    measure, server = load("measure"), StubServer(load("server"))
    said: list[str] = []
    modes = [measure.Mode(2)]
    data = tmp_path / "data.json"
    data.write_text("{}")
    results = measure.measure(server, "m", "w", data, arms, modes, 3, tmp_path, said.append, **options)
    return results[0], said, server


def test_arms_take_turns_and_their_first_run_does_not_count(load: Any, arm: Any, tmp_path: Path) -> None:
    for name in "abc":
        arm(name)
    results, _, server = run(load, tmp_path, ["a", "b", "c"])
    assert (tmp_path / "log").read_text().split() == "a0 b0 c0 a1 b1 c1 b2 c2 a2 c3 a3 b3".split()
    assert results["a"].seconds == [0.5, 0.5, 0.5]
    assert [each.decoded for each in results["b"].counts] == [10, 10, 10]
    assert results["a"].answers == [[0, 1]] * 3 and results["a"].version == "a 1"
    assert server.emptied == 12


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("if command['seed'] == 2: sys.exit(3)", "it has ended"),
        (
            'if command["seed"] == 2: print(json.dumps({"seconds": 1, "error": "no luck"}), flush=True); continue',
            "luck",
        ),
        ("if command['seed'] == 2: import time; time.sleep(60)", "no answer within 2 s"),
    ],
)
def test_an_arm_that_fails_is_shown_and_the_others_go_on(
    load: Any, arm: Any, tmp_path: Path, body: str, error: str
) -> None:
    arm("good")
    arm("bad", body)
    results, said, _ = run(load, tmp_path, ["good", "bad"], timeout_s=2.0)
    assert error in results["bad"].error and len(results["bad"].seconds) == 1
    assert not results["good"].error and len(results["good"].seconds) == 3
    assert any("bad" in line for line in said)


def test_an_arm_that_cannot_start_says_why(load: Any, arm: Any, tmp_path: Path) -> None:
    arm("good")
    load("measure").ARMS["broken"] = load("arm_process").Arm(str(tmp_path / "nowhere.py"))
    results, _, _ = run(load, tmp_path, ["broken", "good"])
    assert "did not start" in results["broken"].error and "nowhere.py" in results["broken"].error
    assert len(results["good"].seconds) == 3


# --- the page ---


def result(load: Any, **arms: Any) -> Any:
    report, measure = load("report"), load("measure")
    about = {"command": "python run.py", "date": "2026-01-01", "model": "m", "sizes": "n 8"}
    return report.Result("self_consistency", measure.Mode(64), about, arms)


def test_the_page_shows_ratios_targets_and_failures(load: Any) -> None:
    measure, counts = load("measure"), load("server").Counts
    page = load("report").render(
        [
            result(
                load,
                ttsc_default=measure.Measured("ttsc", [1.0], [counts(decoded=40)], [["7"]], distinct_tokens=[5]),
                ttsc_wait=measure.Measured("ttsc", [2.02], [counts(decoded=90)], [["7"]]),
                hand_wait=measure.Measured("aiohttp", [2.0], [counts(decoded=90)], [["8"]]),
                its_hub=measure.Measured("its-hub", error="did not start: no such file"),
            )
        ]
    )
    assert "| wait-for-all / best hand-written client that waits for all | ≤ 1.02 |" in page
    rows = {line.split(" | ")[0].strip("| "): line for line in page.splitlines() if line.startswith("| ")}
    assert "1.01 | yes" in rows["wait-for-all / best hand-written client that waits for all"]
    assert "0.50 | yes" in rows["default / the same, where a decision can come early"]
    assert "failed" in rows["default / its-hub (its_hub)"]
    assert "1 of 1" in rows["ttsc_default"] and "| 40 |" in rows["ttsc_default"]
    assert "0 of 1" in rows["hand_wait"]
    assert "its_hub failed: did not start: no such file" in page
    assert "python run.py" in page
    assert "Not measured: " in page and "best_of_n, verify_refine, particle_filter, multi_chain_reasoning" in page


def test_the_page_shows_what_prefill_cost(load: Any) -> None:
    row = {"workload": "llm_judge", "requests": 7, "prompt": 900, "tree": 200, "computed": 206, "ratio": 1.03}
    page = load("report").render([], {"model": "m", "shared": 2000, "rows": [row]})
    assert "| llm_judge | 7 | 900 | 200 | 206 | 1.030 |" in page
    assert "--shared 2000" in page


def test_sides_with_the_same_reward_are_compared_problem_by_problem(load: Any) -> None:
    counts = {"requests": 7, "prompt": 60, "computed": 20, "decoded": 40}
    shared = {"workload": "beam_search", "version": "1", "seconds": 2.0, "policy": counts, "prm": counts}
    rows = [{**shared, "arm": "ttsc", "right": [1] * 6 + [0, 0]}, {**shared, "arm": "its-hub", "right": [0] * 8}]
    measured = {"command": "it", "machine": "2 cores", "settings": {"n": 4}, "rows": rows}
    page = load("report").render([], None, None, measured)
    # six of eight, and none: McNemar's exact p of 6 to 0 is 2 / 2^6
    assert "| beam_search | ttsc | 75.0 % (40.9 to 92.9) | 0.03 | 7 | 60 | 20 | 40 | 7 | 60 | 20 | 2.0 |" in page
    assert "| beam_search | its-hub | 0.0 % (0.0 to 32.4) |  | 7 |" in page


def test_the_page_shows_what_losers_decoded(load: Any) -> None:
    rows = [{"workload": "self_consistency", "late": [0, 1, 5]}, {"workload": "best_of_n", "late": []}]
    page = load("report").render([], None, {"model": "m", "inputs": 16, "rows": rows})
    assert "| self_consistency | 3 | 1 | 5 |" in page
    assert "| best_of_n | 0 | |  |" in page


def test_results_survive_their_file(load: Any) -> None:
    measure, counts = load("measure"), load("server").Counts
    measured = measure.Measured("v", [1.0, 2.0], [counts(3, 2, 1)], [[None, ["x"]]], [4], [0.5], [9], "no")
    made = result(load, a=measured)
    again = load("report").Result.from_json(json.loads(json.dumps(made.to_json())))
    assert again == made
    assert load("report").render([again]) == load("report").render([made])


def test_options_are_checked(load: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    harness = load("run")
    options = harness._options(["--inputs", "1,8", "--set", "alone=3", "--set", "samples=2"])
    assert [mode.inputs for mode in options.modes] == [1, 8] and options.modes[0].alone == 3
    assert options.sizes.samples == 2 and options.kind == "testbed"
    for wrong in (["--arms", "nobody"], ["--workloads", "x"], ["--set", "sample=2"], ["--inputs", "many"]):
        with pytest.raises(SystemExit):
            harness._options(wrong)
    assert "nobody" in capsys.readouterr().err
    assert str(ROOT) in sys.path
