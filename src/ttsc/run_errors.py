"""What a failed run raises where a caller asked for one answer: the engine's own kind of error, or `RunError`."""

from __future__ import annotations

from ttsc.backends.protocol import (
    AbilityMissing,
    ContextTooLong,
    EngineError,
    EngineUnavailable,
    ModelNotFound,
    RequestFailed,
    RequestRefused,
)
from ttsc.runtime.events import RunResult


class RunError(Exception):
    """A run failed by no fault of the engine. `result` has its usage and its failure: code, message, hint."""

    def __init__(self, result: RunResult) -> None:
        assert result.error is not None
        super().__init__(f"{result.error.code}: {result.error.message}")
        self.result = result
        self.failure = result.error


def error_of(result: RunResult) -> Exception:
    """The exception for a failed result: the engine's own kind of error, or `RunError`."""
    failed = RunError(result)
    failure = failed.failure
    if failure.kind != "engine":
        return failed
    kinds = (EngineUnavailable, RequestFailed, RequestRefused, ContextTooLong, AbilityMissing, ModelNotFound)
    kind = next((kind for kind in kinds if kind.code == failure.code), EngineError)
    error = kind(failure.message, failure.hint)
    error.__cause__ = failed
    return error
