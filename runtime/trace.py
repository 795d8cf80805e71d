"""The trace of a run: JSON lines, written as it goes.

The first line is a header (the program's text, how it was compiled, the engines); then one line per event, in the order
in which they happened; the last event of each input carries its result. A line is `{"type": …, …fields}`; a field that
has its default is left out. `after` counts the turns of the event loop since the line before, while it was busy all
the time; without it the loop has rested. Between the events stands what else a replay needs (`replay.py`): what the
tokenizer was asked, what stores held. Every line is flushed, so that a trace of a run that died says how far it came; a
last line that was cut off is ignored when reading.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, is_dataclass
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
from ttsc.runtime.records import NotRecordable, to_json

FORMAT = 2
_READABLE = (1, 2)
"""Format 1 has the events without answers: it can be read, and not replayed."""
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
    """What was run, on what. `program_hash` tells whether a program is still the one that was traced.

    For a replay: `source`, its `path` and `text`; `task`, of what stood in for `std.task`, if something did; the
    `modules` that they use, by the file that uses them and the dotted name; `known`: parameters that it was specialised
    for; `plan`: the plan's digest; `budget`: its resources and amounts. Of each engine besides its facts the numbers of
    the `lane` and of the `tokenizer` that roles share, and the ids that end a turn.
    """

    program: str
    program_hash: str = ""
    level: int = 0
    passes: tuple[str, ...] = ()
    seed: int = 0
    engines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    format: int = FORMAT
    source: Mapping[str, str] = field(default_factory=dict)
    task: Mapping[str, str] = field(default_factory=dict)
    modules: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
    disabled: tuple[str, ...] = ()
    enabled: tuple[str, ...] = ()
    known: Mapping[str, Any] = field(default_factory=dict)
    plan: str = ""
    budget: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Tokenized:
    """One question to a tokenizer, by its number, and its answer (`tokenizer_memo`)."""

    tokenizer: int
    call: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoresHeld:
    """What stores hold when an input begins, where that does not follow from what stands before."""

    input: int
    stores: Mapping[str, tuple[Any, ...]]


def engine_facts(engines: Mapping[str, EngineInfo]) -> dict[str, dict[str, Any]]:
    """What a header says of the engines, by model role."""
    return {role: {**asdict(info), "abilities": sorted(info.abilities)} for role, info in engines.items()}


class TraceWriter:
    """Writes a trace to a file. A context manager; `write` takes events from any number of inputs."""

    def __init__(self, path: str | Path, header: TraceHeader | None = None) -> None:
        self._file: TextIO = Path(path).open("w", encoding="utf-8", newline="\n")
        self._turns = _Turns()
        if header is not None:
            self.begin(header)

    def begin(self, header: TraceHeader) -> None:
        """Write the header, before any event."""
        self._line("Header", asdict(header))

    def write(self, event: Event | Tokenized | StoresHeld) -> None:
        data: dict[str, Any] = {}
        for each in fields(event):
            value = getattr(event, each.name)
            if each.name == "input" or not _is_default(each, value):
                data[each.name] = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        after = self._turns.since_last()
        if after is not None:
            data["after"] = after
        self._line(type(event).__name__, data)

    def _line(self, kind: str, data: Mapping[str, Any]) -> None:
        line = json.dumps({"type": kind, **data}, ensure_ascii=False, default=_said, separators=(",", ":"))
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


class _Turns:
    """Counts the turns of the running event loop from one line to the next, while it is busy."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turns = 0
        self._counting = False

    def since_last(self) -> int | None:
        """Turns since the last call; None if the loop had nothing to do in between, or there is none."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return None
        turns = self._turns if self._counting and loop is self._loop else None
        self._turns = 0
        if turns is None:
            self._loop, self._counting = loop, True
            loop.call_soon(self._turn)
        return turns

    def _turn(self) -> None:
        self._turns += 1
        if getattr(self._loop, "_ready", None) and self._loop is not None:
            self._loop.call_soon(self._turn)
        else:
            self._counting = False


def _is_default(each: Field[Any], value: object) -> bool:
    if each.default is not MISSING:
        return type(value) is type(each.default) and bool(value == each.default)
    return each.default_factory is not MISSING and value == each.default_factory()


def _said(value: object) -> Any:
    """What JSON has no word for: pictures whole."""
    try:
        return to_json(value)
    except NotRecordable:
        return str(value)


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace read back. `lines`: the events and what stands between them, each with its `after`."""

    header: TraceHeader | None
    lines: tuple[tuple[Event | Tokenized | StoresHeld, int | None], ...]

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(line for line, _ in self.lines if not isinstance(line, Tokenized | StoresHeld))

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
    lines: list[tuple[Event | Tokenized | StoresHeld, int | None]] = []
    for kind, data, number in _lines(Path(path)):
        after = data.pop("after", None)
        if kind == "Header":
            header = _header(data, number)
        elif kind in _EVENTS:
            lines.append((_event(kind, data, number), after))
        elif kind == "Tokenized":
            lines.append((_built(Tokenized, data, number), after))
        elif kind == "StoresHeld":
            lines.append((_built(StoresHeld, data, number), after))
        else:
            raise TraceUnreadable(f"unknown event {kind!r}", number)
    return Trace(header, tuple(lines))


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
    if data.get("format") not in _READABLE:
        raise TraceUnreadable(f"format {data.get('format')!r} is not one understood here (1, {FORMAT})", number)
    data["budget"] = tuple((str(name), float(amount)) for name, amount in data.get("budget", ()))
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
        for name in ("output_ids", "logprobs", "values", "confidences"):
            if data.get(name) is not None:
                data[name] = tuple(data[name])
    if kind == "RequestGivenUp":
        data["failure"] = _built(RunFailure, data["failure"], number)
    if kind == "Decided":
        data["tally"] = tuple((str(name), float(worth)) for name, worth in data.get("tally", ()))
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
    return tuple(value) if kind is TraceHeader and name in ("passes", "disabled", "enabled") else value
