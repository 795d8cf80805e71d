"""A process that is killed with SIGKILL in the middle of its inputs is resumed as if nothing had happened."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("killed_run.py")


def start(journal: Path | None, folder: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    files = [str(folder / f"{name}.{kind}") for kind in ("results", "requests")]
    return subprocess.Popen([sys.executable, str(SCRIPT), str(journal or ""), *files, str(count)])


def read(folder: Path, name: str) -> tuple[dict[int, str], Counter[str]]:
    """Values by input, as they were written, and how often each request was answered."""
    results = (folder / f"{name}.results").read_text().splitlines()
    requests = (folder / f"{name}.requests").read_text().splitlines()
    rows = [json.loads(line) for line in results]
    assert all(succeeded for _, _, succeeded in rows)
    return {number: json.dumps(value) for number, value, _ in rows}, Counter(requests)


@pytest.mark.timeout(300)
def test_a_thousand_inputs_survive_sigkill(tmp_path: Path) -> None:
    count, kills = 1000, 2
    assert start(None, tmp_path, "unbroken", count).wait() == 0
    unbroken, asked_once = read(tmp_path, "unbroken")
    journal, rng = tmp_path / "journal", random.Random(4)
    requests = tmp_path / "resumed.requests"
    (tmp_path / "resumed.results").touch()
    for kill in range(kills):
        wanted = len(asked_once) * (kill + rng.random()) / (kills + 1)
        process = start(journal, tmp_path, "resumed", count)
        while process.poll() is None and (not requests.exists() or requests.read_bytes().count(b"\n") < wanted):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it was to be killed before its end"
    assert start(journal, tmp_path, "resumed", count).wait() == 0
    resumed, asked = read(tmp_path, "resumed")
    assert resumed == unbroken
    again = sum(times - 1 for times in asked.values())
    assert again <= kills * 40, "only what was answered in the last moment before a kill is asked again"
