"""`ttsc.simulate` and `ttsc run --engine simulator`: programs in virtual time, without a server."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from cli_programs import Captured
from simulated import Linear, engine

import ttsc
from ttsc.cli import run

PROGRAMS = Path("programs")
QUESTION = "How much is 17 + 25?"


def compiled(name: str) -> ttsc.CompiledProgram:
    return ttsc.compile(PROGRAMS / f"{name}.tts")


def test_run_takes_virtual_time_and_gives_the_same_again() -> None:
    program = compiled("self_consistency")
    first, again = (program.run(question=QUESTION, n=8, engine=ttsc.simulate()) for _ in range(2))
    assert first == again
    assert 0 < first.duration_s < 60
    assert first.usage.requests == 8 and first.usage.decoded_tokens > 0


def test_another_seed_of_the_workload_is_another_sample() -> None:
    program = compiled("self_consistency")
    usages = [program.run(question=QUESTION, engine=ttsc.simulate(seed=seed)).usage for seed in (0, 1)]
    assert usages[0].decoded_tokens != usages[1].decoded_tokens


def test_run_works_inside_of_an_event_loop_too() -> None:
    async def work() -> ttsc.RunResult:
        return compiled("self_consistency").run(question=QUESTION, engine=ttsc.simulate())

    assert asyncio.run(work()).error is None


def test_hours_pass_at_once() -> None:
    slow = engine(lambda _: 60)  # a second each
    begun = time.monotonic()
    result = compiled("self_consistency").run(question=QUESTION, n=4, engine=slow)
    assert result.duration_s > 60 > time.monotonic() - begun


def test_hardware_and_model_make_a_difference_to_time_and_none_to_what_is_said() -> None:
    program = compiled("self_consistency")
    engines = [ttsc.simulate(hardware=hardware, model="Qwen3-8B") for hardware in ("h100", "a100")]
    fast, slow = (program.run(question=QUESTION, engine=each) for each in engines)
    assert fast.value == slow.value and fast.duration_s < slow.duration_s
    assert [each.info.model for each in engines] == ["Qwen3-8B"] * 2


def test_a_simulated_engine_for_each_role() -> None:
    program = compiled("weighted_best_of_n")
    engines = {"policy": ttsc.simulate(model="Qwen3-8B"), "prm": ttsc.simulate(model="Qwen3-1.7B")}
    result = program.run(question=QUESTION, n=4, engine=engines)
    assert result.error is None and result.usage.rewards > 0
    assert engines["policy"].served.decoded_tokens == result.usage.decoded_tokens
    assert engines["prm"].served.requests == result.usage.rewards


def test_no_replica_is_refused() -> None:
    with pytest.raises(ttsc.UsageError) as caught:
        ttsc.simulate(replicas=0)
    assert caught.value.problems[0].code == "E0540"


def test_host_functions_take_no_virtual_time_and_are_waited_for() -> None:
    source = """
prompt solve(question: str) {
    user "{{ question }}"
}

extern slow(text: str) -> int

program asks(question: str) -> int {
    let answer = solve(question) |> sample(1, max_tokens=16) |> one
    return slow(answer.text)
}
"""

    @ttsc.extern
    def slow(text: str) -> int:
        time.sleep(0.05)
        return len(text)

    @ttsc.extern(name="slow")
    async def waits(text: str) -> int:
        await asyncio.sleep(3.0)
        return len(text)

    program = ttsc.compile(source)
    threaded = program.run(question=QUESTION, engine=ttsc.simulate(), externs=[slow])
    awaited = program.run(question=QUESTION, engine=ttsc.simulate(), externs=[waits])
    assert threaded.value == awaited.value
    assert awaited.duration_s == pytest.approx(threaded.duration_s + 3.0)


def asked(file: str, *arguments: str) -> int:
    return run(["run", str(PROGRAMS / f"{file}.tts"), *arguments])


def test_the_command_says_that_it_simulates(output: Captured) -> None:
    code = asked("self_consistency", "--set", f"question={QUESTION}", "--engine", "simulator")
    out, said = output()
    assert code == 0 and out.strip()
    assert "engine    simulator with Qwen3-8B on H100" in said
    assert "simulated the workload built-in; roofline of Qwen3-8B on H100" in said
    assert "s simulated, computed in" in said


def test_results_of_a_simulation_say_so(output: Captured) -> None:
    options = ["--engine", "simulator", "--json", "--replicas", "3", "--model", "Qwen3-4B"]
    code = asked("self_consistency", "--set", f"question={QUESTION}", *options)
    out, said = output()
    row = json.loads(out)
    assert code == 0 and row["simulated"] is True and row["duration_s"] > 0
    assert "3 servers behind a router" in said and "Qwen3-4B" in said


def test_host_functions_that_are_not_given_are_stood_in_for(output: Captured) -> None:
    tasks = str(PROGRAMS / "inputs" / "tasks.jsonl")
    code = asked("verify_and_refine", "--inputs", tasks, "--engine", "simulator")
    assert code == 0
    assert "stand-ins for the externs run_python" in output()[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--replicas", "2"), "--replicas describes a simulated engine"),
        (("--workload", "w.toml"), "--workload describes a simulated engine"),
        (("--profile", "p.toml"), "--profile describes a simulated engine"),
        (("--engine", "policy=simulator"), "the simulator serves every model role"),
        (("--engine", "simulator", "--engine", "http://localhost:1"), "simulated and real time don't mix"),
        (("--engine", "simulator", "--model", "no-such-model"), "no-such-model"),
        (("--engine", "simulator", "--workload", "no-such.toml"), "no-such.toml"),
    ],
)
def test_what_does_not_go_with_the_engine_is_refused(
    arguments: tuple[str, ...], message: str, output: Captured
) -> None:
    assert asked("self_consistency", "--set", f"question={QUESTION}", *arguments) == 2
    assert message in output()[1]


def test_on_a_real_clock_it_takes_as_long_as_it_says() -> None:
    brief = engine(lambda _: 20, steps=Linear(fixed=0.002, token=0.00001))

    async def work() -> tuple[ttsc.RunResult, float]:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        result = await compiled("self_consistency").arun(question=QUESTION, n=4, engine=brief)
        return result, loop.time() - begun

    result, took = asyncio.run(work())
    virtual = compiled("self_consistency").run(
        question=QUESTION, n=4, engine=engine(lambda _: 20, steps=Linear(fixed=0.002, token=0.00001))
    )
    assert result.value == virtual.value and result.usage.decoded_tokens == virtual.usage.decoded_tokens
    assert took >= virtual.duration_s >= 19 * 0.002


def test_a_journal_of_one_workload_is_refused_for_another_and_for_a_real_model(tmp_path: Path) -> None:
    program, journal = compiled("self_consistency"), tmp_path / "journal"
    first = program.run(question=QUESTION, engine=ttsc.simulate(), journal=journal)
    assert program.run(question=QUESTION, engine=ttsc.simulate(hardware="a100"), journal=journal).value == first.value
    for other in (ttsc.simulate(seed=1), ttsc.simulate("programs/workloads/word_problems.toml"), engine(lambda _: 60)):
        with pytest.raises(ttsc.UsageError, match="simulated with the workload built-in") as caught:
            program.run(question=QUESTION, engine=other, journal=journal)
        assert caught.value.problems[0].code == "E0517"


def test_offline_values_that_were_made_up_are_not_taken_by_others(tmp_path: Path) -> None:
    program = compiled("with_notes")
    values = json.loads((PROGRAMS / "inputs" / "contexts.jsonl").read_text().splitlines()[0])
    sent = [
        program.run(values, engine=ttsc.simulate(seed=seed), artifacts=tmp_path).usage.requests for seed in (0, 0, 1)
    ]
    assert sent[1] < sent[0] == sent[2]
