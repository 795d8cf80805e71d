"""The launcher with a real SGLang: a killed parent, a killed server, and an engine that is kept.

Each of these needs a server of its own, since it ends it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ttsc.backends.protocol import EngineUnavailable, GenerateRequest, Sampling, Turn
from ttsc.backends.sglang import kept
from ttsc.backends.sglang.client import SGLangEngine
from ttsc.backends.sglang.launcher import launch

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("launched_engine")]
MODEL = "smollm2-135m"

STARTER = """
import sys, time
from pathlib import Path
from ttsc.backends.sglang.launcher import launch
process = launch(sys.argv[1], log_path=Path(sys.argv[2]))
print(process.guard_pid, flush=True)
time.sleep(3600)
"""


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def gone(tree: list[psutil.Process], within_s: float) -> float:
    """Seconds until no process of the tree is left; fails after `within_s`."""
    began = time.monotonic()
    while any(alive(process) for process in tree):
        if time.monotonic() - began > within_s:
            raise AssertionError(f"still there: {[process.cmdline() for process in tree if alive(process)]}")
        time.sleep(0.05)
    return time.monotonic() - began


def test_a_killed_parent_leaves_no_process(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", STARTER, MODEL, str(tmp_path / "log")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        guard = psutil.Process(int(parent.stdout.readline()))
        tree = [guard, *guard.children(recursive=True)]
        assert len(tree) >= 4, "guard, server, scheduler, detokenizer"
        parent.kill()
        parent.wait(10)
        print(f"{len(tree)} processes gone {gone(tree, 20):.1f} s after the parent was killed")


async def test_the_death_of_a_server_is_explained_to_its_requests(tmp_path: Path) -> None:
    process = await asyncio.to_thread(launch, MODEL, log_path=tmp_path / "log")
    tree = psutil.Process(process.guard_pid).children(recursive=True)
    try:
        engine = await SGLangEngine.connect(process.url, explain=lambda: process.explain(wait_s=10.0))
        ids = tuple(engine.tokenizer.chat_ids([Turn("user", "Write a very long story.")]))
        sampling = Sampling(max_tokens=3000, ignore_eos=True)
        requests = [GenerateRequest(f"death-{number:04}", ids, sampling, number % 2 == 0) for number in range(4)]
        running = [asyncio.create_task(engine.generate(request)) for request in requests]
        await asyncio.sleep(2.0)
        scheduler = max(tree, key=lambda member: member.memory_info().rss)
        os.kill(scheduler.pid, signal.SIGKILL)
        errors = await asyncio.wait_for(asyncio.gather(*running, return_exceptions=True), 120)
        for error in errors:
            assert isinstance(error, EngineUnavailable)
            assert str(tmp_path / "log") in error.message
            assert error.hint
        print(errors[0])
        await engine.close()
    finally:
        await asyncio.to_thread(process.stop)
    gone(tree, 20)


async def test_a_kept_engine_serves_the_next_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTSC_STATE_DIR", str(tmp_path))
    record = await asyncio.to_thread(kept.start_daemon, MODEL)
    tree = [psutil.Process(record.guard_pid), *psutil.Process(record.guard_pid).children(recursive=True)]
    try:
        found = kept.find_running(MODEL)
        assert found == record
        assert kept.find_running(record.model_path) == record
        engine = await SGLangEngine.connect(record.url, explain=lambda: kept.why_ended(record))
        ids = tuple(engine.tokenizer.encode("Once upon a time"))
        result = await engine.generate(GenerateRequest("kept-0001", ids, Sampling(max_tokens=4, ignore_eos=True)))
        assert result.completion_tokens == 4
        await engine.close()
        (status,) = kept.status()
        assert status.condition == "ready"
        assert status.memory_bytes > 500 * 1024**2
        assert "fired up" in kept.logs(MODEL, lines=500)[1]
    finally:
        await asyncio.to_thread(kept.stop)
    gone(tree, 20)
