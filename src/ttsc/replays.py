"""`ttsc.replay`: a trace run again without an engine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from ttsc.backends.protocol import EngineInfo
from ttsc.compiler.ir.nodes import Limit
from ttsc.compiler.plan.nodes import Level, Plan
from ttsc.driver import compile_source, specialize
from ttsc.errors import Problem, UsageError
from ttsc.grammar.diagnostics import CompileError
from ttsc.grammar.source import Source
from ttsc.journals import plan_digest
from ttsc.runtime.events import AnswerTaken, Event, RequestEnded, RequestStarted, RunResult
from ttsc.runtime.records import from_json
from ttsc.runtime.replay import Replay, ReplayMismatch
from ttsc.runtime.replayed import ReplayEngine
from ttsc.runtime.tokenizer_memo import MemoTokenizer
from ttsc.runtime.trace import Tokenized, Trace, TraceHeader, TraceUnreadable, read_trace
from ttsc.runtime.values import frozen
from ttsc.runtime.virtual_time import run_in_virtual_time

_AGAIN = "run the program again with `--trace`"


def replay(path: str | Path, on_event: Callable[[Event], None] | None = None) -> list[RunResult]:
    """The results of all inputs that have ended in a trace, in the order of their numbers, as the run gave them.

    Nothing is asked of an engine and no extern is called: their answers come from the trace, and everything else is
    computed again. Raises `UsageError`: E0509 without a file, E0518 for what can't be replayed, R0515 if the replay
    goes another way than the run.
    """
    return open_trace(path).replay(on_event)


@dataclass(frozen=True, slots=True)
class Replayable:
    """A trace that can be replayed."""

    path: Path
    trace: Trace
    header: TraceHeader
    plan: Plan

    @property
    def seeds_honoured(self) -> bool:
        """Whether equal seeds give equal tokens on every engine that was used."""
        return all(facts["seeds_honoured"] for facts in self.header.engines.values())

    def replay(self, on_event: Callable[[Event], None] | None = None) -> list[RunResult]:
        """As the function `replay`."""
        engines = _engines(self.trace, self.header)
        budget = tuple(Limit(cast(Any, resource), amount) for resource, amount in self.header.budget)

        async def play() -> list[RunResult]:
            return await Replay(self.trace, self.plan, engines, budget, on_event).play()

        try:
            return _aside(lambda: run_in_virtual_time(play()))
        except ReplayMismatch as error:
            hint = "the trace was changed, or this ttsc decides differently than the one that wrote it"
            message = f"the replay of '{self.path}' goes another way: {error.message}"
            raise UsageError(Problem("R0515", message, hint)) from error


def open_trace(path: str | Path) -> Replayable:
    """A trace, read and its program compiled. Raises `UsageError`: E0509 without a file, E0518."""
    trace = _readable(Path(path))
    header = _header(trace, path)
    return Replayable(Path(path), trace, header, _plan(header, path))


def _readable(path: Path) -> Trace:
    try:
        return read_trace(path)
    except FileNotFoundError:
        raise UsageError(Problem("E0509", f"there is no file '{path}'", "name what `ttsc run --trace` wrote")) from None
    except (OSError, KeyError, ValueError) as error:
        raise UsageError(Problem("E0518", f"'{path}' can't be read: {error}", _AGAIN)) from error
    except TraceUnreadable as error:
        raise UsageError(Problem("E0518", f"'{path}' is no trace: {error}", _AGAIN)) from error


def _header(trace: Trace, path: str | Path) -> TraceHeader:
    if trace.header is None:
        raise UsageError(Problem("E0518", f"the trace '{path}' has no header", _AGAIN))
    if trace.header.format < 2 or not trace.header.source:
        message = f"the trace '{path}' is of format {trace.header.format}, which lacks the answers"
        raise UsageError(Problem("E0518", message, _AGAIN))
    if not trace.results:
        raise UsageError(Problem("E0518", f"no input has ended in the trace '{path}'", _AGAIN))
    return trace.header


class _Recorded:
    """The library of a trace."""

    def __init__(self, header: TraceHeader) -> None:
        self.task = Source(header.task["path"], header.task["text"]) if header.task else None
        self._sources = {
            (user, name): Source(found["path"], found["text"])
            for user, names in header.modules.items()
            for name, found in names.items()
        }

    def find(self, path: tuple[str, ...], user: Source) -> Source | None:
        return self._sources.get((user.path, ".".join(path)))

    def names(self) -> tuple[str, ...]:
        return tuple(sorted({name for _, name in self._sources}))


def _plan(header: TraceHeader, path: str | Path) -> Plan:
    source = Source(header.source["path"], header.source["text"])
    level: Level = 0 if header.level == 0 else 1 if header.level == 1 else 2
    library = _Recorded(header)
    try:
        compiled = compile_source(source, header.program, level, header.disabled, header.enabled, library=library)
        known: dict[str, Any] = {name: frozen(from_json(value)) for name, value in header.known.items()}
        plan = (specialize(compiled, known) if known else compiled).plan
    except (CompileError, UsageError) as error:
        message = f"the program of the trace '{path}' does not compile any more: {error}"
        raise UsageError(Problem("E0518", message, "replay it with the ttsc that wrote it")) from error
    if plan_digest(plan) != header.plan:
        message = f"this ttsc makes another plan of the program of '{path}' than the one that wrote the trace"
        raise UsageError(Problem("E0518", message, "replay it with the ttsc that wrote it"))
    return plan


def _engines(trace: Trace, header: TraceHeader) -> dict[str, ReplayEngine]:
    tokenizers: dict[int, MemoTokenizer] = {}
    lanes: dict[int, ReplayEngine] = {}
    engines: dict[str, ReplayEngine] = {}
    names = {each.name for each in fields(EngineInfo)}
    for role, facts in header.engines.items():
        number = facts["tokenizer"]
        tokenizer = tokenizers.setdefault(number, MemoTokenizer(frozenset(facts["eos_ids"])))
        given = {name: value for name, value in facts.items() if name in names}
        info = EngineInfo(**{**given, "abilities": frozenset(facts["abilities"])})
        engines[role] = lanes.setdefault(facts["lane"], ReplayEngine(info, tokenizer))
    roles: dict[str, str] = {}
    for line, _ in trace.lines:
        match line:
            case Tokenized(tokenizer=number, call=call, data=data):
                tokenizers[number].learn(call, data)
            case RequestStarted(request_id=name, role=role):
                roles[name] = role
            case RequestEnded(request_id=name) if name in roles:
                engines[roles[name]].tokenizer.says(line.output_ids, line.text)
            case AnswerTaken(role=role):
                engines[role].tokenizer.says(line.output_ids, line.text)
            case _:
                pass
    return engines


def _aside(work: Callable[[], list[RunResult]]) -> list[RunResult]:
    """The result of work with an event loop of its own, in a thread that has none."""
    found: list[list[RunResult]] = []
    failures: list[BaseException] = []

    def target() -> None:
        try:
            found.append(work())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=target, name="ttsc-replay", daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return found[0]
