"""The trace of a run: JSON lines, written as it goes.

The first line is a header (program, plan, seed, engines); then one line per event, in the order in which they
happened; the last event of each input carries its result. A line is `{"type": …, …fields}`. Every line is flushed, so
that a trace of a run that died says how far it came; a last line that was cut off is ignored when reading.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from ttsc.backends.protocol import EngineInfo
from ttsc.runtime.events import (
    AnswerTaken,
    DeadlineReached,
    Decided,
    Event,
    ExternCalled,
    InputStarted,
    OfflineTaken,
    RequestEnded,
    RequestGivenUp,
    RequestRetried,
    RequestStarted,
    RunEnded,
    RunFailure,
    RunResult,
    TokensArrived,
    Usage,
)

FORMAT = 1
_EVENTS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        InputStarted,
        RequestStarted,
        TokensArrived,
        RequestEnded,
        RequestRetried,
        RequestGivenUp,
        AnswerTaken,
        ExternCalled,
        Decided,
        OfflineTaken,
        DeadlineReached,
        RunEnded,
    )
}


@dataclass(frozen=True, slots=True)
class TraceHeader:
    """What was run, on what. `program_hash` tells whether a program is still the one that was traced."""

    program: str
    program_hash: str = ""
    level: int = 0
    passes: tuple[str, ...] = ()
    seed: int = 0
    engines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    format: int = FORMAT


def engine_facts(engines: Mapping[str, EngineInfo]) -> dict[str, dict[str, Any]]:
    """What a header says of the engines, by model role."""
    return {role: {**asdict(info), "abilities": sorted(info.abilities)} for role, info in engines.items()}


class TraceWriter:
    """Writes a trace to a file. A context manager; `write` takes events from any number of inputs."""

    def __init__(self, path: str | Path, header: TraceHeader | None = None) -> None:
        self._file: TextIO = Path(path).open("w", encoding="utf-8", newline="\n")
        if header is not None:
            self.begin(header)

    def begin(self, header: TraceHeader) -> None:
        """Write the header, before any event."""
        self._line("Header", asdict(header))

    def write(self, event: Event) -> None:
        self._line(type(event).__name__, asdict(event))

    def _line(self, kind: str, data: Mapping[str, Any]) -> None:
        line = json.dumps({"type": kind, **data}, ensure_ascii=False, default=str, separators=(",", ":"))
        self._file.write(line + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace read back."""

    header: TraceHeader | None
    events: tuple[Event, ...]

    @property
    def results(self) -> tuple[RunResult, ...]:
        """Results by input."""
        ended = (event for event in self.events if isinstance(event, RunEnded))
        return tuple(sorted((event.result for event in ended), key=lambda result: result.input))


class TraceUnreadable(Exception):
    """The file is no trace. `line` is 1-based."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(f"line {line}: {message}")
        self.message = message
        self.line = line


def read_trace(path: str | Path) -> Trace:
    """Read a trace. Raises `TraceUnreadable`; a cut-off last line is what a run that died leaves, and no error."""
    header: TraceHeader | None = None
    events: list[Event] = []
    for kind, data, number in _lines(Path(path)):
        if kind == "Header":
            header = _header(data, number)
        elif kind in _EVENTS:
            events.append(_event(kind, data, number))
        else:
            raise TraceUnreadable(f"unknown event {kind!r}", number)
    return Trace(header, tuple(events))


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any], int]]:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            data = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                return
            raise TraceUnreadable("not JSON", number) from error
        if not isinstance(data, dict) or not isinstance(data.get("type"), str):
            raise TraceUnreadable("not a line of a trace", number)
        yield data.pop("type"), data, number


def _header(data: dict[str, Any], number: int) -> TraceHeader:
    if data.get("format") != FORMAT:
        raise TraceUnreadable(f"format {data.get('format')!r} is not the one understood here ({FORMAT})", number)
    header: TraceHeader = _built(TraceHeader, data, number)
    return header


def _event(kind: str, data: dict[str, Any], number: int) -> Event:
    if kind == "RunEnded":
        result = data["result"]
        result["usage"] = _built(Usage, result["usage"], number)
        if result.get("error") is not None:
            result["error"] = _built(RunFailure, result["error"], number)
        result["appended"] = {name: tuple(items) for name, items in result.get("appended", {}).items()}
        data["result"] = _built(RunResult, result, number)
    if kind in ("RequestEnded", "AnswerTaken"):
        for name in ("output_ids", "logprobs", "values"):
            data[name] = None if data.get(name) is None else tuple(data[name])
    if kind == "RequestGivenUp":
        data["failure"] = _built(RunFailure, data["failure"], number)
    if kind == "Decided":
        data["tally"] = tuple((str(name), float(worth)) for name, worth in data["tally"])
    event: Event = _built(_EVENTS[kind], data, number)
    return event


def _built(kind: Any, data: dict[str, Any], number: int) -> Any:
    """An instance from JSON; fields of a later version are left out."""
    known = {each.name for each in fields(kind)}
    try:
        return kind(**{name: _tuples(kind, name, value) for name, value in data.items() if name in known})
    except TypeError as error:
        raise TraceUnreadable(f"a {kind.__name__} lacks a field", number) from error


def _tuples(kind: Any, name: str, value: Any) -> Any:
    return tuple(value) if kind is TraceHeader and name == "passes" else value
