"""ttsc: the compiler for test-time-scaling programs.

    import ttsc

    program = ttsc.compile("programs/self_consistency.tts")
    with ttsc.launch("smollm2-135m") as engine:
        print(program.run(question="How much is 17 + 25?", engine=engine).value)

Nothing but this file is loaded by the import; each name below is, when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ttsc.api import CompiledProgram, RunError, compile
    from ttsc.backends.protocol import (
        AbilityMissing,
        ContextTooLong,
        Engine,
        EngineError,
        EngineInfo,
        EngineUnavailable,
        ModelNotFound,
        RequestFailed,
        RequestRefused,
    )
    from ttsc.compiler.plan.nodes import Level, Plan
    from ttsc.engines import EngineHandle, connect, launch
    from ttsc.errors import InputError, Problem, UsageError
    from ttsc.externs import extern
    from ttsc.grammar.diagnostics import CompileError, Diagnostic
    from ttsc.grammar.source import Source
    from ttsc.plans import LoadedPlan, load_plan, plan
    from ttsc.replays import replay
    from ttsc.runtime.events import (
        AnswerTaken,
        DeadlineReached,
        Decided,
        Event,
        ExternCalled,
        InputStarted,
        OfflineTaken,
        RequestEnded,
        RequestGivenUp,
        RequestRetried,
        RequestStarted,
        RunEnded,
        RunFailure,
        RunResult,
        TokensArrived,
        Usage,
    )
    from ttsc.simulation import in_virtual_time, simulate
    from ttsc.stores import Store

_HOMES = {
    "ttsc.api": ("CompiledProgram", "RunError", "compile"),
    "ttsc.backends.protocol": (
        "AbilityMissing",
        "ContextTooLong",
        "Engine",
        "EngineError",
        "EngineInfo",
        "EngineUnavailable",
        "ModelNotFound",
        "RequestFailed",
        "RequestRefused",
    ),
    "ttsc.compiler.plan.nodes": ("Level", "Plan"),
    "ttsc.engines": ("EngineHandle", "connect", "launch"),
    "ttsc.errors": ("InputError", "Problem", "UsageError"),
    "ttsc.externs": ("extern",),
    "ttsc.grammar.diagnostics": ("CompileError", "Diagnostic"),
    "ttsc.grammar.source": ("Source",),
    "ttsc.runtime.events": (
        "AnswerTaken",
        "DeadlineReached",
        "Decided",
        "Event",
        "ExternCalled",
        "InputStarted",
        "OfflineTaken",
        "RequestEnded",
        "RequestGivenUp",
        "RequestRetried",
        "RequestStarted",
        "RunEnded",
        "RunFailure",
        "RunResult",
        "TokensArrived",
        "Usage",
    ),
    "ttsc.plans": ("LoadedPlan", "load_plan", "plan"),
    "ttsc.replays": ("replay",),
    "ttsc.simulation": ("in_virtual_time", "simulate"),
    "ttsc.stores": ("Store",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AbilityMissing",
    "AnswerTaken",
    "CompileError",
    "CompiledProgram",
    "ContextTooLong",
    "DeadlineReached",
    "Decided",
    "Diagnostic",
    "Engine",
    "EngineError",
    "EngineHandle",
    "EngineInfo",
    "EngineUnavailable",
    "Event",
    "ExternCalled",
    "InputError",
    "InputStarted",
    "Level",
    "LoadedPlan",
    "ModelNotFound",
    "OfflineTaken",
    "Plan",
    "Problem",
    "RequestEnded",
    "RequestFailed",
    "RequestGivenUp",
    "RequestRefused",
    "RequestRetried",
    "RequestStarted",
    "RunEnded",
    "RunError",
    "RunFailure",
    "RunResult",
    "Source",
    "Store",
    "TokensArrived",
    "Usage",
    "UsageError",
    "__version__",
    "compile",
    "connect",
    "extern",
    "in_virtual_time",
    "launch",
    "load_plan",
    "plan",
    "replay",
    "simulate",
]


def __getattr__(name: str) -> Any:
    """A public name, from the module that defines it, loaded now."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'ttsc' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
