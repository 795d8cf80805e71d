"""What a run tells while it runs, and what it returns. Everything here is data, JSON-able by `dataclasses.asdict`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class RequestStarted:
    """A request was sent. `parent` is the request whose tokens its prompt continues, if any. `kind`: generate, or what
    is scored: score, reward, embed. `site`: where in the program it is (`records.Site`), equal from run to run.
    `hedge_of`: the request of which it is a second copy, sent since that one takes long.
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
    site: str = ""
    hedge_of: str = ""


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
    """A request ended: `finish` is eos, stop, length, abort or error, below for one that was stopped for want of
    confidence (`decision` says why), or done for one that decodes nothing. Tokens are the server's own counts.

    `seen_tokens`: tokens that had reached us when an abort was sent (None if none was sent). `scored_tokens`: those
    whose log-probabilities came back. The answer itself: `output_ids`, what it `matched`, `logprobs` and `confidences`
    if asked for; `values` of a score, a reward or an embedding.
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
    output_ids: tuple[int, ...] = ()
    matched: str | int | None = None
    logprobs: tuple[float, ...] | None = None
    values: tuple[float, ...] = ()
    confidences: tuple[float, ...] | None = None
    decision: str = ""


@dataclass(frozen=True, slots=True)
class AnswerTaken:
    """A request was not sent, since a journal had its answer. Counts and answer are those of the run that asked."""

    request_id: str
    node: str
    op: str
    role: str
    index: int
    parent: str | None
    finish: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    text: str
    time_s: float
    input: int = 0
    kind: str = "generate"
    scored_tokens: int = 0
    output_ids: tuple[int, ...] = ()
    matched: str | int | None = None
    logprobs: tuple[float, ...] | None = None
    values: tuple[float, ...] = ()
    site: str = ""
    confidences: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class RequestGivenUp:
    """A request has failed for good, or was refused before it was sent: whoever waits gets `failure`. `fatal`: it ends
    the run. `cut`: the clause of the budget that has ended something by now, if any.
    """

    node: str
    site: str
    failure: RunFailure
    fatal: bool
    cut: str
    time_s: float
    input: int = 0


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
    """A host function returned (or raised: `error`, with the failure's `code` and `hint`).

    `value`: what it returned, as JSON data (`records.to_json`). `recorded`: whether it has one; one that lives only
    inside a run has none, nor has a call that was given up. `taken`: a journal had the value, and nothing was called.
    """

    node: str
    name: str
    duration_s: float
    time_s: float
    error: str = ""
    input: int = 0
    site: str = ""
    value: Any = None
    recorded: bool = False
    code: str = ""
    hint: str = ""
    taken: bool = False


@dataclass(frozen=True, slots=True)
class Decided:
    """A selection reached its result. `outstanding` candidates were no longer needed; `tally` is for display. `rule`:
    what decided, after it had looked at so many elements. `confidence`: how sure a statistical rule was; None for what
    is certain, and for windows.
    """

    node: str
    op: str
    value: str
    arrived: int
    outstanding: int
    early: bool
    tally: tuple[tuple[str, float], ...]
    time_s: float
    input: int = 0
    rule: str = ""
    looked: int = 0
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class OfflineTaken:
    """An offline value is there. `source`: computed, kept (from an earlier run), shared (another run computed it at the
    same time), or repaired (what was kept could not be read, so it was computed again: `note` says why). `values`: what
    was read from the folder, as JSON data; None for what this session has computed or read before.
    """

    node: str
    key: str
    source: str
    time_s: float
    note: str = ""
    input: int = 0
    values: Any = None


@dataclass(frozen=True, slots=True)
class InputStarted:
    """The run of an input begins. `values`: its parameters, as JSON data (`records.to_json`)."""

    values: Any
    time_s: float
    input: int = 0


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    """The time that a budget gives an input is over. `clause`: the budget's."""

    clause: str
    time_s: float
    input: int = 0


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The last event of one input."""

    result: RunResult
    time_s: float
    input: int = 0


Event = (
    InputStarted
    | RequestStarted
    | TokensArrived
    | RequestEnded
    | RequestRetried
    | RequestGivenUp
    | AnswerTaken
    | ExternCalled
    | Decided
    | OfflineTaken
    | DeadlineReached
    | RunEnded
)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens by the server's own counters, summed over requests, aborted and failed ones included.

    prefill_tokens: prompt tokens the server computed (SGLang doesn't tell for rewards and embeddings, whose prompts
    count whole); cached_tokens: prompt tokens it had; decoded_tokens: tokens it decoded, of which lost_tokens by
    requests that were aborted, and beyond the end of those that were stopped for want of confidence, which `aborted`
    counts, too. distinct_tokens: distinct prompt tokens of the prefix tree. scored_tokens: tokens whose
    log-probabilities were asked for. rewards, embeddings: how many came back.

    Of a run that was resumed this is what it cost in all; taken_requests and taken_tokens (prompt tokens computed and
    tokens decoded) are the part that a journal had, which was not asked again, and taken_calls its calls of externs.
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
    taken_requests: int = 0
    taken_tokens: int = 0
    taken_calls: int = 0
    by_model: dict[str, dict[str, int]] = field(default_factory=dict)
    by_node: dict[str, dict[str, int]] = field(default_factory=dict)
    priced: dict[str, float] = field(default_factory=dict)
    """What a budget limits that has a price: `flops`, `eflops`, `cost` in dollars, as the budget's ledger has it."""


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
