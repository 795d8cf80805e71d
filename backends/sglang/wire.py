"""JSON of requests and answers. A prompt of thousands of ids, or a vector, costs the standard library most of a
millisecond; what orjson does not take (a lone surrogate, NaN) is left to the standard library.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from ttsc.backends.protocol import RequestFailed


def encoded(value: Any) -> bytes:
    """The JSON of a request's body."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, default=_spliced).encode()


def _spliced(value: object) -> Any:
    """What was encoded before, for the library that can't put it in as it is."""
    if isinstance(value, orjson.Fragment):
        return json.loads(value.contents)
    raise TypeError(f"{type(value).__name__} has no JSON")


def decoded(data: bytes) -> Any:
    """The value of an answer. Raises `RequestFailed` for one that is not JSON."""
    try:
        return orjson.loads(data)
    except ValueError:
        pass
    try:
        return json.loads(data)
    except ValueError:
        raise RequestFailed(f"the server's answer is not JSON: {_shown(data)!r}") from None


def json_object(data: bytes) -> dict[str, Any]:
    """Parse an answer that must be a JSON object. Raises `RequestFailed`."""
    value = decoded(data)
    if not isinstance(value, dict):
        raise RequestFailed(f"the server's answer is not a JSON object: {_shown(data)}")
    return value


def _shown(data: bytes) -> str:
    return data[:200].decode("utf-8", "replace")
