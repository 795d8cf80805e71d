"""Outcomes for the simulator from what a run told: its events, or its trace."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from ttsc.backends.simulator.recorded import Place, Recorded, RecordedOutcomes
from ttsc.replays import open_trace
from ttsc.runtime.events import AnswerTaken, Event, RequestEnded, RequestStarted


def outcomes_of_trace(path: Path | str) -> RecordedOutcomes:
    """Raises `UsageError`: E0509 without a file, E0518 for one that can't be read."""
    return outcomes_of_events(cast(Any, line) for line, _ in open_trace(path).trace.lines)


def outcomes_of_events(events: Iterable[Event]) -> RecordedOutcomes:
    """Of requests that were sent several times the answer that came counts; else the longest part of one."""
    started: dict[str, RequestStarted] = {}
    places: dict[Place, Recorded] = {}
    for event in events:
        match event:
            case RequestStarted():
                started[event.request_id] = event
            case RequestEnded() if event.request_id in started and event.finish != "error":
                begun = started[event.request_id]
                place = (begun.input, begun.site)
                known = places.get(place)
                ended = event.finish != "abort"
                if known is None or (known.finish == "abort" and (ended or len(event.output_ids) > len(known.ids))):
                    places[place] = _recorded(begun.node, event)
            case AnswerTaken():
                places[event.input, event.site] = _recorded(event.node, event)
            case _:
                pass
    return RecordedOutcomes(places)


def _recorded(node: str, event: RequestEnded | AnswerTaken) -> Recorded:
    finish = cast(Any, event.finish if event.kind == "generate" else "eos")
    return Recorded(node, event.output_ids, finish, event.matched, event.logprobs, event.confidences, event.values)
