"""What a server's answers mean: completions, and errors with something to do about them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from ttsc.backends.protocol import (
    Completion,
    ContextTooLong,
    EngineError,
    FinishKind,
    GenerateRequest,
    RequestFailed,
    RequestRefused,
    Sampling,
)
from ttsc.backends.sglang.stream import Decoded

_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_SEED_MASK = 2**63 - 1

# The wordings of SGLang 0.5.23, each with what its numbers are: the limit, and the tokens that were asked for.
_TOO_LONG = (
    re.compile(r"maximum context length of (?P<limit>\d+) tokens.*?total of (?P<asked>\d+) tokens", re.DOTALL),
    re.compile(r"input \((?P<asked>\d+) tokens\) is longer than the model's context length \((?P<limit>\d+) tokens\)"),
    re.compile(r"Input length \((?P<asked>\d+) tokens\) exceeds the maximum allowed length \((?P<limit>\d+) tokens\)"),
    re.compile(r"exceeds the KV memory budget: input_len=(?P<asked>\d+)(?P<limit>)"),
)


def request_body(request: GenerateRequest, eos_ids: Collection[int]) -> dict[str, Any]:
    """The JSON of a /generate. Every sampling parameter is said, so that a server's own defaults cannot change it."""
    return {
        "rid": request.request_id,
        "input_ids": request.input_ids,
        "sampling_params": sampling_parameters(request.sampling, eos_ids),
        "stream": request.stream,
    }


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
        parameters["sampling_seed"] = sampling.seed & _SEED_MASK
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
        raise refusal(status, str(reason.get("message", "")), request)
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
    )


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


def refusal(status: int, message: str, request: GenerateRequest | None, retry_after: str | None = None) -> EngineError:
    """The error for an HTTP status (or for the status inside an abort) and the server's message."""
    too_long = next((match for pattern in _TOO_LONG if (match := pattern.search(message))), None)
    if too_long is not None:
        return _context_too_long(too_long, request)
    shown = f": {message[:500]}" if message else ""
    if status in _RETRIED or status >= 500:
        return RequestFailed(f"the server answered {status}{shown}", retry_after_s=seconds(retry_after))
    if status in (401, 403):
        return RequestRefused(f"the server answered {status}{shown}", "it wants an API key")
    if status == 404:
        return RequestRefused(f"the server answered 404{shown}", "is this an SGLang server's address?")
    return RequestRefused(f"the server refused the request ({status}){shown}")


def _context_too_long(match: re.Match[str], request: GenerateRequest | None) -> ContextTooLong:
    asked, limit = int(match["asked"]), match["limit"]
    parts = ""
    if request is not None:
        parts = f" (prompt {len(request.input_ids)}, max_tokens {request.sampling.max_tokens})"
    room = f"the model's context of {limit} tokens" if limit else "the server's KV memory"
    return ContextTooLong(
        f"{asked} tokens{parts} do not fit {room}",
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
