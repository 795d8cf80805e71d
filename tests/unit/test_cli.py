"""The command line: what it writes where, and its exit codes. The engine is the scripted one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from cli_programs import SCRIPT, VOTE, Captured

from ttsc.backends.protocol import EngineError, EngineUnavailable, GenerateRequest, RequestRefused
from ttsc.backends.scripted import ScriptedEngine
from ttsc.cli import run
from ttsc.cli.live import Live, result_line
from ttsc.cli.output import engine_lines, exit_code
from ttsc.runtime.events import RunFailure, RunResult, Usage
from ttsc.runtime.usage import total


def ask(file: str, *more: str) -> int:
    return run(["run", file, "--engine", "http://scripted", *more])


# --- run ------------------------------------------------------------------------------------------------------------


def test_one_input_gives_its_value_on_standard_output(file: str, scripted: Any, output: Captured) -> None:
    scripted()
    assert ask(file, "--set", "question=sky?") == 0
    out, err = output()
    assert out == "blue\n"
    assert "tokens    prefill" in err
    assert "aborted losers" in err
    assert "seed 0, honoured" in err


def test_another_program_of_the_file(file: str, scripted: Any, output: Captured) -> None:
    scripted()
    assert ask(file, "-p", "first", "--input", '{"question": "sky?"}', "--set", "n=2", "--json", "-O0") == 0
    row = json.loads(output()[0])
    assert (row["value"], row["error"], row["cut"], row["usage"]["requests"]) == ("blue", None, False, 2)


def test_many_inputs_give_their_values_in_order(file: str, scripted: Any, output: Captured, tmp_path: Path) -> None:
    scripted()
    inputs = tmp_path / "inputs.jsonl"
    inputs.write_text('{"question": "lines?"}\n{"question": "sky?"}\n\n{"question": "sky?"}\n', encoding="utf-8")
    out, trace = tmp_path / "out.jsonl", tmp_path / "trace.jsonl"
    assert ask(file, "--inputs", str(inputs), "--out", str(out), "--trace", str(trace), "--concurrency", "2") == 0
    written, err = output()
    assert written == '"a\\nb"\nblue\nblue\n'
    assert "[2/3] sky? -> blue" in err
    assert sorted(json.loads(line)["input"] for line in out.read_text(encoding="utf-8").splitlines()) == [0, 1, 2]
    rows = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    assert rows[0]["type"] == "Header"
    assert sum(row["type"] == "RunEnded" for row in rows) == 3


def test_a_failed_input_stops_no_other_and_shows_in_the_exit_code(
    file: str, scripted: Any, output: Captured, tmp_path: Path
) -> None:
    def fault(number: int, request: GenerateRequest) -> EngineError | None:
        return RequestRefused("too long", "ask less") if number == 0 else None

    scripted(fault=fault)
    inputs = tmp_path / "inputs.jsonl"
    inputs.write_text('{"question": "sky?"}\n' * 3, encoding="utf-8")
    out = tmp_path / "out.jsonl"
    more = ("-p", "first", "--set", "n=1", "--concurrency", "1", "--inputs", str(inputs), "--out", str(out))
    assert ask(file, *more) == 1
    written, err = output()
    assert written == "\nblue\nblue\n"
    assert "error[R0403]: too long" in err
    assert "3 ended, 1 failed" in err
    values = [json.loads(line)["value"] for line in out.read_text(encoding="utf-8").splitlines()]
    assert sorted(values, key=str) == [None, "blue", "blue"] or values.count("blue") == 2


def test_a_failed_run_says_why_and_what_to_do(file: str, scripted: Any, output: Captured) -> None:
    scripted(fault=lambda number, request: RequestRefused("too long", "ask less"))
    assert ask(file, "-p", "first", "--set", "question=sky?") == 1
    out, err = output()
    assert out == ""
    assert "error[R0403]: too long\nhint: ask less" in err


def test_an_engine_that_dies_is_code_5(file: str, scripted: Any, output: Captured) -> None:
    scripted(fault=lambda number, request: EngineUnavailable("the engine was killed", "see its log"))
    assert ask(file, "--set", "question=sky?") == 5
    assert "error[R0401]: the engine was killed" in output()[1]


def test_an_engine_that_does_not_answer_is_code_5(file: str, output: Captured) -> None:
    assert run(["run", file, "--engine", "http://127.0.0.1:9", "--set", "question=sky?"]) == 5
    out, err = output()
    assert out == ""
    assert "error[R0401]" in err
    assert "hint" in err


def test_a_model_that_does_not_exist_is_code_5(
    file: str, output: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTSC_STATE_DIR", str(tmp_path))
    assert run(["run", file, "--model", str(tmp_path / "no-model"), "--set", "question=sky?"]) == 5
    assert "error[R040" in output()[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "missing parameter 'question'"),
        (("--set", "qestion=x"), "did you mean 'question'?"),
        (("--set", "question"), "write it as NAME=VALUE"),
        (("--set", "question=x", "--set", "n=300"), "outside of 1..16"),
        (("--set", "question=x", "--set", "n=many"), "is not an int"),
        (("--input", "[]"), "not an object"),
        (("--input", "{}", "--inputs", "x"), "can't go together"),
        (("--inputs", "nowhere.jsonl"), "can't read inputs"),
        (("--set", "question=x", "-p", "vote"), "did you mean 'vote_on'?"),
        (("--set", "question=x", "--disable", "decide"), "did you mean 'decide_early'?"),
        (("--set", "question=x", "--model", "jugde=m"), "no model role 'jugde'"),
        (("--set", "question=x", "--out", "/no/such/folder/out"), "there is no folder"),
        (("--set", "question=x", "--externs", "nowhere.py"), "there is no Python file"),
        (("--set", "question=x", "-O9"), "0<=x<=2"),
        (("--nonsense",), "No such option"),
    ],
)
def test_usage_is_code_2_and_runs_nothing(
    file: str, scripted: Any, output: Captured, arguments: tuple[str, ...], said: str
) -> None:
    engine = scripted()
    assert ask(file, *arguments) == 2
    out, err = output()
    assert out == ""
    assert said in err
    assert "Traceback" not in err
    assert not engine.records


def test_every_wrong_line_of_a_file_is_named(file: str, scripted: Any, output: Captured, tmp_path: Path) -> None:
    engine = scripted()
    inputs = tmp_path / "inputs.jsonl"
    inputs.write_text('{"question": 1}\n{"question": "sky?"}\n{"n": 2}\n', encoding="utf-8")
    assert ask(file, "--inputs", str(inputs)) == 2
    err = output()[1]
    assert "inputs.jsonl:1: parameter 'question' must be a str" in err
    assert "inputs.jsonl:3: missing parameter 'question'" in err
    assert not engine.records


def test_externs_come_from_a_file_that_is_named(scripted: Any, output: Captured, tmp_path: Path) -> None:
    scripted()
    program = tmp_path / "counted.tts"
    program.write_text(
        VOTE.partition("program")[0].partition('"""\n')[2]
        + "extern size_of(text: str) -> int\n\nprogram counted(question: str) -> int {\n"
        "    let draft = solve(question) |> sample(1, max_tokens=8) |> one\n    return size_of(draft.text)\n}\n",
        encoding="utf-8",
    )
    externs = tmp_path / "host.py"
    externs.write_text(
        "import ttsc\n\n@ttsc.extern\ndef size_of(text: str) -> int:\n    return len(text)\n", encoding="utf-8"
    )
    assert ask(str(program), "--set", "question=sky?") == 2
    assert "needs the extern 'size_of'" in output()[1]
    assert ask(str(program), "--set", "question=sky?", "--externs", str(externs)) == 0
    assert output()[0] == "4\n"


def test_ctrl_c_aborts_on_the_engine(file: str) -> None:
    """In a process of its own: the scripted engine tells at the end what is left running."""
    script = f"""
        import signal
        from ttsc.backends.scripted import ScriptedEngine
        from ttsc.backends.sglang.client import SGLangEngine
        from ttsc.cli import run

        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        engine = ScriptedEngine({{"slow": ["a b c d e f g h"]}}, step_s=0.5)

        async def connect(*_, **__):
            return engine

        SGLangEngine.connect = connect
        code = run(["run", {file!r}, "--engine", "http://scripted", "--set", "question=slow?"])
        print(code, len(engine.records), engine.running, all(record.aborted for record in engine.records))
    """
    command = [sys.executable, "-P", "-c", textwrap.dedent(script)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "engine" in process.stderr.readline()
    time.sleep(0.7)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert out.split() == ["130", "5", "0", "True"], err
    assert "interrupted" in err
    assert "Traceback" not in err


def test_a_bug_of_ours_shows_no_traceback(
    file: str, output: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TTSC_STATE_DIR", str(tmp_path))
    monkeypatch.setattr("ttsc.library.open_source", lambda *_: 1 / 0)
    assert run(["check", file]) == 70
    err = output()[1]
    assert "ttsc itself failed: ZeroDivisionError" in err
    assert "Traceback" not in err
    (report,) = (tmp_path / "reports").iterdir()
    assert str(report) in err
    assert "ZeroDivisionError" in report.read_text(encoding="utf-8")


# --- figures --------------------------------------------------------------------------------------------------------


def result(number: int = 0, **more: Any) -> RunResult:
    return RunResult("v", Usage(requests=1, by_model={"policy": {"requests": 1}}), 1.0, 0, input=number, **more)


def failure(code: str) -> RunFailure:
    return RunFailure(code, "no")


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([result()], 0),
        ([result(), result(cut=True)], 4),
        ([result(cut=True), result(error=failure("R0502"))], 1),
        ([result(error=failure("R0401"))], 5),
        ([result(error=failure("R0401")), result()], 5),
        ([result(error=failure("R0401")), result(error=failure("R0502"))], 1),
    ],
)
def test_exit_codes(results: list[RunResult], code: int) -> None:
    assert exit_code(results) == code


def test_usage_is_summed_name_by_name() -> None:
    summed = total([result().usage, result().usage])
    assert (summed.requests, summed.by_model) == (2, {"policy": {"requests": 2}})


RATED = """
model policy, prm
prompt solve(question: str) { user "{{ question }}" }
program rated(question: str) -> str {
    return solve(question) |> sample(3, max_tokens=8) |> score(prm) |> best(by=score) |> text
}
"""


def test_the_live_display_counts_what_decodes_nothing() -> None:
    from rich.console import Console

    import ttsc

    display = Live(1)
    console = Console(width=100, record=True, file=open(os.devnull, "w", encoding="utf-8"))
    display._console = console
    engine = ScriptedEngine(SCRIPT, reward=lambda text: 0.5)
    ttsc.compile(RATED, "rated").run(question="sum?", engine=engine, on_event=display.feed)
    console.print(display._render())
    drawn = console.export_text()
    assert "sample1  3 requests\n" in drawn
    assert "reward1  3 requests: 3 rated\n" in drawn
    assert "(#0: 0.5, #1: 0.5, #2: 0.5)" in drawn


def test_engines_are_named_with_the_roles_they_serve() -> None:
    one, other = ScriptedEngine(SCRIPT, model="/models/small"), ScriptedEngine(SCRIPT, model="rater", device="")
    assert engine_lines({"policy": one, "judge": one}) == ["engine    scripted stub with small on cpu"]
    assert engine_lines({"policy": one, "prm": other, "judge": one}) == [
        "engine    scripted stub with small on cpu for policy, judge",
        "engine    scripted stub with rater for prm",
    ]


def test_the_live_display_draws_what_happens(scripted: Any) -> None:
    from rich.console import Console

    import ttsc

    display = Live(1)
    console = Console(width=100, record=True, file=open(os.devnull, "w", encoding="utf-8"))
    display._console = console
    program = ttsc.compile(VOTE, "first")
    result = program.run(question="sum?", n=4, engine=ScriptedEngine(SCRIPT), on_event=display.feed)
    console.print(display._render())
    drawn = console.export_text()
    assert "4 requests" in drawn
    assert "stop_first decided" in drawn
    assert "✓" in drawn
    assert "0 running" in drawn
    assert result_line(
        result, "sum?", 2
    ) == f"[1/2] sum? -> {result.value}  ({result.usage.decoded_tokens} tokens, " + (
        f"{result.duration_s:.1f} s" + (f", {result.usage.aborted} aborted)" if result.usage.aborted else ")")
    )
