"""What runs did, from their events: the spans of requests and calls, by input and by node."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ttsc.compiler.cost.counts import Counts, request_counts
from ttsc.runtime.events import (
    Event,
    ExternCalled,
    InputStarted,
    RequestEnded,
    RequestStarted,
    RunEnded,
    RunResult,
)

EXTERN = "extern"
_EPSILON_S = 1e-9


@dataclass(frozen=True, slots=True)
class Done:
    """One request or one extern's call, from `start_s` to `end_s` of the session. `kind`: generate, score, reward,
    embed, extern. `parent`: the request whose tokens the prompt continues.
    """

    request_id: str
    node: str
    op: str
    role: str
    kind: str
    start_s: float
    end_s: float
    finish: str
    counts: Counts
    parent: str | None = None
    site: str = ""


@dataclass(slots=True)
class InputRecord:
    """One input's run. `result`: None while it runs."""

    number: int
    start_s: float = 0.0
    end_s: float = 0.0
    done: list[Done] = field(default_factory=list)
    result: RunResult | None = None

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s

    def counts(self) -> Counts:
        return summed(each.counts for each in self.done)

    def of(self, node: str) -> list[Done]:
        return [each for each in self.done if each.node == node]


class Collector:
    """Feed it the events of any number of inputs; `inputs` has a record of each. `asked`: requests and
    host functions' calls so far, by all.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._records: dict[int, InputRecord] = {}
        self._started: dict[str, RequestStarted] = {}

    @property
    def inputs(self) -> list[InputRecord]:
        """In the order of their numbers."""
        return [self._records[number] for number in sorted(self._records)]

    def feed(self, event: Event) -> None:
        match event:
            case InputStarted():
                self._record(event.input).start_s = event.time_s
            case RequestStarted():
                self.asked += 1
                self._started[event.request_id] = event
            case RequestEnded():
                self._ended(event)
            case ExternCalled(taken=False):
                self.asked += 1
                start = event.time_s - event.duration_s
                finish = "error" if event.error else "done"
                self._record(event.input).done.append(
                    Done("", event.node, event.name, "", EXTERN, start, event.time_s, finish, Counts(), site=event.site)
                )
            case RunEnded():
                record = self._record(event.input)
                record.end_s, record.result = event.time_s, event.result
            case _:
                pass

    def _record(self, number: int) -> InputRecord:
        return self._records.setdefault(number, InputRecord(number))

    def _ended(self, event: RequestEnded) -> None:
        started = self._started.pop(event.request_id, None)
        if started is None:
            return
        counts = request_counts(event.prompt_tokens, event.cached_tokens, event.completion_tokens, event.scored_tokens)
        self._record(event.input).done.append(
            Done(
                event.request_id,
                event.node,
                started.op,
                started.role,
                event.kind,
                started.time_s,
                event.time_s,
                event.finish,
                counts,
                started.parent,
                started.site,
            )
        )


def summed(parts: Iterable[Counts]) -> Counts:
    total = Counts()
    for part in parts:
        total = total + part
    return total


def busy_s(spans: Iterable[Done]) -> float:
    """Seconds in which at least one of them was under way."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted((each.start_s, each.end_s) for each in spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
