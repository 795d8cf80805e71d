"""What is asked of a server that decodes nothing for it: scores of given tokens, rewards, embeddings.

Facts of SGLang 0.5.23 that this relies on:

- /generate with `max_new_tokens` 0 and `return_logprob` computes the prompt and answers with the log-probabilities of
  its ids from `logprob_start_len` on; the first entry has none. They are the model's own: no temperature, no filters.
- At most `logprob_start_len` ids come from the prefix cache then, so it is the place before the span, not 0.
- /classify and /encode are one endpoint: the pooled output of whatever is served, a head's raw logits or a vector.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, assert_never

from ttsc.backends.protocol import (
    Embedded,
    EmbedRequest,
    EngineError,
    RequestFailed,
    RequestRefused,
    Rewarded,
    RewardRequest,
    Sampling,
    Scored,
    ScoreRequest,
)
from ttsc.backends.sglang.answers import refusal, sampling_parameters

PrefillRequest = ScoreRequest | RewardRequest | EmbedRequest


def check_span(request: ScoreRequest) -> None:
    """Raise `RequestRefused` for a span that has no ids before it or lies outside of the sequence."""
    if not 1 <= request.start <= len(request.input_ids):
        raise RequestRefused(
            f"tokens from position {request.start} on of {len(request.input_ids)} cannot be scored",
            "a token is scored given what is before it: position 0 has no score",
        )


def path_of(request: PrefillRequest) -> str:
    """Where it is asked for."""
    match request:
        case ScoreRequest():
            return "/generate"
        case RewardRequest():
            return "/classify"
        case EmbedRequest():
            return "/encode"
        case _:
            assert_never(request)


def prefill_body(request: PrefillRequest, eos_ids: Collection[int]) -> dict[str, Any]:
    """The JSON of its POST."""
    return score_body(request, eos_ids) if isinstance(request, ScoreRequest) else pool_body(request)


def score_body(request: ScoreRequest, eos_ids: Collection[int]) -> dict[str, Any]:
    """The JSON of a /generate that scores."""
    return {
        "rid": request.request_id,
        "input_ids": request.input_ids,
        "sampling_params": sampling_parameters(Sampling(max_tokens=0, temperature=0.0), eos_ids),
        "return_logprob": True,
        "logprob_start_len": request.start - 1,
        "stream": False,
    }


def pool_body(request: RewardRequest | EmbedRequest) -> dict[str, Any]:
    """The JSON of a /classify or an /encode."""
    return {"rid": request.request_id, "input_ids": request.input_ids}


def scored(request: ScoreRequest, answer: Mapping[str, Any]) -> Scored:
    """The answer to a score. Raises `RequestFailed` for one that does not fit the request."""
    meta = _finished(request, answer)
    entries: Sequence[Any] = meta.get("input_token_logprobs") or ()
    span = request.input_ids[request.start :]
    if len(entries) != len(span) + 1 or any(entry[1] != token for entry, token in zip(entries[1:], span, strict=True)):
        raise RequestFailed(f"the server scored {len(entries)} tokens where {len(span) + 1} were asked for")
    return Scored(
        request.request_id,
        _numbers((entry[0] for entry in entries[1:]), "log-probability"),
        int(meta["prompt_tokens"]),
        int(meta.get("cached_tokens", 0)),
    )


def rewarded(request: RewardRequest, answer: Mapping[str, Any]) -> Rewarded:
    """The answer of /classify."""
    meta = _finished(request, answer)
    return Rewarded(request.request_id, _numbers(answer["embedding"], "reward"), int(meta["prompt_tokens"]))


def embedded(request: EmbedRequest, answer: Mapping[str, Any]) -> Embedded:
    """The answer of /encode."""
    meta = _finished(request, answer)
    return Embedded(request.request_id, _numbers(answer["embedding"], "embedding"), int(meta["prompt_tokens"]))


def _finished(request: PrefillRequest, answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The facts of an answer. Raises for one that ended by an abort: nothing was computed."""
    meta: Mapping[str, Any] = answer["meta_info"]
    reason: Mapping[str, Any] = meta.get("finish_reason") or {}
    if reason.get("type") == "abort":
        status = reason.get("status_code")
        if isinstance(status, int) and status >= 400:
            raise refusal(status, str(reason.get("message", "")), None)
        raise was_aborted(request.request_id)
    return meta


def was_aborted(request_id: str) -> EngineError:
    """The end of a request that was aborted before it had a result. Not retryable: somebody wanted it so."""
    return EngineError(f"request {request_id!r} was aborted before it had a result")


def _numbers(values: Any, what: str) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if not numbers or not all(math.isfinite(number) for number in numbers):
        raise RequestFailed(f"the server's {what} is not a number")
    return numbers
