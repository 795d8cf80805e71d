"""Pure operations as functions: bounded, and with failures that name the operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ttsc.compiler.values.evaluation import EvaluationFailed, bounded, kinds_of
from ttsc.runtime.failures import OPERATION_FAILED, RunFailed, failed
from ttsc.runtime.values import Elements
from ttsc.standalone.support.coming import first_cause

_UNFIT = (TypeError, ValueError, ArithmeticError, LookupError, RecursionError, AttributeError)


def operation(name: str, run: Callable[..., object]) -> Callable[..., Any]:
    """The operation `name`, as a function of complete values."""

    def call(*args: object, **attr: str) -> object:
        try:
            value = bounded(run(*args, **attr))
        except Exception as failure:
            empty = next((arg.cause for arg in args if isinstance(arg, Elements) and not arg and arg.cause), None)
            if empty is not None:
                raise RunFailed(empty) from None
            if isinstance(failure, EvaluationFailed):
                raise failed(OPERATION_FAILED, failure.message) from failure
            unfit = isinstance(failure, _UNFIT)
            why = f"`{name}` has no result for {kinds_of(args)}" if unfit else f"`{name}`: {failure}"
            raise failed(OPERATION_FAILED, why) from failure
        return Elements(value, first_cause(args)) if isinstance(value, tuple) else value

    return call
