"""A trace, run again without an engine: answers come from its lines, at their times, and everything else is computed.

The clock is virtual (`virtual_time.py`). A line is delivered when the loop has rested and the clock stands at its time;
if the loop was busy between two lines when the trace was written, then after as many turns as it took then. So what
arrived together arrives together, and races between chains of work end as they did.

The events of requests and calls are passed on as they were; decisions and results come out of the replay, and are
compared with the trace's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, cast

from ttsc.compiler.ir.nodes import Extern, Limit
from ttsc.compiler.plan.nodes import Plan
from ttsc.runtime.artifacts import Artifacts
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
)
from ttsc.runtime.executor import run_plan
from ttsc.runtime.externs import to_the_end
from ttsc.runtime.failures import RunFailed, RunStopped
from ttsc.runtime.flights import Ticket
from ttsc.runtime.records import Flying, NotRecordable, Site, answer_of, from_json, to_json
from ttsc.runtime.replayed import Held, ReplayedFlight, ReplayEngine
from ttsc.runtime.run import Run
from ttsc.runtime.session import Lane, Session
from ttsc.runtime.tokenizer_memo import NotInMemo
from ttsc.runtime.trace import StoresHeld, Tokenized, Trace
from ttsc.runtime.virtual_time import VirtualTimeLoop
from ttsc.runtime.work import Answer

_COMPARED = ("value", "error", "cut", "reason", "abstained", "appended", "usage")

_Ending = RequestEnded | AnswerTaken | RequestGivenUp
Where = tuple[int, str]
"""An input and a site."""


class ReplayMismatch(Exception):
    """The replay goes another way than the run. `message` names the first place."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(slots=True)
class _Input:
    """One input of the trace."""

    started: InputStarted
    result: RunResult
    last: int
    """The number of its last line but the one with the result."""
    stores: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    decided: list[Decided] = field(default_factory=list)
    seen: int = 0
    held: Held = field(default_factory=Held)
    run: Run | None = None
    task: asyncio.Task[RunResult] | None = None


class Replay:
    """One replay of one trace, on the running `VirtualTimeLoop`. It is the session's records (`records.Records`)."""

    def __init__(
        self,
        trace: Trace,
        plan: Plan,
        engines: Mapping[str, ReplayEngine],
        budget: Sequence[Limit],
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self._lines = trace.lines
        self._plan = plan
        self._budget = budget
        self._on_event = on_event
        artifacts = Artifacts()
        known: set[str] = set()
        for event in trace.events:
            if isinstance(event, OfflineTaken) and event.key not in known:
                known.add(event.key)
                if event.values is not None:
                    artifacts.preload(event.key, event.values)
        self._session = Session(cast(Any, engines), artifacts=artifacts, records=self)
        self._flights: dict[Where, ReplayedFlight] = {}
        self._early: dict[Where, list[_Ending]] = {}
        self._calls: dict[Where, asyncio.Future[ExternCalled]] = {}
        self._called: dict[Where, ExternCalled] = {}
        self._made: set[Where] = set()
        self._sent: dict[str, tuple[Where, RequestStarted]] = {}
        self._mismatch: ReplayMismatch | None = None
        self._inputs = self._read()

    def _read(self) -> dict[int, _Input]:
        """The inputs that have a beginning and an end, and what is known of each."""
        results = {e.result.input: e.result for e, _ in self._lines if isinstance(e, RunEnded)}
        found: dict[int, _Input] = {}
        stores: dict[int, Mapping[str, tuple[Any, ...]]] = {}
        held: dict[str, tuple[Any, ...]] = {}
        for number, (line, _) in enumerate(self._lines):
            match line:
                case StoresHeld(input=index):
                    held = {name: tuple(items) for name, items in line.stores.items()}
                case InputStarted(input=index) if index in results:
                    stores[index] = dict(held)
                    found[index] = _Input(line, results[index], number, stores[index])
                case RunEnded(result=result):
                    for name, items in result.appended.items():
                        held[name] = (*held.get(name, ()), *items)
                case Tokenized():
                    pass
                case _ if line.input in found:
                    found[line.input].last = number
                    if isinstance(line, Decided):
                        found[line.input].decided.append(line)
                    if isinstance(line, ExternCalled):
                        self._made.add((line.input, line.site))
        return found

    async def play(self) -> list[RunResult]:
        """The results of all inputs that have ended in the trace, in order. Raises `ReplayMismatch`."""
        loop = cast(VirtualTimeLoop, asyncio.get_running_loop())
        turns, rested = 0, True
        for number, (line, after) in enumerate(self._lines):
            rested, turns = (True, 0) if after is None else (rested, turns + after)
            if isinstance(line, Tokenized | StoresHeld | Decided | OfflineTaken):
                if not isinstance(line, Tokenized | StoresHeld):
                    self._passed(number, line.input)
                continue
            if rested:
                await loop.sleep_until(line.time_s)
            else:
                for _ in range(turns):
                    await asyncio.sleep(0)
                loop.advance_to(line.time_s)
            turns, rested = 0, False
            await self._deliver(line)
            self._passed(number, line.input)
        await loop.settled()
        return [await self._result(number, each) for number, each in sorted(self._inputs.items())]

    def _passed(self, number: int, index: int) -> None:
        if index in self._inputs and number == self._inputs[index].last:
            self._inputs[index].held.lift()

    async def _result(self, number: int, each: _Input) -> RunResult:
        if each.task is None or not each.task.done():
            waiting = [
                site for (index, site), flight in self._flights.items() if index == number and not flight.outcome.done
            ]
            if each.task is not None:
                each.task.cancel()
                await asyncio.gather(each.task, return_exceptions=True)
            raise self._mismatch or ReplayMismatch(
                f"input {number} asks at {waiting[0]}, where the run did not" if waiting else f"input {number} hangs"
            )
        try:
            result = each.task.result()
        except NotInMemo as error:
            raise self._mismatch or ReplayMismatch(
                f"input {number} asks the tokenizer {error.asked}, which the run did not"
            ) from error
        # Nothing is paid for in a replay.
        result = replace(result, usage=replace(result.usage, priced=each.result.usage.priced))
        self._compare(number, each, result)
        if self._mismatch is not None:
            raise self._mismatch
        return replace(result, duration_s=each.result.duration_s)

    # --- lines ---

    async def _deliver(self, line: Event) -> None:
        each = self._inputs.get(line.input)
        if each is None:
            return
        if isinstance(line, InputStarted):
            each.task = asyncio.ensure_future(self._run(line, each))
            await asyncio.sleep(0)  # by now it has begun, as it had when the line was written
            return
        run = each.run
        if run is None:
            return
        match line:
            case RequestStarted():
                self._sent[line.request_id] = ((line.input, line.site), line)
                run.emit(line)
            case TokensArrived():
                where, _ = self._sent[line.request_id]
                if where in self._flights:
                    self._flights[where].progressed(line.request_id, line.tokens)
                run.emit(line)
            case RequestRetried():
                run.emit(line)
            case RequestEnded():
                run.emit(line)
                where, _ = self._sent[line.request_id]
                self._answer(where, line)
            case AnswerTaken():
                run.emit(line)
                self._answer((line.input, line.site), line)
            case RequestGivenUp():
                self._answer((line.input, line.site), line)
            case ExternCalled():
                run.emit(line)
                where = (line.input, line.site)
                self._called[where] = line
                waiting = self._calls.get(where)
                if waiting is not None and not waiting.done():
                    waiting.set_result(line)
            case DeadlineReached():
                run.expire()
            case _:
                pass

    def _answer(self, where: Where, line: _Ending) -> None:
        flight = self._flights.get(where)
        if flight is None:
            self._early.setdefault(where, []).append(line)
            return
        if isinstance(line, RequestGivenUp):
            run = self._inputs[where[0]].run
            assert run is not None
            run.ledger.cut = run.ledger.cut or line.cut
            flight.resolve(None, (RunStopped if line.fatal else RunFailed)(line.failure))
            return
        flight.ended(line.request_id)
        if line.finish in ("abort", "error"):
            return
        if isinstance(line, AnswerTaken) and line.completion_tokens:
            flight.progressed(line.request_id, line.completion_tokens)
        flight.resolve(
            answer_of(
                flight.ticket.work,
                line.request_id,
                finish=line.finish,
                output_ids=line.output_ids,
                matched=line.matched,
                prompt_tokens=line.prompt_tokens,
                cached_tokens=line.cached_tokens,
                completion_tokens=line.completion_tokens,
                logprobs=line.logprobs,
                confidences=line.confidences,
                values=line.values,
            )
        )

    async def _run(self, line: InputStarted, each: _Input) -> RunResult:
        return await run_plan(
            self._plan,
            from_json(line.values),
            self._session,
            seed=each.result.seed,
            input_index=line.input,
            emit=lambda event: self._observe(each, event),
            stores=each.stores,
            budget=self._budget,
        )

    def _observe(self, each: _Input, event: Event) -> None:
        if isinstance(event, Decided):
            recorded = each.decided[each.seen] if each.seen < len(each.decided) else None
            each.seen += 1
            if recorded is None or (recorded.node, recorded.value) != (event.node, event.value):
                other = "decides nothing there" if recorded is None else f"decides {recorded.node}: {recorded.value}"
                self._differs(f"input {event.input} decides {event.node}: {event.value}, where the run {other}")
        if self._on_event is not None:
            self._on_event(event)

    def _differs(self, message: str) -> None:
        self._mismatch = self._mismatch or ReplayMismatch(message)

    def _compare(self, number: int, each: _Input, result: RunResult) -> None:
        for name in _COMPARED:
            ours, theirs = _comparable(getattr(result, name)), _comparable(getattr(each.result, name))
            if ours != theirs:
                sites = [site for (index, site) in self._early if index == number]
                asked = f"; the run asked at {sites[0]}, and the replay does not" if sites else ""
                self._differs(f"input {number} has the {name} {ours[:200]}, where the run had {theirs[:200]}{asked}")
                return

    # --- records (see `records.Records`) ---

    def begin(self, run: Run) -> None:
        each = self._inputs[run.input_index]
        each.run = run
        run.join(each.held)

    def flight(self, run: Run, lane: Lane, ticket: Ticket) -> Flying | None:
        where = (ticket.input_index, str(ticket.site))
        flight = self._flights[where] = ReplayedFlight(ticket)
        for line in self._early.pop(where, ()):
            asyncio.get_running_loop().call_soon(self._answer, where, line)
        return flight

    def answered(self, ticket: Ticket, answer: Answer) -> None:
        raise AssertionError("nothing is asked in a replay")

    def call(self, run: Run, site: Site, node: Extern, arguments: Sequence[object]) -> Awaitable[object] | None:
        where = (run.input_index, str(site))
        waiting: asyncio.Future[ExternCalled] = asyncio.get_running_loop().create_future()
        self._calls[where] = waiting
        if where in self._called:
            waiting.set_result(self._called[where])
        signature = run.signatures.get(node.name)
        lasting = signature is not None and signature.kind == "environment" and where in self._made
        return self._value(run, site, waiting, lasting)

    async def _value(self, run: Run, site: Site, waiting: asyncio.Future[ExternCalled], lasting: bool) -> object:
        if lasting:
            await to_the_end(_settled(waiting))
        called = await (waiting if lasting else run.in_time(_called(waiting)))
        if called.code:
            raise RunFailed(RunFailure(called.code, called.error, called.hint, "extern"))
        if not called.recorded:
            raise ReplayMismatch(f"the value of the extern `{called.name}` at {site} is not in the trace")
        return from_json(called.value)

    async def calling(self, run: Run, site: Site, node: Extern, arguments: Sequence[object]) -> None:
        raise AssertionError("nothing is called in a replay")

    def called(
        self, run: Run, site: Site, node: Extern, arguments: Sequence[object], value: object, error: RunFailure | None
    ) -> None:
        raise AssertionError("nothing is called in a replay")

    def deadline(self, run: Run) -> bool:
        return True


async def _called(waiting: asyncio.Future[ExternCalled]) -> ExternCalled:
    return await waiting


async def _settled(waiting: asyncio.Future[ExternCalled]) -> None:
    await waiting


def _comparable(value: object) -> str:
    data = asdict(cast(Any, value)) if hasattr(value, "__dataclass_fields__") else value
    try:
        return json.dumps(to_json(data), sort_keys=True, ensure_ascii=False)
    except NotRecordable:
        return str(data)
