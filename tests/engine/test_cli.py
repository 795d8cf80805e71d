"""The command line on a real server: an answer, and what a user reads when the server can't give one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

PROGRAMS = Path(__file__).parents[2] / "programs"
LONG = "How many is one and one? " * 2000


def ttsc(*arguments: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ttsc", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


def test_an_answer_as_json(engine_url: str) -> None:
    question = json.dumps({"question": "Tim has 2 pens and buys 3. How many pens does he have?"})
    done = ttsc("run", str(PROGRAMS / "self_consistency.tts"), "--engine", engine_url, "--input", question, "--json")
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert isinstance(row["value"], str)
    assert row["usage"]["requests"] == 8
    assert row["error"] is None and row["cut"] is False


def test_a_context_that_is_too_long(engine_url: str) -> None:
    file = str(PROGRAMS / "self_consistency.tts")
    done = ttsc("run", file, "--engine", engine_url, "--set", f"question={LONG}")
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.search(
        r"error\[R0404\]: a prompt of \d+ tokens and max_tokens=128 exceed the context of 8192", done.stderr
    )
    assert "hint: " in done.stderr and "Traceback" not in done.stderr


def _serving(parent: int) -> list[psutil.Process]:
    """The server's scheduler under a `ttsc run`: the guard and its children are in a session of their own."""
    family = psutil.Process(parent).children(recursive=True)
    return [p for p in family if "sglang::scheduler" in " ".join(p.cmdline()) or p.name() == "sglang::schedul"]


@pytest.mark.usefixtures("launched_engine")
def test_an_engine_that_is_killed_while_it_runs(tmp_path: Path) -> None:
    """`ttsc run` launches an engine of its own; its scheduler is killed in the middle of decoding."""
    environment = {**os.environ, "TTSC_STATE_DIR": str(tmp_path)}
    trace = tmp_path / "trace.jsonl"
    arguments = ["run", str(PROGRAMS / "first_finish.tts"), "--inputs", str(PROGRAMS / "inputs" / "questions.jsonl")]
    command = [sys.executable, "-m", "ttsc", *arguments, "--trace", str(trace)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(process.stderr or []), daemon=True)
    reader.start()
    try:
        deadline = time.monotonic() + 400
        while time.monotonic() < deadline and process.poll() is None:
            if trace.exists() and "TokensArrived" in trace.read_text(encoding="utf-8"):
                break
            time.sleep(0.1)
        victims = _serving(process.pid)
        assert victims, "".join(said)
        for victim in victims:
            victim.send_signal(signal.SIGKILL)
        process.wait(timeout=120)
        reader.join(timeout=10)
    finally:
        process.kill()
    text = "".join(said)
    assert process.returncode == 5, text
    assert "error[R0401]" in text and "Traceback" not in text
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]
