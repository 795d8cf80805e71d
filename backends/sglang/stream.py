"""Reading a server's event stream: bytes to events, and events to the ids that are new.

SGLang 0.5.23 sends, in each event, either every output id so far (the default) or only those since the last event
(`--incremental-streaming-output`). `meta_info.completion_tokens` counts all of them either way, which tells the two
apart event by event, so that an attached server may run in either mode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class EventParser:
    """Splits an event stream into the payloads of its `data:` fields, whatever the chunks it arrives in."""

    __slots__ = ("_buffer", "_fields")

    def __init__(self) -> None:
        self._buffer = b""
        self._fields: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads of the events that `data` completes."""
        lines = (self._buffer + data).split(b"\n")
        self._buffer = lines.pop()
        events: list[bytes] = []
        for raw in lines:
            line = raw.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._fields.append(line[5:].removeprefix(b" "))
            elif not line and self._fields:
                events.append(b"\n".join(self._fields))
                self._fields.clear()
        return events


class Decoded:
    """What one request has produced so far: its ids and the last `meta_info`."""

    __slots__ = ("finished", "ids", "meta")

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.meta: dict[str, Any] = {}
        self.finished = False

    def add(self, event: Mapping[str, Any]) -> tuple[int, ...]:
        """Take in one event; the ids that are new with it.

        Raises `KeyError` or `TypeError` for an event that lacks what every event of SGLang has.
        """
        meta: Mapping[str, Any] = event["meta_info"]
        fresh = self._fresh(event["output_ids"], int(meta["completion_tokens"]))
        self.ids.extend(fresh)
        # An abort in the waiting queue reports fewer facts than the events before it: keep what was known.
        self.meta.update(meta)
        self.finished = meta.get("finish_reason") is not None
        return fresh

    def _fresh(self, ids: Sequence[int], total: int) -> tuple[int, ...]:
        seen = len(self.ids)
        if len(ids) >= total:
            return tuple(ids[seen:])
        # Only the newest ids. The last event of an abort repeats the last id, which the total shows.
        missing = max(0, total - seen)
        return tuple(ids[len(ids) - missing :]) if missing < len(ids) else tuple(ids)
