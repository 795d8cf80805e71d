"""Failures of a run: the codes, and the exception that carries a `RunFailure` to where it is reported.

A failure is a value that poisons what depends on it. At the edge of a list it turns into an absent element, so that
one failed candidate never takes finished ones with it; at the edge of the program it is the run's `error`.
"""

from __future__ import annotations

from ttsc.backends.protocol import EngineError, EngineUnavailable
from ttsc.runtime.events import RunFailure

UNNEEDED = "R0500"
"""Internal, never shown: the outcome of what was given up."""
LIMIT_REACHED = "R0501"
NOTHING_LEFT = "R0502"
TEMPLATE_FAILED = "R0503"
OPERATION_FAILED = "R0504"
INVALID_ARGUMENT = "R0505"
REWARD_SHAPE = "R0506"
"""A reward model gives more numbers than one reward is made of."""
DAG_INVALID = "R0507"
NOT_DATA = "R0508"
"""An offline value holds what cannot be kept."""
EXTERN_MISSING = "R0510"
EXTERN_RAISED = "R0511"
EXTERN_TIMED_OUT = "R0512"
EXTERN_WRONG_VALUE = "R0513"
CALL_CUT_OFF = "R0514"
"""A call of an environment that had begun when a journal was cut off."""
MODEL_UNBOUND = "R0520"
BUDGET_SPENT = "R0521"


class RunFailed(Exception):
    """Something in the program has no result. `failure` says why."""

    def __init__(self, failure: RunFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class RunStopped(RunFailed):
    """A failure that ends the whole run, whatever else could still finish: a dead engine, a safety limit."""


class Broken(RunStopped):
    """A bug of ours or of a backend: not a failure of the program, so the run raises `defect` as it is."""

    def __init__(self, defect: BaseException) -> None:
        super().__init__(RunFailure("R0599", f"internal error: {defect!r}"))
        self.defect = defect


def failed(code: str, message: str, hint: str = "") -> RunFailed:
    """A failure of kind "run", ready to be raised."""
    return RunFailed(RunFailure(code, message, hint))


def engine_failure(error: EngineError) -> RunFailed:
    """What an engine's error means for the element that needed it, or for the run if nothing answers any more."""
    failure = RunFailure(error.code, error.message, error.hint, "engine")
    return RunStopped(failure) if isinstance(error, EngineUnavailable) else RunFailed(failure)
