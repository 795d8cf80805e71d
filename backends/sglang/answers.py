"""What a server's answers to /generate mean: completions, and errors with something to do about them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from ttsc.backends.protocol import (
    AbilityMissing,
    Completion,
    ContextTooLong,
    EmbedRequest,
    EngineError,
    EngineInfo,
    FinishKind,
    GenerateRequest,
    RequestFailed,
    RequestRefused,
    RewardRequest,
    Sampling,
    ScoreRequest,
)
from ttsc.backends.sglang.stream import Decoded

# What the scheduler answers, with status 400, to an abort of a request whose schema it is still compiling.
_ABORTED_COMPILING = "Aborted by AbortReq"
_BAD_SCHEMA = re.compile(r"Failed to compile json grammar: (?:\[[\d:]+\] \S+?:\d+: )?(?P<why>.*)", re.DOTALL)
_NO_ABILITY = re.compile(r"launched with --grammar-backend none|does not appear to be an embedding model")
_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
SEED_MASK = 2**63 - 1

# The wordings of SGLang 0.5.23, each with what its numbers are: the limit, and the tokens that were asked for.
_TOO_LONG = (
    re.compile(r"maximum context length of (?P<limit>\d+) tokens.*?total of (?P<asked>\d+) tokens", re.DOTALL),
    re.compile(r"input \((?P<asked>\d+) tokens\) is longer than the model's context length \((?P<limit>\d+) tokens\)"),
    re.compile(r"Input length \((?P<asked>\d+) tokens\) exceeds the maximum allowed length \((?P<limit>\d+) tokens\)"),
    re.compile(r"exceeds the KV memory budget: input_len=(?P<asked>\d+)(?P<limit>)"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """The size of a request, for messages about it. `max_tokens` is None where nothing is decoded."""

    prompt_tokens: int
    max_tokens: int | None = None


def size_of(request: GenerateRequest) -> Asked:
    """What a generation asks room for."""
    return Asked(len(request.input_ids), request.sampling.max_tokens)


def priority(
    request: GenerateRequest | ScoreRequest | RewardRequest | EmbedRequest, info: EngineInfo
) -> dict[str, int]:
    """A request's priority as this server counts it; nothing where it would refuse or ignore one."""
    if not info.priorities or not request.priority:
        return {}
    return {"priority": -request.priority if info.details.get("priorities") == "lower first" else request.priority}


def request_body(request: GenerateRequest, eos_ids: Collection[int]) -> dict[str, Any]:
    """The JSON of a /generate. Every sampling parameter is said, so that a server's own defaults cannot change it."""
    body: dict[str, Any] = {
        "rid": request.request_id,
        "input_ids": request.input_ids,
        "sampling_params": sampling_parameters(request.sampling, eos_ids),
        "stream": request.stream,
    }
    if request.stream and request.every > 1:
        body["sampling_params"]["stream_interval"] = request.every
    if request.logprobs or request.confidences:
        body["return_logprob"] = True
    if request.confidences:
        body["top_logprobs_num"] = request.confidences
    if request.images:
        body["image_data"] = [
            f"data:{image.media_type};base64,{base64.b64encode(image.data).decode()}" for image in request.images
        ]
    return body


def sampling_parameters(sampling: Sampling, eos_ids: Collection[int]) -> dict[str, Any]:
    """SGLang's spelling of our sampling parameters."""
    parameters: dict[str, Any] = {
        "max_new_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
        "repetition_penalty": 1.0,
        "no_stop_trim": True,
        "skip_special_tokens": True,
        "ignore_eos": sampling.ignore_eos,
    }
    if sampling.stop:
        parameters["stop"] = list(sampling.stop)
    if eos_ids and not sampling.ignore_eos:
        parameters["stop_token_ids"] = sorted(eos_ids)
    if sampling.seed is not None:
        parameters["sampling_seed"] = sampling.seed & SEED_MASK
    if sampling.schema is not None:
        parameters["json_schema"] = sampling.schema
    if sampling.extra:
        parameters["custom_params"] = dict(sampling.extra)
    return parameters


def completion(request: GenerateRequest, decoded: Decoded, eos_ids: Collection[int], *, aborted: bool) -> Completion:
    """The completion of a request that the server has ended. `aborted`: we asked for its abort.

    Raises what `refusal` makes of an end that the server itself chose because of an error.
    """
    meta = decoded.meta
    reason: Mapping[str, Any] = meta.get("finish_reason") or {}
    kind = reason.get("type")
    status = reason.get("status_code")
    if kind == "abort" and not aborted and isinstance(status, int) and status >= 400:
        raise refusal(status, str(reason.get("message", "")), size_of(request))
    finish, matched = _finish(reason, decoded.ids, eos_ids)
    return Completion(
        request_id=request.request_id,
        output_ids=tuple(decoded.ids),
        finish=finish,
        matched=matched,
        # Absent when it was aborted in the queue: nothing was computed then.
        prompt_tokens=int(meta.get("prompt_tokens", 0)),
        cached_tokens=int(meta.get("cached_tokens", 0)),
        completion_tokens=int(meta["completion_tokens"]),
        server_latency_s=float(meta["e2e_latency"]) if "e2e_latency" in meta else None,
        logprobs=_logprobs(decoded) if request.logprobs else None,
        confidences=_confidences(decoded, request.confidences) if request.confidences else None,
    )


def _logprobs(decoded: Decoded) -> tuple[float, ...]:
    if len(decoded.logprobs) != len(decoded.ids):
        raise RequestFailed(
            f"the server reported {len(decoded.logprobs)} log-probabilities for {len(decoded.ids)} tokens"
        )
    return tuple(decoded.logprobs)


def _confidences(decoded: Decoded, most: int) -> tuple[float, ...]:
    if len(decoded.confidences) != len(decoded.ids) or not decoded.widths <= {most}:
        raise RequestFailed(
            f"the server reported the most probable tokens of {len(decoded.confidences)} places for "
            f"{len(decoded.ids)} tokens, and {sorted(decoded.widths)} at a place where {most} were asked for"
        )
    return tuple(decoded.confidences)


def aborted_while_compiling(error: EngineError) -> bool:
    """Whether a refusal is how the server ends a request that was aborted before its schema was ready."""
    return _ABORTED_COMPILING in error.message


def _finish(reason: Mapping[str, Any], ids: list[int], eos_ids: Collection[int]) -> tuple[FinishKind, str | int | None]:
    kind = reason.get("type")
    if kind == "length":
        return "length", None
    if kind == "abort":
        return "abort", None
    if kind != "stop":
        raise RequestFailed(f"the server ended a request in an unknown way: {json.dumps(dict(reason))[:200]}")
    matched = reason.get("matched")
    if isinstance(matched, str):
        return "stop", matched
    token = matched if isinstance(matched, int) else ids[-1] if ids else None
    return ("eos" if token in eos_ids or token is None else "stop"), token


def refusal(status: int, message: str, asked: Asked | None, retry_after: str | None = None) -> EngineError:
    """The error for an HTTP status (or for the status inside an abort) and the server's message."""
    too_long = next((match for pattern in _TOO_LONG if (match := pattern.search(message))), None)
    if too_long is not None:
        return _context_too_long(too_long, asked)
    schema = _BAD_SCHEMA.search(message)
    if schema is not None:
        return RequestRefused(
            f"the server cannot decode by this schema: {schema['why'].strip()[:500]}",
            "leave out what its grammar backend does not know",
        )
    if _NO_ABILITY.search(message):
        return AbilityMissing(f"the server cannot do this: {message[:500]}", "start it without what forbids this")
    shown = f": {message[:500]}" if message else ""
    if status in _RETRIED or status >= 500:
        return RequestFailed(f"the server answered {status}{shown}", retry_after_s=seconds(retry_after))
    if status in (401, 403):
        return RequestRefused(f"the server answered {status}{shown}", "it wants an API key")
    if status == 404:
        return RequestRefused(f"the server answered 404{shown}", "is this an SGLang server's address?")
    return RequestRefused(f"the server refused the request ({status}){shown}")


def _context_too_long(match: re.Match[str], asked: Asked | None) -> ContextTooLong:
    tokens, limit = int(match["asked"]), match["limit"]
    room = f"the model's context of {limit} tokens" if limit else "the server's KV memory"
    if asked is not None and asked.max_tokens is None:
        return ContextTooLong(
            f"a sequence of {tokens} tokens does not fit {room}",
            "shorten it, or serve a model with a longer context",
        )
    parts = "" if asked is None else f" (prompt {asked.prompt_tokens}, max_tokens {asked.max_tokens})"
    return ContextTooLong(
        f"{tokens} tokens{parts} do not fit {room}",
        "lower max_tokens, shorten the prompt, or serve a model with a longer context",
    )


def error_text(body: bytes) -> str:
    """The message of an error answer: SGLang's and FastAPI's JSON, else the text itself."""
    try:
        value = json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace").strip()
    if isinstance(value, dict):
        error = value.get("error", value.get("detail", value.get("message", value)))
        inner = error.get("message", error) if isinstance(error, dict) else error
        return inner if isinstance(inner, str) else json.dumps(inner)
    return json.dumps(value)


def seconds(retry_after: str | None) -> float | None:
    """A Retry-After header in seconds from now; None when there is none that can be read."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(retry_after)
    except (TypeError, ValueError):
        return None
    from datetime import UTC, datetime

    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
