"""What a run tells while it runs, and what it returns. Everything here is data, JSON-able by `dataclasses.asdict`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class RequestStarted:
    """A request was sent. `parent` is the request whose tokens its prompt continues, if any. `kind`: generate, or what
    is scored: score, reward, embed.
    """

    request_id: str
    node: str
    op: str
    role: str
    index: int
    prompt_tokens: int
    parent: str | None
    time_s: float
    input: int = 0
    kind: str = "generate"


@dataclass(frozen=True, slots=True)
class TokensArrived:
    """`tokens` decoded so far by a streaming request; `text` is what the latest ones say."""

    request_id: str
    tokens: int
    text: str
    time_s: float
    input: int = 0


@dataclass(frozen=True, slots=True)
class RequestEnded:
    """A request ended: `finish` is eos, stop, length, abort or error, or done for one that decodes nothing. Tokens are
    the server's own counts.

    `seen_tokens`: tokens that had reached us when an abort was sent (None if none was sent). `scored_tokens`: those
    whose log-probabilities came back.
    """

    request_id: str
    node: str
    finish: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    text: str
    time_s: float
    duration_s: float
    seen_tokens: int | None = None
    error: str = ""
    input: int = 0
    kind: str = "generate"
    scored_tokens: int = 0


@dataclass(frozen=True, slots=True)
class RequestRetried:
    """A request failed and will be sent again after `delay_s`."""

    request_id: str
    node: str
    attempt: int
    error: str
    delay_s: float
    time_s: float
    input: int = 0


@dataclass(frozen=True, slots=True)
class ExternCalled:
    """A host function returned (or raised: `error`)."""

    node: str
    name: str
    duration_s: float
    time_s: float
    error: str = ""
    input: int = 0


@dataclass(frozen=True, slots=True)
class Decided:
    """A selection reached its result. `outstanding` candidates were no longer needed; `tally` is for display."""

    node: str
    op: str
    value: str
    arrived: int
    outstanding: int
    early: bool
    tally: tuple[tuple[str, float], ...]
    time_s: float
    input: int = 0


@dataclass(frozen=True, slots=True)
class OfflineTaken:
    """An offline value is there. `source`: computed, kept (from an earlier run), shared (another run computed it at the
    same time), or repaired (what was kept could not be read, so it was computed again: `note` says why).
    """

    node: str
    key: str
    source: str
    time_s: float
    note: str = ""
    input: int = 0


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The last event of one input."""

    result: RunResult
    time_s: float
    input: int = 0


Event = (
    RequestStarted | TokensArrived | RequestEnded | RequestRetried | ExternCalled | Decided | OfflineTaken | RunEnded
)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens by the server's own counters, summed over requests, aborted and failed ones included.

    prefill_tokens: prompt tokens the server computed (SGLang doesn't tell for rewards and embeddings, whose prompts
    count whole); cached_tokens: prompt tokens it had; decoded_tokens: tokens it decoded, of which lost_tokens by
    requests that were aborted. distinct_tokens: distinct prompt tokens of the prefix tree. scored_tokens: tokens whose
    log-probabilities were asked for. rewards, embeddings: how many came back.
    """

    requests: int = 0
    prefill_tokens: int = 0
    cached_tokens: int = 0
    decoded_tokens: int = 0
    lost_tokens: int = 0
    aborted: int = 0
    failed: int = 0
    retries: int = 0
    extern_calls: int = 0
    distinct_tokens: int = 0
    scored_tokens: int = 0
    rewards: int = 0
    embeddings: int = 0
    by_model: dict[str, dict[str, int]] = field(default_factory=dict)
    by_node: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunResult:
    """The answer of one input. `cut`: a limit ended the run early and `value` is the best so far; `reason` says which.

    `error` is set instead of a value when the run failed. `abstained`: the program withheld its answer; `value` is
    None. `appended`: what it added to each store, by name; nothing if it failed. Durations in seconds.
    """

    value: Any
    usage: Usage
    duration_s: float
    seed: int
    cut: bool = False
    reason: str = ""
    error: RunFailure | None = None
    input: int = 0
    abstained: bool = False
    appended: dict[str, tuple[Any, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunFailure:
    """Why one input failed: a stable code, what happened, a way out."""

    code: str
    message: str
    hint: str = ""
    kind: Literal["run", "engine", "extern", "input"] = "run"
