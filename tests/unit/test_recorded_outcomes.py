"""A recorded run on the simulator: the same prompts, answers and result; requests of its own say what others said."""

from __future__ import annotations

from pathlib import Path

import pytest

import ttsc
from ttsc.backends.protocol import GenerateRequest, Origin, RequestRefused, RewardRequest, Sampling, ScoreRequest
from ttsc.backends.scripted import ScriptedEngine
from ttsc.backends.simulator.engine import SimulatedEngine
from ttsc.backends.simulator.recorded import Recorded, RecordedOutcomes
from ttsc.errors import UsageError
from ttsc.machines import machine_for
from ttsc.recordings import outcomes_of_events, outcomes_of_trace
from ttsc.runtime.events import Event, RunResult
from ttsc.simulation import in_virtual_time

PROGRAM = r"""
use std.answers (number)
model policy, prm
prompt solve(question: str) { user "{{ question }}" }
program p(question: str, n: int = 6 in 1..9) -> str? {
    let pool = solve(question) |> sample(n, max_tokens=40)
    let best = pool |> score(prm, steps="\n\n") |> best(by=score)
    return best |> refine(solve("Sure?"), max_tokens=20) |> number
}
"""
REPLIES = ["One.\n\nIt is 4", "Two.\n\nTwo more.\n\nIt is 5", "It is 6 " + "or so " * 30]


def scripted() -> ScriptedEngine:
    return ScriptedEngine(
        {"Sure": ["4 it is", "no, 7"], ".*": REPLIES}, reward=lambda shown: 2.0 if "4" in shown else 0.0
    )


def prompts(result: RunResult) -> int:
    return result.usage.prefill_tokens + result.usage.cached_tokens


@pytest.mark.parametrize("by", ["events", "trace"])
def test_a_recorded_run_comes_out_the_same(by: str, tmp_path: Path) -> None:
    program, engine, trace = ttsc.compile(PROGRAM), scripted(), tmp_path / "run.jsonl"
    events: list[Event] = []
    run = in_virtual_time(
        program.arun(question="2 + 2?", engine=engine, seed=5, trace=str(trace), on_event=events.append)
    )
    recorded = outcomes_of_events(events) if by == "events" else outcomes_of_trace(trace)
    simulated = SimulatedEngine(machine_for(), recorded, engine.tokenizer)
    again = in_virtual_time(program.arun(question="2 + 2?", engine=simulated, seed=5))
    assert run.error is None and (again.value, again.error) == (run.value, None)
    same = ("requests", "decoded_tokens", "distinct_tokens", "rewards")
    assert {name: getattr(again.usage, name) for name in same} == {name: getattr(run.usage, name) for name in same}
    assert prompts(again) == prompts(run)


def test_a_trace_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="E0509"):
        outcomes_of_trace(tmp_path / "none.jsonl")


def at(site: str, node: str = "s1", index: int = 0) -> Origin:
    return Origin(node, "sample", "policy", index, site, 0)


def asked(site: str, max_tokens: int = 10, **more: object) -> GenerateRequest:
    return GenerateRequest("r", (7, 8), Sampling(max_tokens), origin=at(site, **more))  # type: ignore[arg-type]


SAYS = RecordedOutcomes(
    {
        (0, "s1#0"): Recorded("s1", (1, 2, 3), "eos", 3, (-0.1, -0.2, -0.3)),
        (0, "s1#1"): Recorded("s1", (4, 5), "abort", None, (-0.4, -0.5)),
        (0, "s1#2"): Recorded("s1", (), "abort"),
        (0, "r1#0"): Recorded("r1", values=(0.5,)),
        (0, "l1#0"): Recorded("l1", values=(-1.0, -2.0)),
    }
)


def test_what_was_recorded_is_said_within_max_tokens() -> None:
    whole = SAYS.decode(asked("s1#0"))
    assert (whole.ids, whole.finish, whole.matched, whole.logprobs) == ((1, 2, 3), "eos", 3, (-0.1, -0.2, -0.3))
    cut = SAYS.decode(asked("s1#0", 2))
    assert (cut.ids, cut.finish, cut.matched, cut.logprobs) == ((1, 2), "length", None, (-0.1, -0.2))


def test_what_was_given_up_ends_no_earlier_than_it_did() -> None:
    found = SAYS.decode(asked("s1#1", 4))
    assert (found.ids, found.finish, found.logprobs) == ((4, 5, 5, 5), "length", (-0.4, -0.5, -0.5, -0.5))
    assert SAYS.decode(asked("s1#2", 3)).ids == (8, 8, 8)


def test_what_was_not_recorded_says_what_another_of_its_node_said() -> None:
    assert SAYS.decode(asked("s1#9", index=3)).ids == (1, 2, 3)
    assert SAYS.rewards(RewardRequest("r", (1,), origin=at("r1#4", "r1"))) == (0.5,)
    assert SAYS.scores(ScoreRequest("r", (1, 2, 3, 4), 1, origin=at("l1#0", "l1"))) == (-1.0, -2.0, -1.0)
    with pytest.raises(RequestRefused, match="nothing was recorded of %x1"):
        SAYS.decode(asked("x1#0", node="x1"))
    with pytest.raises(RequestRefused, match="does not say where"):
        SAYS.decode(GenerateRequest("r", (1,), Sampling(4)))
