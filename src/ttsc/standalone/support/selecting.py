"""Selections: they end as soon as their rule is decided, and release what can no longer matter."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ttsc.compiler.ir.rules import FirstFinished
from ttsc.runtime.decisions import NOTHING, Decision, Settled
from ttsc.runtime.events import RunFailure
from ttsc.runtime.failures import INVALID_ARGUMENT, NOTHING_LEFT, RunFailed, failed
from ttsc.runtime.streams import Absent
from ttsc.runtime.values import Elements, as_candidate
from ttsc.standalone.support.coming import Coming, arrived, cause_of, release, slots_of, whole

Decide = Callable[..., Decision]
"""Makes the rule's state: (rule, length, count, weighted, seed)."""


class Selection:
    """One selection while it runs. The lists are columns of a table; a row has arrived once all of its cells have."""

    def __init__(self, lists: Sequence[object], early: bool, wave: int = 0) -> None:
        """`wave`: of how many elements those that are demanded at once are a multiple; 0: of any."""
        self._lists = lists
        self._wave = wave or 1
        self._early = early
        self._columns: list[list[asyncio.Future[object]]] = []
        self._arrived: deque[int] = deque()
        self._progress: dict[int, int] = {}
        self._changed = asyncio.Event()
        self._released: set[int] = set()
        self.rows: list[tuple[object, ...] | None] = []
        self.decision: Decision

    async def settled(
        self,
        decide: Callable[[int], Decision],
        outcome: Callable[[tuple[object, ...]], object],
        weighted: bool = False,
        watched: bool = False,
    ) -> Settled:
        """The result, once it can no longer change; with `early` as soon as that is so, and the losers released."""
        await self._connect()
        self.decision = decide(len(self.rows))
        first = self._lists[0]
        watcher = self._advance
        if watched and isinstance(first, Coming) and len(first.tokens) == len(self.rows):
            self._progress.update(enumerate(first.tokens))
            first.watchers.append(watcher)
        while True:
            self._feed(outcome, weighted)
            found = self.decision.result() if self._early or self.decision.complete else None
            if found is not None:
                break
            if self._early:
                for index in self.decision.losers():
                    self._release(index)
            need = self.decision.need() if self._early else len(self.rows)
            for each in self._lists:
                if isinstance(each, Coming):
                    each.demand(-(-need // self._wave) * self._wave)
            await self._changed.wait()
        if isinstance(first, Coming) and watcher in first.watchers:
            first.watchers.remove(watcher)
        for index in range(len(self.rows)):
            self._release(index)
        return found

    async def _connect(self) -> None:
        columns = [slots_of(each, demand=False) for each in self._lists]
        if len({len(column) for column in columns}) > 1:
            lists = [await whole(each) for each in self._lists]
            columns = [slots_of(each) for each in lists]
            if len({len(column) for column in columns}) > 1:
                for each in lists:
                    if cause_of(each) is not None:
                        raise RunFailed(cause_of(each))  # type: ignore[arg-type]
                lengths = " and ".join(str(len(column)) for column in columns)
                raise failed(INVALID_ARGUMENT, f"a selection got lists of different lengths: {lengths}")
        self._columns = columns
        self.rows = [None] * len(columns[0])
        for index in range(len(self.rows)):
            for column in columns:
                if column[index].done():
                    self._look(index)
                else:
                    column[index].add_done_callback(lambda _, i=index: self._look(i))  # type: ignore[misc]

    def _look(self, index: int) -> None:
        cells = [column[index] for column in self._columns]
        absent = any(cell.done() and isinstance(cell.result(), Absent) for cell in cells)
        if self.rows[index] is None and (absent or all(cell.done() for cell in cells)):
            self.rows[index] = tuple(cell.result() if cell.done() else None for cell in cells)
            self._arrived.append(index)
            self._changed.set()

    def _advance(self, index: int, tokens: int) -> None:
        if self.rows[index] is None:
            self._progress[index] = tokens
            self._changed.set()

    def _feed(self, outcome: Callable[[tuple[object, ...]], object], weighted: bool) -> None:
        self._changed.clear()
        while self._arrived:
            index = self._arrived.popleft()
            row = self.rows[index]
            if row is None or not self.present(index):
                self.decision.feed(index, NOTHING)
            else:
                weight = row[1] if weighted else None
                self.decision.feed(index, outcome(row), weight if isinstance(weight, int | float) else None)
            if self._early and self.decision.result() is not None:
                return
        for index, tokens in self._progress.items():
            self.decision.progress(index, tokens)
        self._progress.clear()

    def _release(self, index: int) -> None:
        if index not in self._released:
            self._released.add(index)
            for each in self._lists:
                release(each, index)

    def present(self, index: int) -> bool:
        """Whether a row has arrived with an element in it."""
        row = self.rows[index]
        return row is not None and not any(isinstance(each, Absent) for each in row)

    def cause(self) -> RunFailure | None:
        """Why elements are missing, if one failed."""
        failures = [each.cause for row in self.rows for each in row or () if isinstance(each, Absent) and each.cause]
        return cause_of(self._lists[0]) or next(iter(failures), None)

    def chosen(self, settled: Settled, cause: RunFailure | None) -> Elements:
        """The winners."""
        return Elements([row[0] for i in settled.winners if (row := self.rows[i]) is not None], cause)

    def explain_emptiness(self) -> None:
        """If every element is missing, and one of them because it failed, that is what happened."""
        cause = self.cause()
        if cause is not None and not any(map(self.present, range(len(self.rows)))):
            raise RunFailed(cause)


def _answer(row: tuple[object, ...]) -> object:
    return row[0]


def _key(row: tuple[object, ...]) -> object:
    return row[1]


async def vote(
    rule: Any,
    decide: Decide,
    over: object,
    weights: object = None,
    *,
    otherwise: Any = ...,
    early: bool = False,
    seed: int = 0,
) -> object:
    """The answer with most votes, or the greatest weight; `otherwise` where nobody votes."""
    lists = [await arrived(over)] + ([] if weights is None else [await arrived(weights)])
    weighted = weights is not None
    selection = Selection(lists, early, rule.wave)
    settled = await selection.settled(lambda n: decide(rule, n, 1, weighted, seed), _answer, weighted)
    if settled.answer is not None:
        return settled.answer
    selection.explain_emptiness()
    if otherwise is not ...:
        return await whole(otherwise)
    raise failed(NOTHING_LEFT, "no candidate gave an answer to vote for", "give an `otherwise` to return then")


async def keep(
    rule: Any,
    decide: Decide,
    over: object,
    keys: object,
    count: int,
    *,
    early: bool = False,
    seed: int = 0,
) -> Elements:
    """The elements of the `count` greatest keys, greatest first."""
    selection = Selection([await arrived(over), await arrived(keys)], early)
    settled = await selection.settled(lambda n: decide(rule, n, count, False, seed), _key)
    return selection.chosen(settled, selection.cause())


async def best(rule: Any, decide: Decide, over: object, keys: object, *, early: bool = False, seed: int = 0) -> object:
    """The element of the greatest key."""
    selection = Selection([await arrived(over), await arrived(keys)], early)
    settled = await selection.settled(lambda n: decide(rule, n, 1, False, seed), _key)
    chosen = selection.chosen(settled, None)
    if not chosen:
        selection.explain_emptiness()
        raise failed(NOTHING_LEFT, "there is no candidate to choose from")
    return chosen[0]


async def stop_first(rule: FirstFinished, decide: Decide, over: object, count: int, *, early: bool = False) -> Elements:
    """The `count` candidates that finish first."""
    selection = Selection([await arrived(over)], early)

    def tokens(row: tuple[object, ...]) -> object:
        candidate = as_candidate(row[0])
        cut = candidate.stopped or (candidate.truncated and rule.truncated == "exclude")
        return NOTHING if cut else candidate.tokens

    settled = await selection.settled(lambda n: decide(rule, n, count, False, 0), tokens, watched=True)
    cause = selection.cause()
    if cause is None and not settled.winners and any(map(selection.present, range(len(selection.rows)))):
        hint = "raise max_tokens, or let truncated candidates count (truncated=include)"
        cause = failed(NOTHING_LEFT, "no candidate finished: all were cut by max_tokens", hint).failure
    return selection.chosen(settled, cause)


async def leading(rule: Any, decide: Decide, over: object, count: int, *, early: bool = False) -> Elements:
    """The first `count` elements that are there, in order."""
    selection = Selection([await arrived(over)], early)
    settled = await selection.settled(lambda n: decide(rule, n, count, False, 0), _answer)
    return selection.chosen(settled, selection.cause())


async def quantified(rule: Any, decide: Decide, over: object, *, early: bool = False) -> object:
    """Whether any, or all, of a list are true."""
    selection = Selection([await arrived(over)], early)
    settled = await selection.settled(lambda n: decide(rule, n, 1, False, 0), _answer)
    if selection.decision.complete and selection.rows:
        selection.explain_emptiness()
    return settled.answer
