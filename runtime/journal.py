"""The journal of a run of many inputs: what is done is never done again.

It keeps the result of each input that has ended, and of those under way every answer of an engine and every value of
an extern, each at its site. A run that was cut off, however, resumes from it: an ended input gives its result, one
under way takes the answers that are there and asks only for the rest. An answer counts only for the prompt that it was
given to. An input that failed is run again, from its answers.

A call of an environment is on record before it begins. One that has ended is never made again, whether it gave a value
or an error; of one that had begun and not ended nobody knows whether it took effect, so its input fails and says so.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ttsc.compiler.ir.nodes import Extern
from ttsc.runtime.events import ExternCalled, RunFailure, RunResult, Usage
from ttsc.runtime.failures import CALL_CUT_OFF, RunFailed
from ttsc.runtime.flights import Ticket
from ttsc.runtime.journal_file import JournalFile, JournalRefused, Row
from ttsc.runtime.records import Flying, NotRecordable, Site, answer_of, from_json, prompt_digest, to_json
from ttsc.runtime.run import Run
from ttsc.runtime.session import Lane
from ttsc.runtime.taken import TakenFlight
from ttsc.runtime.usage import all_taken
from ttsc.runtime.work import Answer, Embedding, Work, tally

SHARED = -1
"""Stands for the input of what any input may be the first to ask: offline regions, embeddings."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a journal belongs to. `plan`: a digest of the plan. The rest is for messages."""

    program: str
    plan: str
    source: str
    level: int
    budget: str


@dataclass(frozen=True, slots=True)
class Ended:
    """An input that has ended. `stores`: where in each store its items were going to stand; `settled`: they do."""

    result: RunResult
    stores: Mapping[str, int]
    settled: bool


@dataclass(frozen=True, slots=True)
class _Known:
    """An answer at a site."""

    prompt: str
    body: str


@dataclass(slots=True)
class _Open:
    """An input under way: what is known of it, and what it had cost before it was cut off."""

    answers: dict[str, _Known]
    calls: dict[str, Row]
    spent: int = 0
    sent: int = 0
    priced: Mapping[str, int] = field(default_factory=dict)
    elapsed_s: float = 0.0
    run: Run | None = None
    started_s: float = 0.0


class Journal:
    """One journal of one run of any number of inputs. Its methods are for one event loop."""

    def __init__(self, path: str | Path, identity: Identity) -> None:
        """Begin a journal in a file, or go on with the one there. Raises `JournalRefused`."""
        self._file = JournalFile(Path(path))
        try:
            self._identify(identity)
            rows = self._file.rows("SELECT input, digest, seed, state FROM inputs")
        except BaseException:
            self._file.close()
            raise
        self._inputs: dict[int, tuple[str, int, str]] = {
            number: (digest, seed, state) for number, digest, seed, state in rows
        }
        self._open: dict[int, _Open] = {}
        self._shared = self._load(SHARED)
        self.resumed = bool(rows)
        self.ended_before = sum(state not in ("open", "failed") for _, _, state in self._inputs.values())

    @property
    def path(self) -> Path:
        return self._file.path

    @property
    def problem(self) -> JournalRefused | None:
        """Why nothing can be written any more, if so."""
        return self._file.error

    # --- what it belongs to ---

    def _identify(self, identity: Identity) -> None:
        kept: dict[str, str] = dict(self._file.rows("SELECT name, value FROM header"))
        if not kept:
            rows = asdict(identity).items()
            self._file.hand(*[("INSERT INTO header VALUES (?, ?)", (name, str(value))) for name, value in rows])
            return
        reason = ""
        if kept["program"] != identity.program:
            reason = f"of the program '{kept['program']}'"
        elif kept["source"] != identity.source and kept["plan"] != identity.plan:
            reason = "of this program as it was before it was changed"
        elif kept["plan"] != identity.plan:
            at = f"at -O{kept['level']}" if kept["level"] != str(identity.level) else "with other passes or values"
            reason = f"of this program compiled {at}"
        elif kept["budget"] != identity.budget:
            reason = f"of a run with {'the budget ' + kept['budget'] if kept['budget'] else 'no budget'}"
        if reason:
            raise self._of_another(reason)

    def bind(self, models: Mapping[str, str]) -> None:
        """The models that answer, by role. Raises `JournalRefused` if they are not those it was begun with."""
        said = json.dumps(dict(sorted(models.items())))
        rows = self._file.rows("SELECT value FROM header WHERE name = 'models'")
        kept = rows[0][0] if rows else None
        if kept is None:
            self._file.hand(("INSERT INTO header VALUES ('models', ?)", (said,)))
        elif kept != said:
            before = ", ".join(f"{role}={model}" for role, model in json.loads(kept).items())
            raise self._of_another(f"of a run on {before}")

    def _of_another(self, what: str) -> JournalRefused:
        return JournalRefused(
            f"'{self._file.path}' is the journal {what}", "go on with what it was begun with, or name another file"
        )

    # --- inputs ---

    def check(self, number: int, values: Mapping[str, Any], seed: int) -> None:
        """Raise `JournalRefused` if the input of this number is another one than before."""
        known = self._inputs.get(number)
        if known is None:
            return
        digest, before, _ = known
        if digest != input_digest(values):
            raise self._of_another(f"of a run whose input {number} had other values")
        if before != seed:
            raise self._of_another(f"of a run with seed {before}")

    def start(self, number: int, values: Mapping[str, Any], seed: int) -> Ended | None:
        """An input begins: its result if it has ended before. Raises `JournalRefused`."""
        self._file.check()
        self.check(number, values, seed)
        digest, _, state = self._inputs.get(number, ("", 0, ""))
        if state in ("ended", "ending"):
            rows = self._file.rows("SELECT result, stores FROM inputs WHERE input = ?", (number,))
            result = result_from(json.loads(rows[0][0]))
            taken = replace(result, usage=all_taken(result.usage))
            return Ended(taken, json.loads(rows[0][1] or "{}"), state == "ended")
        if state:
            self._open[number] = self._load(number)
        else:
            digest = input_digest(values)
            self._open[number] = _Open({}, {})
            insert = "INSERT INTO inputs (input, digest, seed, state) VALUES (?, ?, ?, 'open')"
            self._file.hand((insert, (number, digest, seed)))
        self._inputs[number] = (digest, seed, "open")
        return None

    async def end(self, number: int, result: RunResult, stores: Mapping[str, int] | None = None) -> None:
        """An input has ended. With `stores` its items are about to be written there: wait until that is on record, and
        call `settled` once they are. Raises `JournalRefused` if they must not be written, since it can't be.
        """
        self._open.pop(number, None)
        digest, seed, _ = self._inputs[number]
        state = "failed" if result.error is not None else "ending" if stores else "ended"
        try:
            data = json.dumps(result_data(result), ensure_ascii=False)
        except NotRecordable:
            return
        self._inputs[number] = (digest, seed, state)
        update = "UPDATE inputs SET state = ?, result = ?, stores = ? WHERE input = ?"
        self._file.hand((update, (state, data, json.dumps(dict(stores or {})), number)))
        if state == "ending":
            await self._file.flush()
        elif state == "ended":
            self._file.hand(*_forget(number))

    def settled(self, number: int) -> None:
        """What the input adds to stores stands there."""
        digest, seed, _ = self._inputs[number]
        self._inputs[number] = (digest, seed, "ended")
        self._file.hand(("UPDATE inputs SET state = 'ended' WHERE input = ?", (number,)), *_forget(number))

    async def flush(self) -> None:
        """Until everything so far is on record."""
        await self._file.flush()

    def close(self) -> None:
        """Write what is left, and let others use the file."""
        self._file.close()

    def _load(self, number: int) -> _Open:
        found = _Open({}, {})
        query = "SELECT site, prompt, body, spent, priced, calls, elapsed_s FROM answers WHERE input = ?"
        for site, prompt, body, spent, priced, sent, elapsed_s in self._file.rows(query, (number,)):
            found.answers[site] = _Known(prompt, body)
            found.spent = max(found.spent, spent)
            if priced:
                found.priced = _greatest(found.priced, json.loads(priced))
            found.sent = max(found.sent, sent)
            found.elapsed_s = max(found.elapsed_s, elapsed_s)
        query = "SELECT site, name, arguments, body FROM calls WHERE input = ?"
        found.calls = {site: rest for site, *rest in self._file.rows(query, (number,))}  # type: ignore[misc]
        return found

    # --- records (see `records.Records`) ---

    def begin(self, run: Run) -> None:
        known = self._open.setdefault(run.input_index, _Open({}, {}))
        known.run, known.started_s = run, run.session.now_s()
        run.ledger.charge(known.spent, known.sent, known.priced)
        run.elapsed_before_s = known.elapsed_s

    def flight(self, run: Run, lane: Lane, ticket: Ticket) -> Flying | None:
        where, site = self._place(ticket)
        known = where.answers.get(site)
        if known is None or known.prompt != prompt_digest(ticket.ids, ticket.work):
            return None
        return TakenFlight(run.session, lane, ticket, _answer(ticket.work, known.body))

    def answered(self, ticket: Ticket, answer: Answer) -> None:
        where, site = self._place(ticket)
        own = self._open[ticket.input_index]
        run = own.run
        assert run is not None
        prompt = prompt_digest(ticket.ids, ticket.work)
        if where is self._shared:
            where.answers[site] = _Known(prompt, _body(answer))
        elapsed_s = own.elapsed_s + run.session.now_s() - own.started_s
        number = SHARED if where is self._shared else ticket.input_index
        values = (number, site, prompt, lambda: _body(answer), tally(answer).computed)
        priced = run.ledger.priced
        row = (*values, run.ledger.spent, json.dumps(priced) if priced else "", run.ledger.calls, elapsed_s)
        self._file.hand(("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row))

    def call(self, run: Run, site: Site, node: Extern, arguments: Sequence[object]) -> Awaitable[object] | None:
        where = self._shared if site.shared else self._open[run.input_index]
        known = where.calls.get(str(site))
        if known is None:
            return None
        name, asked, body = known
        if body is None:
            raise RunFailed(
                RunFailure(
                    CALL_CUT_OFF,
                    f"the extern `{name}` was being called when the run was cut off: whether it took effect is unknown",
                    "look at what it changes; `ttsc journal FILE --forget INPUT` starts that input over",
                    "extern",
                )
            )
        return self._taken(run, site, node, json.loads(body)) if asked == _arguments_digest(arguments) else None

    async def _taken(self, run: Run, site: Site, node: Extern, kept: Any) -> object:
        failure = None if kept["error"] is None else RunFailure(**kept["error"])
        error, code, hint = ("", "", "") if failure is None else (failure.message, failure.code, failure.hint)
        now, recorded = run.session.now_s(), failure is None
        run.emit(
            ExternCalled(
                site.node,
                node.name,
                0.0,
                now,
                error,
                run.input_index,
                str(site),
                kept["value"],
                recorded,
                code,
                hint,
                True,
            )
        )
        if failure is not None:
            raise RunFailed(failure)
        return from_json(kept["value"])

    async def calling(self, run: Run, site: Site, node: Extern, arguments: Sequence[object]) -> None:
        number, asked = SHARED if site.shared else run.input_index, _arguments_digest(arguments)
        insert = "INSERT OR REPLACE INTO calls (input, site, name, arguments) VALUES (?, ?, ?, ?)"
        self._file.hand((insert, (number, str(site), node.name, asked)))
        try:
            await self._file.flush()
        except JournalRefused as error:
            raise RunFailed(RunFailure("E0517", error.message, error.hint)) from error

    def called(
        self, run: Run, site: Site, node: Extern, arguments: Sequence[object], value: object, error: RunFailure | None
    ) -> None:
        signature = run.signatures.get(node.name)
        if error is not None and (signature is None or signature.kind != "environment"):
            return  # it is made again, as a request that failed is sent again
        try:
            body = json.dumps({"value": to_json(value), "error": None if error is None else asdict(error)})
        except NotRecordable:
            return
        number = SHARED if site.shared else run.input_index
        values = (number, str(site), node.name, _arguments_digest(arguments), body)
        self._file.hand(("INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?, ?)", values))

    def deadline(self, run: Run) -> bool:
        return False

    def _place(self, ticket: Ticket) -> tuple[_Open, str]:
        """Where a request's answer is kept. A text's vector is the same wherever it is asked for."""
        if isinstance(ticket.work, Embedding):
            return self._shared, f"{ticket.role} {prompt_digest(ticket.ids, ticket.work)}"
        return self._shared if ticket.site.shared else self._open[ticket.input_index], str(ticket.site)


def input_digest(values: Mapping[str, Any]) -> str:
    """Of an input's values, the order of their names apart."""
    return blake2b(json.dumps(to_json(dict(values)), sort_keys=True).encode(), digest_size=16).hexdigest()


def _arguments_digest(arguments: Sequence[object]) -> str:
    data = json.dumps(to_json(list(arguments)), sort_keys=True)
    return blake2b(data.encode(), digest_size=16).hexdigest()


def _greatest(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """By name; amounts only grow."""
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}


def _forget(number: int) -> list[tuple[str, tuple[int]]]:
    """An input that has ended needs no answers any more."""
    return [("DELETE FROM answers WHERE input = ?", (number,)), ("DELETE FROM calls WHERE input = ?", (number,))]


def _body(answer: Answer) -> str:
    counts = tally(answer)
    fields = (counts.finish, counts.matched, counts.prompt_tokens, counts.cached_tokens, counts.completion_tokens)
    figures = (counts.output_ids, counts.logprobs, counts.values, counts.confidences)
    return json.dumps([answer.request_id, *fields, *figures])


def _answer(work: Work, body: str) -> Answer:
    # Journals of earlier versions end with the values.
    request_id, finish, matched, prompt, cached, completion, output_ids, logprobs, values, *more = json.loads(body)
    return answer_of(
        work,
        request_id,
        finish=finish,
        matched=matched,
        prompt_tokens=prompt,
        cached_tokens=cached,
        completion_tokens=completion,
        output_ids=output_ids,
        logprobs=logprobs,
        confidences=more[0] if more else None,
        values=values,
    )


def result_data(result: RunResult) -> dict[str, Any]:
    """A result as JSON data. Raises `NotRecordable`."""
    return {
        **{name: getattr(result, name) for name in ("duration_s", "seed", "cut", "reason", "input", "abstained")},
        "value": to_json(result.value),
        "usage": asdict(result.usage),
        "error": None if result.error is None else asdict(result.error),
        "appended": to_json(result.appended),
    }


def result_from(data: Mapping[str, Any]) -> RunResult:
    """Undoes `result_data`."""
    error = None if data["error"] is None else RunFailure(**data["error"])
    appended = {name: tuple(items) for name, items in from_json(data["appended"]).items()}
    rest = {"value": from_json(data["value"]), "usage": Usage(**data["usage"]), "error": error, "appended": appended}
    return RunResult(**{**data, **rest})
