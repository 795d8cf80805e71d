"""Select: feeds a decision rule with what arrives, and ends what can no longer matter.

The lists of a selection (elements, keys, weights) are columns of one table; a row has arrived once all of its cells
have, and is absent if one of them is. With `early` the first moment at which the rule is decided ends everything that
is still outstanding, and rows that cannot win are let go one by one before that; until then it demands the rows that
the rule surely needs, in waves if the rule has some. Without, every row is waited for.

If nothing is left to select from because elements failed, the selection fails with what happened to the first of them.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ttsc.compiler.ir.nodes import FirstFinished, Majority, Quantified, Select, Sequential, Value
from ttsc.compiler.values.abstain import Abstain
from ttsc.runtime.blocks import Job, whole_number
from ttsc.runtime.decisions import NOTHING, Decision, Settled, decision_for
from ttsc.runtime.events import Decided, RunFailure
from ttsc.runtime.failures import INVALID_ARGUMENT, NOTHING_LEFT, RunFailed, failed
from ttsc.runtime.leases import Promise
from ttsc.runtime.streams import Absent, Stream, cause_of, complete, slots_of
from ttsc.runtime.values import CandidateValue, Elements, as_candidate, plain

MAX_SHOWN = 200
"""Characters of a decided value in an event."""


@dataclass(slots=True)
class Table:
    """Rows of the selection as they arrive. `rows[i]` is None until row i is complete."""

    columns: list[list[Promise]]
    rows: list[tuple[object, ...] | None]
    arrived: deque[int] = field(default_factory=deque)
    progressed: dict[int, int] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    missing: list[int] = field(default_factory=list)

    def connect(self) -> None:
        self.missing = [len(self.columns)] * len(self.rows)
        for column in self.columns:
            for index, promise in enumerate(column):
                promise.on_done(self._arrival(index))

    def _arrival(self, index: int) -> Callable[[Promise], None]:
        def arrival(_: Promise) -> None:
            self.missing[index] -= 1
            absent = any(column[index].done and isinstance(column[index].value, Absent) for column in self.columns)
            if self.rows[index] is None and (absent or self.missing[index] == 0):
                self.rows[index] = tuple(column[index].value for column in self.columns)
                self.arrived.append(index)
                self.changed.set()

        return arrival

    def progress(self, index: int, tokens: int) -> None:
        if self.rows[index] is None:
            self.progressed[index] = tokens
            self.changed.set()

    def present(self, index: int) -> bool:
        row = self.rows[index]
        return row is not None and not any(isinstance(each, Absent) for each in row)

    def failure(self) -> RunFailure | None:
        """The first failure among the rows that arrived."""
        for row in self.rows:
            for each in row or ():
                if isinstance(each, Absent) and each.cause is not None:
                    return each.cause
        return None


class Selection:
    """One Select node while it runs."""

    def __init__(self, job: Job, node: Select, lists: list[object], table: Table, decision: Decision) -> None:
        self._job = job
        self._node = node
        self._streams = [each for each in lists if isinstance(each, Stream)]
        self._table = table
        self._decision = decision
        self._cause = cause_of(lists[0])
        self._released: set[int] = set()

    async def decide(self) -> Settled:
        while True:
            self._feed()
            settled = self._decision.result() if self._node.early or self._decision.complete else None
            if settled is not None:
                return settled
            if self._node.early:
                self._release_losers()
            self._demand()
            await self._table.changed.wait()

    def _demand(self) -> None:
        rule = self._node.rule
        need = self._decision.need() if self._node.early else len(self._table.rows)
        wave = rule.wave if isinstance(rule, Majority | Sequential) else 0
        if wave:
            need = -(-need // wave) * wave
        for stream in self._streams:
            stream.demand(need)

    def _feed(self) -> None:
        table = self._table
        table.changed.clear()
        while table.arrived:
            index = table.arrived.popleft()
            row = table.rows[index]
            if table.present(index) and row is not None:
                weight = row[1] if self._node.weights is not None else None
                self._decision.feed(index, self._outcome(row), weight if isinstance(weight, int | float) else None)
            else:
                self._decision.feed(index, NOTHING)
            if self._node.early and self._decision.result() is not None:
                return
        for index, tokens in table.progressed.items():
            self._decision.progress(index, tokens)
        table.progressed.clear()

    def _outcome(self, row: tuple[object, ...]) -> object:
        rule = self._node.rule
        if isinstance(rule, FirstFinished):
            candidate = as_candidate(row[0])
            cut = candidate.stopped or (candidate.truncated and rule.truncated == "exclude")
            return NOTHING if cut else candidate.tokens
        if self._node.keys is not None:
            return row[1]
        return row[0]

    def _release_losers(self) -> None:
        for index in self._decision.losers():
            if index not in self._released:
                self._released.add(index)
                for value in _columns(self._node):
                    self._job.use(value).release_element(index)

    async def result(self, settled: Settled) -> object:
        node = self._node
        rows = self._table.rows
        chosen = Elements([row[0] for i in settled.winners if (row := rows[i]) is not None], self._why_fewer())
        if node.op in ("keep", "stop_first", "leading"):
            return chosen
        if node.op == "best":
            if not chosen:
                raise self._nothing_left("there is no candidate to choose from")
            return chosen[0]
        if isinstance(node.rule, Quantified):
            if self._decision.complete and rows:
                self._raise_cause()
            return settled.answer
        if settled.answer is not None:
            return settled.answer
        self._raise_cause()
        if node.otherwise is not None:
            return await self._job.complete(node.otherwise)
        raise self._nothing_left("no candidate gave an answer to vote for")

    def _why_fewer(self) -> RunFailure | None:
        """For a list that may come out empty: what failed, or that nothing finished."""
        cause = self._cause or self._table.failure()
        if cause is not None or not isinstance(self._node.rule, FirstFinished):
            return cause
        cut = sum(self._table.present(i) for i in range(len(self._table.rows)))
        if cut and not self._decision.tally():
            return failed(
                NOTHING_LEFT,
                f"no candidate finished: all {cut} were cut by max_tokens",
                "raise max_tokens, or let truncated candidates count (truncated=include)",
            ).failure
        return None

    def _raise_cause(self) -> None:
        """If every element is missing, and one of them because it failed, that is what happened."""
        cause = self._cause or self._table.failure()
        if cause is not None and not any(map(self._table.present, range(len(self._table.rows)))):
            raise RunFailed(cause)

    def _nothing_left(self, message: str) -> RunFailed:
        self._raise_cause()
        hint = "give an `otherwise` to return then" if self._node.op == "vote" else ""
        return failed(NOTHING_LEFT, message, hint)

    def event(self, value: object, early: bool) -> Decided:
        outstanding = self._decision.outstanding or 0
        return Decided(
            node=self._node.result.id,
            op=self._node.op,
            value=_shown(value),
            arrived=len(self._decision.arrived),
            outstanding=outstanding,
            early=early,
            tally=self._decision.tally(),
            time_s=self._job.run.session.now_s(),
            input=self._job.run.input_index,
            rule=self._decision.rule_name,
            looked=self._decision.looked,
            confidence=self._decision.confidence,
        )


async def execute_select(job: Job, node: Select) -> None:
    count = 1 if node.count is None else whole_number(await job.complete(node.count), f"the count of `{node.op}`")
    over = await job.value(node.over)
    lists = [over, *[await job.value(value) for value in _columns(node)[1:]]]
    columns = await _aligned(node, lists)
    rows: list[tuple[object, ...] | None] = [None] * len(columns[0])
    table = Table(columns, rows)
    table.connect()
    seed = job.run.draw_seed(node.result.id, job.scope.path)
    decision = decision_for(node.rule, len(rows), count, weighted=node.weights is not None, seed=seed)
    unwatch = None
    if isinstance(over, Stream) and isinstance(node.rule, FirstFinished) and len(over.progress) == len(rows):
        table.progressed.update(enumerate(over.progress))
        unwatch = over.watch(table.progress)
    selection = Selection(job, node, lists, table, decision)
    try:
        settled = await selection.decide()
    finally:
        if unwatch is not None:
            unwatch()
    for value in _columns(node):
        job.use(value).release()
    result = await selection.result(settled)
    job.run.emit(selection.event(result, early=not decision.complete))
    job.cell.resolve(result)


def _columns(node: Select) -> list[Value]:
    return [value for value in (node.over, node.keys, node.weights) if value is not None]


async def _aligned(node: Select, lists: list[object]) -> list[list[Promise]]:
    """Columns of equal length. A complete list stands beside a stream with holes by its order among what is present."""
    columns = [slots_of(each, lazily=True) for each in lists]
    if len({len(column) for column in columns}) > 1:
        columns = [slots_of(await complete(each)) for each in lists]
        if len({len(column) for column in columns}) > 1:
            for each in lists:
                cause = cause_of(await complete(each))
                if cause is not None:
                    raise RunFailed(cause)
            lengths = " and ".join(str(len(column)) for column in columns)
            raise failed(INVALID_ARGUMENT, f"`{node.op}` got lists of different lengths: {lengths}")
    return columns


def _shown(value: object) -> str:
    match value:
        case CandidateValue():
            text = value.text
        case tuple():
            what = "candidate" if all(isinstance(each, CandidateValue) for each in value) else "element"
            text = f"{len(value)} {what}{'' if len(value) == 1 else 's'}"
        case Abstain():
            text = "(abstained)"
        case str():
            text = value or '""'
        case None:
            text = "none"
        case _:
            text = json.dumps(plain(value), ensure_ascii=False, default=str)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
