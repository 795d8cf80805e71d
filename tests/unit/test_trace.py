"""A trace is written as it goes and reads back as what happened; usage adds up from its events."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from executor_programs import Builder, lengths, run  # noqa: E402

from ttsc.backends.protocol import RequestFailed  # noqa: E402
from ttsc.backends.scripted import ScriptedEngine  # noqa: E402
from ttsc.compiler.ir.nodes import Program, StoreSlot, Value  # noqa: E402
from ttsc.compiler.values.types import STR, ListOf  # noqa: E402
from ttsc.runtime.events import Event, OfflineTaken, RequestEnded, RequestStarted, RunEnded  # noqa: E402
from ttsc.runtime.retries import RetryPolicy  # noqa: E402
from ttsc.runtime.trace import TraceHeader, TraceUnreadable, TraceWriter, engine_facts, read_trace  # noqa: E402
from ttsc.runtime.usage import UsageMeter, total  # noqa: E402


def program() -> Program:
    b = Builder()
    pool = b.generate(b.user("what?"), 4, max_tokens=50, stream=True)
    return b.program(b.vote(b.texts(pool)))


class Written(list[Event]):
    """Events, each written when it is appended."""

    def __init__(self, writer: TraceWriter) -> None:
        super().__init__()
        self._writer = writer

    def append(self, event: Event) -> None:
        super().append(event)
        self._writer.write(event)


def events_of_a_run() -> list[Event]:
    events: list[Event] = []
    engine = ScriptedEngine(
        lengths("a", "a", "a", "b " * 20), fault=lambda n, r: RequestFailed("boom") if n == 0 else None
    )
    run(program(), engine, events=events, session_options={"retry": RetryPolicy(first_delay_s=0.0001)})
    return events


def test_scores_offline_values_and_stores_read_back_too(tmp_path: Path) -> None:
    slot = StoreSlot("notes", Value("%notes", ListOf(STR)))
    b = Builder()
    kept = b.offline(lambda inner: inner.text(inner.one(inner.generate(inner.user("q"), 1, max_tokens=9))))
    scored = b.score("choices", b.user("q"), ("a", "b"))
    end = b.pure("add", slot.value, b.pure("list", kept, kind=slot.value.type), kind=slot.value.type)
    events: list[Event] = []
    run(b.program(scored, stores=[(slot, end)]), ScriptedEngine(lambda p, s, k: "note"), events=events)
    path = tmp_path / "run.jsonl"
    with TraceWriter(path) as writer:
        for event in events:
            writer.write(event)
    trace = read_trace(path)
    assert list(trace.events) == events
    assert {type(event) for event in events} >= {OfflineTaken, RequestStarted, RequestEnded}
    assert trace.results[0].appended == {"notes": ("note",)}
    meter = UsageMeter()
    for event in trace.events:
        meter.add(event)
    assert meter.usage().scored_tokens == trace.results[0].usage.scored_tokens == 2


def test_written_and_read_back(tmp_path: Path) -> None:
    events = events_of_a_run()
    info = ScriptedEngine({}).info
    header = TraceHeader("vote.tts", "abc", 2, ("decide_early",), 7, engine_facts({"default": info}))
    path = tmp_path / "run.jsonl"
    with TraceWriter(path, header) as writer:
        for number, event in enumerate(events):
            writer.write(event)
            assert len(path.read_text().splitlines()) == number + 2, "flushed as it goes"
    trace = read_trace(path)
    assert trace.header == header
    assert list(trace.events) == events
    assert trace.results[0].value == "a"
    assert json.loads(path.read_text().splitlines()[0])["engines"]["default"]["model"] == "scripted"


def test_a_failed_run_reads_back(tmp_path: Path) -> None:
    b = Builder()
    events: list[Event] = []
    run(b.program(b.pure("div", b.const(1), b.const(0))), ScriptedEngine({}), events=events)
    path = tmp_path / "run.jsonl"
    with TraceWriter(path) as writer:
        for event in events:
            writer.write(event)
    (result,) = read_trace(path).results
    assert result.error is not None and result.error.code == "R0504"


def test_every_request_has_its_start_and_its_end(tmp_path: Path) -> None:
    events = events_of_a_run()
    started = [e.request_id for e in events if isinstance(e, RequestStarted)]
    ended = [e.request_id for e in events if isinstance(e, RequestEnded)]
    assert sorted(started) == sorted(ended) and len(set(started)) == len(started) == 5
    assert isinstance(events[-1], RunEnded)
    assert all(e.duration_s >= 0 for e in events if isinstance(e, RequestEnded))


def test_a_line_that_was_cut_off_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with TraceWriter(path, TraceHeader("p")) as writer:
        for event in events_of_a_run():
            writer.write(event)
    whole = path.read_text()
    path.write_text(whole[:-30])
    assert len(read_trace(path).events) == len(whole.splitlines()) - 2


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{}\n{}\n", 1),
        ("oops\n{}\n", 1),
        ('{"type":"Header","program":"p","format":99}\n', 1),
        ('{"type":"Nope"}\n', 1),
    ],
)
def test_what_is_no_trace_is_refused(text: str, line: int, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(text)
    with pytest.raises(TraceUnreadable) as caught:
        read_trace(path)
    assert caught.value.line == line


def test_format_1_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(
        '{"type":"Header","program":"p","program_hash":"","level":2,"passes":[],"seed":0,"engines":{},"format":1}\n'
        '{"type":"RequestEnded","request_id":"r","node":"%a","finish":"eos","prompt_tokens":3,"cached_tokens":0,'
        '"completion_tokens":2,"text":"a","time_s":1.0,"duration_s":0.5,"seen_tokens":null,"error":"","input":0}\n'
    )
    trace = read_trace(path)
    (ended,) = trace.events
    assert trace.header is not None and trace.header.format == 1
    assert isinstance(ended, RequestEnded) and ended.completion_tokens == 2 and ended.output_ids == ()


def test_lines_leave_out_defaults_and_tell_turns(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with TraceWriter(path) as writer:
        events = Written(writer)
        run(program(), ScriptedEngine(lengths("a", "a", "a", "b")), events=events)
    first, *rest = [json.loads(line) for line in path.read_text().splitlines()]
    assert "after" not in first and any(line.get("after", 0) > 0 for line in rest)
    assert all("error" not in line and "hedge_of" not in line for line in rest)
    assert list(read_trace(path).events) == events


def test_usage_adds_up() -> None:
    events = events_of_a_run()
    meter = UsageMeter()
    for event in events:
        meter.add(event)
    usage = meter.usage()
    assert (usage.requests, usage.failed, usage.retries) == (5, 1, 1)
    assert usage.aborted + sum(isinstance(e, RequestEnded) and e.finish == "eos" for e in events) == 4
    assert usage.decoded_tokens == sum(e.completion_tokens for e in events if isinstance(e, RequestEnded))
    assert usage.lost_tokens == sum(
        e.completion_tokens for e in events if isinstance(e, RequestEnded) and e.finish == "abort"
    )
    assert usage.by_model["default"]["requests"] == 5
    (node,) = usage.by_node.values()
    assert node["decoded_tokens"] == usage.decoded_tokens
    twice = total([usage, usage])
    assert twice.requests == 10 and twice.by_model["default"]["failed"] == 2
