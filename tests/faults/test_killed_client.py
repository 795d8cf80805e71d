"""A client of a real server is killed with SIGKILL, twice, and resumed from its journal: its results are those of an
unbroken run, byte for byte, and what had been answered is not asked for again.

TTSC_FAULT_INPUTS says how many inputs there are.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from servers import tell

SCRIPT = Path(__file__).with_name("resumed_client.py")
COUNT = int(os.environ.get("TTSC_FAULT_INPUTS", "300"))
KILLS = 2
AT_ONCE = 64


class Client:
    """Runs of the script that write to the same files."""

    def __init__(self, url: str, folder: Path, name: str, journal: str) -> None:
        self.out, self.asked = folder / f"{name}.results", folder / f"{name}.asked"
        self._arguments = [url, journal, str(self.out), str(self.asked), str(COUNT)]
        self.out.touch()

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, str(SCRIPT), *self._arguments])

    def results(self) -> list[bytes]:
        """The line of each input, in their order."""
        return sorted(set(self.out.read_bytes().splitlines()))


@pytest.mark.timeout(900)
def test_sigkill_loses_nothing_and_repeats_nothing(engine_url: str, tmp_path: Path) -> None:
    tell(f"{COUNT} inputs are resumed after SIGKILL (TTSC_FAULT_INPUTS)")
    unbroken = Client(engine_url, tmp_path, "unbroken", "")
    assert unbroken.start().wait() == 0
    expected = unbroken.results()
    assert len(expected) == COUNT and all(line.endswith(b"null]") for line in expected)

    client, drawn = Client(engine_url, tmp_path, "resumed", str(tmp_path / "journal")), random.Random(9)
    for kill in range(KILLS):
        wanted = COUNT * (kill + drawn.uniform(0.2, 0.8)) / (KILLS + 1)
        process = client.start()
        while process.poll() is None and len(client.results()) < wanted:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it was to be killed before its end"
    assert client.start().wait() == 0
    assert client.results() == expected
    asked = Counter(client.asked.read_text().splitlines())
    assert len(asked) == COUNT
    assert asked.total() - COUNT <= KILLS * AT_ONCE, "only what was on its way, or just there, is asked for again"
