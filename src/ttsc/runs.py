"""A program on its engines: any number of runs in one session, with its stores, its budget, its offline values."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from ttsc.backends.protocol import Engine
from ttsc.compiler.ir.nodes import Generate, Limit, Offline, Program, Score
from ttsc.compiler.ir.rewrite import walk
from ttsc.compiler.plan.nodes import Plan
from ttsc.errors import Problem, UsageError
from ttsc.externs import HostFunction
from ttsc.journals import refusals
from ttsc.runtime.artifacts import Artifacts
from ttsc.runtime.events import Event, RunEnded, RunFailure, RunResult, Usage
from ttsc.runtime.executor import run_events, run_plan
from ttsc.runtime.journal import Journal
from ttsc.runtime.session import Session
from ttsc.stores import BoundStores
from ttsc.tracing import Tracing

if TYPE_CHECKING:
    from ttsc.compiler.cost.prices import Price

Given = Mapping[str, Any]
OnEvent = Callable[[Event], None]


class Runs:
    """`engines`: by model role. `one_by_one`: the program adds to a store, so a run begins when the one before has
    ended, and sees what that one added.
    """

    def __init__(
        self,
        plan: Plan,
        session: Session,
        engines: Mapping[str, Engine],
        functions: Mapping[str, HostFunction],
        stores: BoundStores,
        budget: Sequence[Limit] = (),
        journal: Journal | None = None,
        tracing: Tracing | None = None,
        prices: Mapping[str, Price] | None = None,
    ) -> None:
        self._plan = plan
        self._session = session
        self._functions = functions
        self._stores = stores
        self._budget = tuple(budget)
        self.prices = dict(prices or {})
        """What requests cost by model role, where the budget asks for it."""
        self._turn = asyncio.Lock()
        self.journal = journal
        self._tracing = tracing
        self.engines = dict(engines)

    @property
    def seeds_honoured(self) -> bool:
        """Whether equal seeds give equal tokens on every engine used."""
        return all(engine.info.seeds_honoured for engine in self.engines.values())

    @property
    def one_by_one(self) -> bool:
        return self._stores.appends

    @property
    def lost_stores(self) -> tuple[str, ...]:
        """Stores that the program adds to and that end with these runs, since none was given."""
        return self._stores.lost

    @property
    def empty_stores(self) -> tuple[str, ...]:
        """Stores that were not given, and so hold nothing when these runs begin."""
        return self._stores.empty

    async def run(self, values: Given, *, seed: int = 0, on_event: OnEvent | None = None, number: int = 0) -> RunResult:
        """Run one checked input (see `check_input`). A failure is in the result, not raised, also that of a store that
        can't be written; `UsageError` before anything runs for one that can't be read.
        """
        async with self._turn if self.one_by_one else nullcontext():
            taken = self._ended_before(number, values, seed)
            held = self._stores.read() if taken is None else {}
            emit = self._observed(on_event, seed, number, held)
            if taken is not None:
                emit(RunEnded(taken, self._session.now_s(), number))
                return taken
            result = await run_plan(
                self._plan,
                values,
                self._session,
                self._functions,
                seed=seed,
                input_index=number,
                emit=emit,
                stores=held,
                budget=self._budget,
                prices=self.prices,
            )
            return await self._kept(result)

    async def events(self, values: Given, *, seed: int = 0, number: int = 0) -> AsyncGenerator[Event, None]:
        """The events of one run; the last one is `RunEnded`. Closing it ends the run."""
        async with self._turn if self.one_by_one else nullcontext():
            taken = self._ended_before(number, values, seed)
            held = self._stores.read() if taken is None else {}
            trace = self._observed(None, seed, number, held)
            if taken is not None:
                trace(RunEnded(taken, self._session.now_s(), number))
                yield RunEnded(taken, self._session.now_s(), number)
                return
            events = run_events(
                self._plan,
                values,
                self._session,
                self._functions,
                seed=seed,
                input_index=number,
                stores=held,
                budget=self._budget,
                prices=self.prices,
                emit=trace,
            )
            try:
                async for event in events:
                    if isinstance(event, RunEnded):
                        event = replace(event, result=await self._kept(event.result))
                    yield event
            finally:
                await cast(AsyncGenerator[Event, None], events).aclose()

    def _observed(self, on_event: OnEvent | None, seed: int, number: int, held: Mapping[str, Sequence[Any]]) -> OnEvent:
        """What takes the events of a run: the trace, if there is one, and whoever listens."""
        tracing = self._tracing
        if tracing is None:
            return on_event or (lambda _: None)
        tracing.begin(seed, number, held)

        def observe(event: Event) -> None:
            tracing.write(event)
            if on_event is not None:
                on_event(event)

        return observe

    def _ended_before(self, number: int, values: Given, seed: int) -> RunResult | None:
        """The result that the journal has of an input, once what it appended is in the stores."""
        if self.journal is None:
            return None
        with refusals():
            ended = self.journal.start(number, values, seed)
        if ended is None:
            return None
        self._stores.restore(ended.result.appended, ended.stores, forgotten=ended.settled)
        if not ended.settled:
            self.journal.settled(number)
        return ended.result

    async def _kept(self, result: RunResult) -> RunResult:
        """The result, once what it appended is in the stores, and all of it in the journal. It is a failure if a store
        can't be written.
        """
        try:
            places = self._stores.places(result.appended) if self.journal is not None else {}
            if places:
                await self._journaled(result, places)
            self._stores.append(result.appended)
        except UsageError as error:
            problem = error.problems[0]
            failure = RunFailure(problem.code, problem.message, problem.hint)
            result = replace(result, value=None, error=failure, appended={})
            places = {}
        if self.journal is not None and places:
            self.journal.settled(result.input)
        elif self.journal is not None:
            await self._journaled(result, {})
        return result

    async def _journaled(self, result: RunResult, places: Mapping[str, int]) -> None:
        assert self.journal is not None
        with refusals():
            await self.journal.end(result.input, result, places)


def refused(problem: Problem, seed: int, number: int) -> RunResult:
    """The result of an input that never ran."""
    failure = RunFailure(problem.code, problem.message, problem.hint, "input")
    return RunResult(None, Usage(), 0.0, seed, error=failure, input=number)


def check_evaluation(program: Program, evaluation: bool) -> None:
    """Refuse a program that knows the answers where it is not being evaluated: E0512."""
    named = [f"the parameter '{item.name}'" for item in program.parameters if item.oracle]
    named += [f"the extern '{item.name}'" for item in program.externs if item.kind == "oracle"]
    if named and not evaluation:
        knows = "an oracle: it knows" if len(named) == 1 else "oracles: they know"
        raise UsageError(
            Problem(
                "E0512",
                f"{' and '.join(named)} of '{program.name}' {'is' if len(named) == 1 else 'are'} {knows} the answer,"
                " and this is no evaluation",
                "measure with `ttsc run --evaluation` or `evaluation=True`; for answers use a program without it",
            )
        )


def artifacts_for(program: Program, folder: str | Path | None, refresh: bool) -> Artifacts | None:
    """Where the program's offline values are kept: `folder`, else the user's own; None if it has no such values."""
    if not any(isinstance(node, Offline) for node in walk(program.body)):
        return None
    return Artifacts(Path(folder) if folder is not None else _own_folder(), refresh=refresh)


def _own_folder() -> Path:
    import platformdirs

    override = os.environ.get("TTSC_DATA_DIR")
    return Path(override or platformdirs.user_data_dir("ttsc", appauthor=False)) / "offline"


def pooled_roles(program: Program) -> dict[str, Literal["embed", "reward"]]:
    """Model roles of which nothing but vectors is asked, whose models are served for that; and those that rate."""
    kinds: dict[str, set[str]] = {}
    for node in walk(program.body):
        match node:
            case Score(kind=kind, model=role):
                kinds.setdefault(role, set()).add(kind)
            case Generate(model=role):
                kinds.setdefault(role, set()).add("generate")
    return {
        role: "reward" if "reward" in asked else "embed"
        for role, asked in kinds.items()
        if "reward" in asked or asked == {"embed"}
    }


def check_patience(engine_wait: float, hedge: float | None) -> None:
    """Refuse what is no time to wait, or no factor: E0510."""
    if not engine_wait >= 0:
        raise UsageError(Problem("E0510", f"engine_wait is {engine_wait}", "give seconds, 0 or more"))
    if hedge is not None and not hedge > 1:
        raise UsageError(Problem("E0510", f"hedge is {hedge}", "give a factor greater than 1, as in hedge=2"))
