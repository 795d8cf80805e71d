"""Reading a server's event stream: bytes to events, and events to the ids (and what is reported of them) that are new.

SGLang 0.5.23 sends, in each event, either every output id so far (the default) or only those since the last event
(`--incremental-streaming-output`). `meta_info.completion_tokens` counts all of them either way, which tells the two
apart event by event, so that an attached server may run in either mode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from ttsc.backends.protocol import confidence

T = TypeVar("T")


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
    """What one request has produced so far: its ids, their log-probabilities and confidences if reported, and the last
    `meta_info`. `widths`: of how many most probable tokens the confidences are made.
    """

    __slots__ = ("confidences", "finished", "ids", "logprobs", "meta", "widths")

    def __init__(self) -> None:
        self.confidences: list[float] = []
        self.widths: set[int] = set()
        self.ids: list[int] = []
        self.logprobs: list[float] = []
        self.meta: dict[str, Any] = {}
        self.finished = False

    def add(self, event: Mapping[str, Any]) -> tuple[int, ...]:
        """Take in one event; the ids that are new with it.

        Raises `KeyError` or `TypeError` for an event that lacks what every event of SGLang has.
        """
        meta: Mapping[str, Any] = event["meta_info"]
        fresh = tuple(self._new(event["output_ids"], len(self.ids), int(meta["completion_tokens"])))
        self.ids.extend(fresh)
        # Entries are [logarithm, id, text]; like the ids they are all so far or the newest only.
        entries = meta.get("output_token_logprobs")
        if entries:
            self.logprobs.extend(float(entry[0]) for entry in self._new(entries, len(self.logprobs), len(self.ids)))
        tops = meta.get("output_top_logprobs")
        for top in self._new(tops, len(self.confidences), len(self.ids)) if tops else ():
            self.widths.add(len(top))
            self.confidences.append(confidence([float(entry[0]) for entry in top]))
        # An abort in the waiting queue reports fewer facts than the events before it: keep what was known.
        self.meta.update(meta)
        self.finished = meta.get("finish_reason") is not None
        return fresh

    @staticmethod
    def _new(items: Sequence[T], seen: int, total: int) -> Sequence[T]:
        """Those of an event's items that are new, of `total` with it and `seen` before it."""
        if len(items) >= total:
            return items[seen:]
        # Only the newest. The last event of an abort repeats the last id, which the total shows.
        missing = max(0, total - seen)
        return items[len(items) - missing :] if missing < len(items) else items
