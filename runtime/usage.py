"""What a run used, added up from its events: by the server's own counters, per model role and per node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ttsc.runtime.events import AnswerTaken, Event, ExternCalled, RequestEnded, RequestRetried, RequestStarted, Usage

_COUNTS = (
    "requests",
    "prefill_tokens",
    "cached_tokens",
    "decoded_tokens",
    "lost_tokens",
    "aborted",
    "failed",
    "retries",
    "scored_tokens",
    "rewards",
    "embeddings",
    "taken_requests",
    "taken_tokens",
)


class UsageMeter:
    """Feed it events; ask for `usage()` at any time."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], dict[str, int]] = {}
        """By role and node. Totals, and those by one of the two, are added up when they are asked for."""
        self._roles: dict[str, str] = {}
        self._extern_calls = 0
        self._taken_calls = 0

    def add(self, event: Event) -> None:
        match event:
            case RequestStarted(request_id=request_id, role=role, node=node):
                self._roles[request_id] = role
                self._of(role, node)["requests"] += 1
            case RequestRetried(request_id=request_id, node=node):
                self._of(self._roles.get(request_id, ""), node)["retries"] += 1
            case RequestEnded(request_id=request_id, node=node, finish=finish):
                known = self._roles.get(request_id, "") if finish == "error" else self._roles.pop(request_id, "")
                self._ended(event, self._of(known, node))
            case AnswerTaken():
                counts = self._of(event.role, event.node)
                computed = max(0, event.prompt_tokens - event.cached_tokens)
                counts["requests"] += 1
                counts["prefill_tokens"] += computed
                counts["cached_tokens"] += event.cached_tokens
                counts["decoded_tokens"] += event.completion_tokens
                counts["scored_tokens"] += event.scored_tokens
                counts["rewards"] += event.kind == "reward"
                counts["embeddings"] += event.kind == "embed"
                counts["taken_requests"] += 1
                counts["taken_tokens"] += computed + event.completion_tokens
            case ExternCalled(taken=taken):
                self._extern_calls += 1
                self._taken_calls += int(taken)

    @staticmethod
    def _ended(event: RequestEnded, counts: dict[str, int]) -> None:
        counts["prefill_tokens"] += max(0, event.prompt_tokens - event.cached_tokens)
        counts["cached_tokens"] += event.cached_tokens
        counts["decoded_tokens"] += event.completion_tokens
        counts["scored_tokens"] += event.scored_tokens
        match event.finish:
            case "abort":
                counts["lost_tokens"] += event.completion_tokens
                counts["aborted"] += 1
            case "below":
                counts["lost_tokens"] += event.completion_tokens - len(event.output_ids)
                counts["aborted"] += 1
            case "error":
                counts["failed"] += 1
            case "done":
                counts["rewards"] += event.kind == "reward"
                counts["embeddings"] += event.kind == "embed"

    def _of(self, role: str, node: str) -> dict[str, int]:
        counts = self._counts.get((role, node))
        if counts is None:
            counts = self._counts[role, node] = dict.fromkeys(_COUNTS, 0)
        return counts

    def usage(self, distinct_tokens: int = 0, priced: Mapping[str, float] | None = None) -> Usage:
        return Usage(
            **_summed(self._counts.values()),
            extern_calls=self._extern_calls,
            taken_calls=self._taken_calls,
            distinct_tokens=distinct_tokens,
            by_model=self._by(0),
            by_node=self._by(1),
            priced=dict(priced or {}),
        )

    def _by(self, part: int) -> dict[str, dict[str, int]]:
        names = dict.fromkeys(key[part] for key in self._counts)
        return {name: _summed(each for key, each in self._counts.items() if key[part] == name) for name in names}


def _summed(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total = dict.fromkeys(_COUNTS, 0)
    for each in counts:
        for name, amount in each.items():
            total[name] += amount
    return total


def all_taken(usage: Usage) -> Usage:
    """The same usage, of a run whose result was taken as a whole."""
    computed = usage.prefill_tokens + usage.decoded_tokens
    return replace(usage, taken_requests=usage.requests, taken_tokens=computed, taken_calls=usage.extern_calls)


def total(usages: list[Usage]) -> Usage:
    """The sum over inputs."""

    def merged(parts: list[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
        result: dict[str, dict[str, int]] = {}
        for part in parts:
            for name, counts in part.items():
                row = result.setdefault(name, {})
                for key, amount in counts.items():
                    row[key] = row.get(key, 0) + amount
        return result

    names = (*_COUNTS, "extern_calls", "distinct_tokens", "taken_calls")
    return Usage(
        **{name: sum(getattr(usage, name) for usage in usages) for name in names},
        by_model=merged([usage.by_model for usage in usages]),
        by_node=merged([usage.by_node for usage in usages]),
        priced={
            name: sum(usage.priced.get(name, 0.0) for usage in usages)
            for name in dict.fromkeys(name for usage in usages for name in usage.priced)
        },
    )
