"""What a run used, added up from its events: by the server's own counters, per model role and per node."""

from __future__ import annotations

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
        self._total = dict.fromkeys(_COUNTS, 0)
        self._by_model: dict[str, dict[str, int]] = {}
        self._by_node: dict[str, dict[str, int]] = {}
        self._roles: dict[str, str] = {}
        self._extern_calls = 0
        self._taken_calls = 0

    def add(self, event: Event) -> None:
        match event:
            case RequestStarted(request_id=request_id, role=role, node=node):
                self._roles[request_id] = role
                self._count(role, node, requests=1)
            case RequestRetried(request_id=request_id, node=node):
                self._count(self._roles.get(request_id, ""), node, retries=1)
            case RequestEnded(request_id=request_id, node=node, finish=finish):
                self._count(
                    self._roles.pop(request_id, "") if finish != "error" else self._roles.get(request_id, ""),
                    node,
                    prefill_tokens=max(0, event.prompt_tokens - event.cached_tokens),
                    cached_tokens=event.cached_tokens,
                    decoded_tokens=event.completion_tokens,
                    lost_tokens=event.completion_tokens if finish == "abort" else 0,
                    aborted=int(finish == "abort"),
                    failed=int(finish == "error"),
                    scored_tokens=event.scored_tokens,
                    rewards=int(event.kind == "reward" and finish == "done"),
                    embeddings=int(event.kind == "embed" and finish == "done"),
                )
            case AnswerTaken():
                computed = max(0, event.prompt_tokens - event.cached_tokens)
                self._count(
                    event.role,
                    event.node,
                    requests=1,
                    prefill_tokens=computed,
                    cached_tokens=event.cached_tokens,
                    decoded_tokens=event.completion_tokens,
                    scored_tokens=event.scored_tokens,
                    rewards=int(event.kind == "reward"),
                    embeddings=int(event.kind == "embed"),
                    taken_requests=1,
                    taken_tokens=computed + event.completion_tokens,
                )
            case ExternCalled(taken=taken):
                self._extern_calls += 1
                self._taken_calls += int(taken)

    def _count(self, role: str, node: str, **amounts: int) -> None:
        by_model = self._by_model.setdefault(role, dict.fromkeys(_COUNTS, 0))
        by_node = self._by_node.setdefault(node, dict.fromkeys(_COUNTS, 0))
        for name, amount in amounts.items():
            for counts in (self._total, by_model, by_node):
                counts[name] += amount

    def usage(self, distinct_tokens: int = 0) -> Usage:
        return Usage(
            **self._total,
            extern_calls=self._extern_calls,
            taken_calls=self._taken_calls,
            distinct_tokens=distinct_tokens,
            by_model={name: dict(counts) for name, counts in self._by_model.items()},
            by_node={name: dict(counts) for name, counts in self._by_node.items()},
        )


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
    )
