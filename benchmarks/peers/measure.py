"""Measuring: arms in turns on one server, each run from an empty cache, tokens by the server's own counters."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.arm_process import ARMS, ArmFailed, ArmProcess, command, interpreter
from benchmarks.peers.environments import InstallationFailed
from benchmarks.peers.server import Counts, Server

RUN_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Mode:
    """`inputs` at once. With 1, several inputs run alone, one after the other, each from an empty cache; a run's
    seconds are their sum.
    """

    inputs: int
    alone: int = 1

    @property
    def title(self) -> str:
        return "one input alone" if self.inputs == 1 else f"{self.inputs} inputs at once"

    @property
    def commands(self) -> list[list[int]]:
        """The inputs of each command of a run."""
        return [[i] for i in range(self.alone)] if self.inputs == 1 else [list(range(self.inputs))]

    @property
    def count(self) -> int:
        """Inputs of a run."""
        return self.alone if self.inputs == 1 else self.inputs


@dataclass(slots=True)
class Measured:
    """One arm's runs. `error`: why it has none, or no more."""

    version: str = ""
    seconds: list[float] = field(default_factory=list)
    counts: list[Counts] = field(default_factory=list)
    answers: list[list[Any]] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    """Of the client's own process; optillm's proxy is another one."""
    distinct_tokens: list[int] = field(default_factory=list)
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Measured:
        """What `to_json` gave."""
        return Measured(**{**data, "counts": [Counts(**each) for each in data["counts"]]})


Tell = Callable[[str], None]


def measure(
    server: Server,
    model: str,
    workload: str,
    data: Path,
    arms: Sequence[str],
    modes: Sequence[Mode],
    repeats: int,
    logs: Path,
    tell: Tell,
    timeout_s: float = RUN_TIMEOUT_S,
) -> list[dict[str, Measured]]:
    """For each mode, every arm `repeats` times, after a run that warms it up and is not counted.

    Arms take turns, in an order that moves on by one with each repeat. One that fails has its error in its result and
    is not run again in that mode; one that does not answer within `timeout_s` is ended.
    """
    with ExitStack() as stack:
        processes: dict[str, ArmProcess] = {}
        errors: dict[str, str] = {}
        for name in arms:
            try:
                arm = ARMS[name]
                argv = command(arm, interpreter(arm.environment), server.url, model, workload, data)
                processes[name] = stack.enter_context(ArmProcess(argv, logs / f"{workload}.{name}.log"))
            except (ArmFailed, InstallationFailed) as error:
                errors[name] = f"did not start: {error}"
                tell(f"{workload}, {name}: {errors[name]}")
        results = []
        for mode in modes:
            versions = {name: process.version for name, process in processes.items()}
            measured = {name: Measured(versions.get(name, ""), error=errors.get(name, "")) for name in arms}
            _repeated(server, processes, mode, repeats, measured, lambda said: tell(f"{workload}, {said}"), timeout_s)
            results.append(measured)
        return results


def _repeated(
    server: Server,
    processes: Mapping[str, ArmProcess],
    mode: Mode,
    repeats: int,
    measured: dict[str, Measured],
    tell: Tell,
    timeout_s: float,
) -> None:
    arms = list(measured)
    counts = server.counts()
    for repeat in range(-1, repeats):
        turn = max(repeat, 0) % max(1, len(arms))
        for name in (*arms[turn:], *arms[:turn]):
            if measured[name].error:
                continue
            try:
                counts = _run(server, processes[name], mode, repeat, measured[name], counts, timeout_s)
            except (ArmFailed, TimeoutError) as error:
                measured[name].error = str(error) or type(error).__name__
                counts = server.counts()
                tell(f"{mode.title}, {name}: {error}")
        tell(f"{mode.title}: " + ("warm" if repeat < 0 else f"repeat {repeat + 1} of {repeats}"))


def _run(
    server: Server,
    process: ArmProcess,
    mode: Mode,
    repeat: int,
    result: Measured,
    before: Counts,
    timeout_s: float,
) -> Counts:
    """One run: its commands, each from an empty cache. Repeat -1 warms up, by a seed of its own. `before`: the
    server's counters now; what they are afterwards comes back.
    """
    seconds, cpu, calls, distinct, answers = 0.0, 0.0, 0, 0, list[Any]()
    for inputs in mode.commands:
        server.empty()
        answer = process.run(repeat + 1, inputs, mode.inputs, timeout_s)
        server.idle()
        seconds += float(answer["seconds"])
        cpu += float(answer.get("cpu_seconds") or 0.0)
        calls += int(answer.get("calls") or 0)
        answers += answer["answers"]
        distinct += int(answer.get("distinct_tokens") or 0)
    now = server.counts()
    if repeat >= 0:
        result.seconds.append(seconds)
        result.counts.append(now.since(before))
        result.answers.append(answers)
        result.calls.append(calls)
        result.cpu_seconds.append(cpu)
        result.distinct_tokens.append(distinct)
    return now


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and greatest of some numbers."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(numbers: Sequence[float]) -> Spread | None:
        """None of no numbers."""
        return Spread(statistics.median(numbers), min(numbers), max(numbers)) if numbers else None


def ratio(ours: Measured, theirs: Measured) -> float | None:
    """Our median seconds over theirs; None where one of the two has no run."""
    if ours.error or theirs.error or not ours.seconds or not theirs.seconds:
        return None
    return statistics.median(ours.seconds) / statistics.median(theirs.seconds)


def fastest(results: Mapping[str, Measured], names: Sequence[str]) -> str | None:
    """Which of these arms has the least median."""
    able = [name for name in names if name in results and results[name].seconds and not results[name].error]
    return min(able, key=lambda name: statistics.median(results[name].seconds), default=None)


def equal_answers(first: Measured, second: Measured) -> tuple[int, int]:
    """How many answers of the same seed and input are equal, and of how many."""
    pairs = [
        (json.dumps(a), json.dumps(b))
        for mine, other in zip(first.answers, second.answers, strict=False)
        for a, b in zip(mine, other, strict=True)
    ]
    return sum(a == b for a, b in pairs), len(pairs)
