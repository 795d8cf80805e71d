"""Estimates: nodes add up to totals, nothing expected is above its bound, paths have no holes, equal seeds agree."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

import ttsc
from ttsc.compiler.cost.counts import Counts
from ttsc.compiler.cost.workload_file import default_workload
from ttsc.estimates.collector import Done, InputRecord, busy_s
from ttsc.estimates.critical_path import critical_path
from ttsc.estimates.estimate import estimate
from ttsc.estimates.figures import Estimate, spread
from ttsc.estimates.given import stand_in_inputs
from ttsc.estimates.role_machines import by_role, role_machines
from ttsc.estimates.worst import at_most_by_node, widest
from ttsc.explaining.document import Explanation

PROGRAMS = Path(__file__).parents[2] / "programs"
FILES = sorted(PROGRAMS.glob("*.tts"))
SMALL = {"steps", "trajectories", "particles", "rounds", "turns", "n", "depth"}
"""Parameters that are set to their smallest values, so that a test takes little."""


def compiled(path: Path) -> ttsc.CompiledProgram:
    return ttsc.compile(path)


@cache
def estimated(path: Path, savings: bool = False, concurrency: int = 1) -> Estimate:
    program = compiled(path)
    given = {each.name: 2 for each in program.parameters if each.name in SMALL}
    values, _ = stand_in_inputs(program, given, default_workload(), 4)
    costs, _ = role_machines(program, {}, {}, {})
    return estimate(
        program,
        values,
        {role: each.machine for role, each in costs.items()},
        default_workload(),
        inputs=4,
        seed=3,
        concurrency=concurrency,
        costs=costs,
        savings=savings,
    )


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_nodes_add_up_and_stay_within_their_bounds(path: Path) -> None:
    found = estimated(path)
    assert not found.failed, found.failure
    whole = Counts()
    for node in found.nodes:
        whole = whole + node.counts
    for name in ("requests", "prompt_tokens", "cached_tokens", "decoded_tokens", "decode_reads", "prefill_pairs"):
        assert math.isclose(getattr(whole, name), getattr(found.total, name), rel_tol=1e-9, abs_tol=1e-9), name
    for node in found.nodes:
        most = node.at_most
        assert most is not None or not node.requests.mean, f"{node.id} asks and has no bound"
        if most is not None:
            assert node.requests.greatest <= most.requests
            assert node.decoded.greatest <= most.decode_tokens
            assert node.counts.prompt_tokens <= most.prefill_tokens + most.scored_tokens
    assert found.total.requests <= found.at_most.calls
    assert found.total.decoded_tokens <= found.at_most.decode_tokens
    if found.work.dollars is not None:
        assert math.isclose(found.work.dollars, sum(node.work.dollars or 0.0 for node in found.nodes))
    by_role_total = sum(role.counts.requests for role in found.roles)
    assert math.isclose(by_role_total, found.total.requests)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_critical_path_has_no_holes(path: Path) -> None:
    found = estimated(path)
    at = 0.0
    for leg in found.critical:
        assert math.isclose(leg.start_s, at, abs_tol=1e-6)
        at = leg.start_s + leg.seconds
    assert at == pytest.approx(found.latency.p50)
    known = {"", *(node.id for node in found.nodes)}
    assert {leg.node for leg in found.critical} <= known
    for node in found.nodes:
        assert node.critical_s <= node.busy_s + 1e-6


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_program_fits_a_terminal(path: Path) -> None:
    found = Explanation(replace(estimated(path), notes=("word " * 60,)))
    lines = str(found).split("\n")
    assert max(map(len, lines)) <= 100
    assert not any(line.endswith("…") for line in lines if "cache" in line), "what matters is cut off"
    assert {node.id for node in found.estimate.nodes if node.kind != "extern"} <= set(str(found).split())


def test_equal_arguments_give_equal_estimates() -> None:
    path = PROGRAMS / "best_of_n.tts"
    first = estimated(path)
    estimated.cache_clear()
    assert estimated(path) == first


def test_more_at_once_take_less_time_in_all_and_more_each() -> None:
    alone, together = (estimated(PROGRAMS / "best_of_n.tts", concurrency=each) for each in (1, 4))
    assert together.wall_s < alone.wall_s
    assert together.latency.mean >= alone.latency.mean
    assert together.total.requests == alone.total.requests


def test_early_decisions_save_what_they_cut_off() -> None:
    found = estimated(PROGRAMS / "first_finish.tts", savings=True)
    saved = {each.name: each for each in found.savings}
    assert [each.name for each in found.savings] == list(found.passes)
    assert saved["decide_early"].decoded_tokens > 0
    assert saved["decide_early"].seconds > 0
    assert saved["drop_scores"].decoded_tokens == 0
    assert found.lost_tokens > 0


def test_the_figures_of_one_input_by_hand() -> None:
    """Qwen3-8B: 36 layers of 4096, 32 heads of 128, 8 of keys and values, 12288 inside. An H100: 80% of 3.35 TB/s."""
    program = compiled(PROGRAMS / "self_consistency.tts")
    values, _ = stand_in_inputs(program, {"question": "How many are left?", "n": 4}, default_workload(), 1)
    costs, _ = role_machines(program, {"": "h100"}, {"": "Qwen3-8B"}, {})
    machines = {role: each.machine for role, each in costs.items()}
    found = estimate(program, values, machines, default_workload(), inputs=1, costs=costs)
    layers = 36 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 12288)
    head = 4096 * 151936
    pairs, linear, reads = 0.0, 0.0, 0.0
    for bar in found.timeline:
        computed, steps = bar.prompt_tokens - bar.cached_tokens, bar.decoded_tokens - 1
        pairs += computed * bar.cached_tokens + computed * (computed + 1) / 2
        reads += steps * bar.prompt_tokens + steps * (steps + 1) / 2
        linear += 2 * layers * (computed + steps) + 2 * head * bar.decoded_tokens
    first = found.timeline[0]
    assert first.cached_tokens == 0
    assert all(bar.cached_tokens == bar.prompt_tokens - 1 for bar in found.timeline[1:])
    assert found.work.flops_linear == pytest.approx(linear)
    assert found.work.flops_attention == pytest.approx(4 * 36 * 32 * 128 * (pairs + reads))
    assert found.work.bytes_kv == pytest.approx(2 * 2 * 36 * 8 * 128 * (reads + 4 * first.prompt_tokens))
    step_s = 2 * (layers + head) / (0.8 * 3.35e12) + 200e-6 + 36 * 6e-6
    longest = max(found.timeline, key=lambda bar: bar.decoded_tokens)
    assert longest.seconds == pytest.approx((longest.decoded_tokens - 1) * step_s, rel=0.08)


def test_the_same_question_costs_what_a_fresh_one_does() -> None:
    """Of one text that is given, others are simulated: what is shared is the program's own."""
    program = compiled(PROGRAMS / "self_consistency.tts")
    text = "How many apples are left of 17, if Ann eats 3 of them and Bob takes 5 home?"
    costs, _ = role_machines(program, {}, {}, {})
    machines = {role: each.machine for role, each in costs.items()}
    found = estimate(program, [program.check_input({"question": text, "n": 4})], machines, default_workload(), inputs=4)
    first, *later = (sample.computed_tokens for sample in found.samples)
    assert len(set(later)) == 1 and later[0] > len(text.split())
    assert first > 2 * later[0]
    assert found.colder_first is found.samples[0]


# --- parts ----------------------------------------------------------------------------------------------------------


def done(node: str, start: float, end: float, finish: str = "eos", parent: str | None = None) -> Done:
    return Done(f"{node}-{start}", node, "sample", "policy", "generate", start, end, finish, Counts(), parent)


def record(*spans: Done, end: float) -> InputRecord:
    return InputRecord(0, 0.0, end, list(spans))


def path_of(*spans: Done, end: float) -> list[tuple[str, float, float]]:
    return [(leg.node, leg.start_s, leg.seconds) for leg in critical_path(record(*spans, end=end))]


def test_a_path_goes_back_through_what_ended_last() -> None:
    spans = (done("a", 0, 2), done("a", 0, 5), done("b", 2, 4), done("b", 5, 7))
    assert path_of(*spans, end=7) == [("a", 0, 5), ("b", 5, 2)]


def test_what_was_cut_off_ended_because_of_another() -> None:
    spans = (done("a", 0, 3), done("a", 0, 4, "abort"))
    assert path_of(*spans, end=4) == [("a", 0, 3), ("", 3, 1)]


def test_what_was_cut_off_by_its_own_tokens_is_on_the_path() -> None:
    assert path_of(done("a", 0, 4, "abort"), end=4) == [("a", 0, 4)]


def test_waiting_for_a_siblings_first_token_is_time_of_the_node() -> None:
    assert path_of(done("a", 0, 6), done("a", 1, 8), end=8) == [("a", 0, 1), ("a", 1, 7)]


def test_busy_time_counts_overlaps_once() -> None:
    assert busy_s([done("a", 0, 3), done("a", 2, 5), done("a", 7, 8)]) == 6


def test_a_spread_weighs_its_values() -> None:
    found = spread([1.0, 3.0], [3.0, 1.0])
    assert (found.mean, found.p50, found.p95, found.greatest) == (1.5, 1.0, 3.0, 3.0)
    assert spread([2.0, 2.0, 2.0]).sd == 0
    assert spread([1.0, 2.0, 3.0]).sd == pytest.approx(1.0)


def test_the_widest_input_bounds_those_that_differ_in_texts() -> None:
    values = [{"q": "ab", "n": 2}, {"q": "abcd", "n": 2}, {"q": "é" * 3, "n": 2}, {"q": "a", "n": 3}]
    assert widest(values) == [{"q": "x" * 6, "n": 2}, {"q": "a", "n": 3}]
    assert widest([{"l": ["a", "bcd"]}, {"l": ["ab", "c"]}]) == [{"l": ["ab", "bcd"]}]


def test_of_two_branches_each_has_its_own_worst_case() -> None:
    program = ttsc.compile(
        "program p(q: str, n: int = 2 in 1..9) -> str {\n    let c = user(q) |> sample(n, max_tokens=8)\n"
        "    return c |> vote(by=whole)\n}\nfunction whole(text: str) -> str = text\n"
        'prompt user(q: str) { user "{{ q }}" }\n'
    )
    assert at_most_by_node(program.ir, [{"q": "x", "n": 5}, {"q": "x", "n": 3}])["sample1"].requests == 5


def test_machines_are_named_for_all_roles_or_one() -> None:
    program = compiled(PROGRAMS / "beam_search.tts")
    costs, notes = role_machines(program, by_role(("h200", "prm=l40s")), by_role(("Qwen3-14B",)), {})
    assert costs["policy"].machine.name != costs["prm"].machine.name
    assert costs["policy"].machine.model == costs["prm"].machine.model == "Qwen3-14B"
    assert not notes
    assert role_machines(program, {}, {}, {})[1]
    with pytest.raises(ttsc.UsageError, match="no model role 'judge'"):
        role_machines(program, {"judge": "h100"}, {}, {})
    with pytest.raises(ttsc.UsageError, match="h200"):
        by_role(("h200", "h100"))


def test_inputs_are_made_up_where_none_are_given() -> None:
    program = compiled(PROGRAMS / "verify_and_refine.tts")
    workload = default_workload()
    sized = replace(workload, questions=tuple(replace(each, prompt_tokens=12) for each in workload.questions))
    values, made_up = stand_in_inputs(program, {"rounds": 1}, sized, 3)
    assert made_up == ("task", "tests")
    assert len({each["task"] for each in values}) == 3
    assert len(values[0]["task"].split()) == 12
    assert all(isinstance(each["tests"], list) and each["rounds"] == 1 for each in values)
    assert stand_in_inputs(program, {"task": "t", "tests": ["a"]}, sized, 3)[0] == [
        {"task": "t", "tests": ["a"], "rounds": 3}
    ]


def test_a_picture_can_not_be_made_up() -> None:
    program = ttsc.compile(
        "program p(i: Image) -> str {\n    return see(i) |> sample(1, max_tokens=8) |> one |> said\n}\n"
        'prompt see(i: Image) { user "{{ i }} What is it?" }\nfunction said(c: Candidate) -> str = c.text\n'
    )
    with pytest.raises(ttsc.UsageError, match="a picture"):
        stand_in_inputs(program, {}, default_workload(), 1)
