"""The arms that there are, and an arm as a process: started once for a workload, given commands line by line."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers import environments, workloads

FOLDER = Path(__file__).parent / "arms"
START_TIMEOUT_S = 180.0


@dataclass(frozen=True, slots=True)
class Arm:
    """A script with its options. `environment`: the peer whose interpreter runs it, or ttsc's own."""

    script: str
    options: tuple[str, ...] = ()
    environment: str = ""
    workloads: frozenset[str] = frozenset(workloads.NAMES)


_VOTE = frozenset({"self_consistency"})
_PORTS = frozenset({"multi_chain_reasoning", "tree_of_thought_deep", "llm_judge", "tip_suggestion"})

ARMS: dict[str, Arm] = {
    "ttsc_default": Arm("ttsc_arm.py"),
    "ttsc_wait": Arm("ttsc_arm.py", ("--wait",)),
    "hand_wait": Arm("hand.py"),
    "hand_early": Arm("hand.py", ("--early",), workloads=workloads.DECIDABLE),
    "frontend": Arm("frontend_arm.py", workloads=_PORTS | {"self_consistency", "best_of_n"}),
    "frontend_warm": Arm("frontend_arm.py", ("--warm",), workloads=_PORTS | {"self_consistency", "best_of_n"}),
    "its_hub": Arm("its_hub_arm.py", (), "its-hub", frozenset({"self_consistency", "best_of_n", "particle_filter"})),
    "its_hub_adaptive": Arm("its_hub_arm.py", ("--algorithm", "adaptive"), "its-hub", _VOTE),
    "its_hub_beta": Arm("its_hub_arm.py", ("--algorithm", "beta"), "its-hub", _VOTE),
    "optillm": Arm("optillm_arm.py", (), "optillm", frozenset({"self_consistency", "best_of_n"})),
}


class ArmFailed(Exception):
    """An arm could not start, ended, or did not answer in time."""


class ArmProcess:
    """A running arm. Use as a context manager."""

    def __init__(self, command: Sequence[str], log: Path, start_timeout_s: float = START_TIMEOUT_S) -> None:
        """Starts it and waits until it is ready. What it writes to standard error goes to `log`. Raises `ArmFailed`."""
        self._log = log
        self._errors = log.open("w")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        try:
            ready = self._read(start_timeout_s)
            if not ready.get("ready"):
                raise ArmFailed(str(ready.get("error", ready)))
        except BaseException:
            self.close()
            raise
        self.version = f"{ready.get('name', '')} {ready.get('version', '')}".strip()

    def run(self, seed: int, inputs: Sequence[int], concurrency: int, timeout_s: float) -> dict[str, Any]:
        """One command's answer. Raises `ArmFailed`; an arm that was too slow has been ended."""
        assert self._process.stdin is not None
        try:
            command = {"seed": seed, "inputs": list(inputs), "concurrency": concurrency}
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise ArmFailed(f"it has ended: {self._last_words()}") from error
        answer = self._read(timeout_s)
        if answer.get("error"):
            raise ArmFailed(str(answer["error"]))
        return answer

    def close(self) -> None:
        """End it: politely, then not."""
        process = self._process
        if process.stdin is not None:
            try:
                process.stdin.close()
            except OSError:
                pass
        for end in (lambda: None, process.terminate, process.kill):
            end()
            try:
                process.wait(timeout=10)
                break
            except subprocess.TimeoutExpired:
                continue
        self._errors.close()

    def __enter__(self) -> ArmProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, timeout_s: float) -> dict[str, Any]:
        """The next line that is a JSON object."""
        assert self._process.stdout is not None
        timer = threading.Timer(timeout_s, self._process.kill)
        timer.start()
        try:
            while line := self._process.stdout.readline():
                if line.startswith("{"):
                    answer: dict[str, Any] = json.loads(line)
                    return answer
        finally:
            timed_out = not timer.is_alive()
            timer.cancel()
        if timed_out:
            raise ArmFailed(f"no answer within {timeout_s:.0f} s")
        raise ArmFailed(f"it has ended: {self._last_words()}")

    def _last_words(self) -> str:
        self._errors.flush()
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "without a word"


Interpreter = Callable[[str], str]


def interpreter(environment: str) -> str:
    """The Python that runs an arm. A peer's environment is made if it is missing."""
    return str(environments.interpreter(environment)) if environment else sys.executable


def command(arm: Arm, python: str, url: str, model: str, workload: str, data: Path) -> list[str]:
    """What starts an arm."""
    return [
        *(python, str(FOLDER / arm.script), *arm.options),
        *("--url", url, "--model", model, "--workload", workload, "--data", str(data)),
    ]
