"""What `ttsc run` writes: values on standard output, JSON objects, and the figures at the end."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

import click

from ttsc.backends.protocol import Engine, Image
from ttsc.cli.exit_codes import BUDGET_CUT, DONE, ENGINE_UNAVAILABLE, FAILED, complain, say
from ttsc.compiler.cost.units import UNITS
from ttsc.runtime.events import OfflineTaken, RunResult
from ttsc.runtime.journal import Journal
from ttsc.runtime.ledger import amount
from ttsc.runtime.usage import total

if TYPE_CHECKING:
    from ttsc.compiler.cost.prices import Price

_UNAVAILABLE = ("R0401", "R0405")


def as_json(result: RunResult, seeds_honoured: bool, simulated: bool = False) -> str:
    """One result as a JSON object on one line. `simulated`: no model has said it, and its seconds are virtual."""
    row = {
        "input": result.input,
        "value": result.value,
        "abstained": result.abstained,
        "error": None if result.error is None else asdict(result.error),
        "cut": result.cut,
        "reason": result.reason,
        "seed": result.seed,
        "seeds_honoured": seeds_honoured,
        "duration_s": round(result.duration_s, 3),
        "appended": result.appended,
        "usage": asdict(result.usage),
        **({"simulated": True} if simulated else {}),
    }
    return json.dumps(row, ensure_ascii=False, default=_said)


def text_of(value: Any) -> str:
    """A value as text: a `str` as it is, `none` as the language writes it, everything else as JSON."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_said)


def _said(value: Any) -> str:
    """What JSON has no word for."""
    return f"({value.media_type}, {len(value.data)} bytes)" if isinstance(value, Image) else str(value)


def answer_of(result: RunResult) -> str:
    """The value of a result as text."""
    return "(abstained)" if result.abstained else text_of(result.value)


def one_line(result: RunResult) -> str:
    """The value of a result on one line: a text of several lines as a JSON string."""
    text = answer_of(result)
    return json.dumps(text, ensure_ascii=False) if "\n" in text else text


class Results:
    """Takes results as they come; writes those that are wanted at once, and the others in the order of the inputs.

    `held`: standard output shares a terminal with a live display, so nothing is written there before that has ended; of
    several inputs the display has shown the values then, and only JSON is written.
    """

    def __init__(
        self, inputs: int, seeds_honoured: bool, as_json: bool, out: Path | None, held: bool, simulated: bool = False
    ) -> None:
        self._inputs = inputs
        self._seeds_honoured = seeds_honoured
        self._as_json = as_json
        self._held = held
        self._simulated = simulated
        self._path = out
        self._file: TextIO | None = None
        self._results: dict[int, RunResult] = {}
        self._next = 0

    def __enter__(self) -> Self:
        if self._path is not None:
            self._file = self._path.open("w", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        if self._held and (self._as_json or self._inputs == 1):
            for result in self.in_order():
                self._print(result)

    def add(self, result: RunResult) -> None:
        """Take one result in. It is in the `--out` file, on disk, when this returns."""
        self._results[result.input] = result
        if self._file is not None:
            self._file.write(as_json(result, self._seeds_honoured, self._simulated) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        if self._held:
            return
        if self._as_json:
            self._print(result)
            return
        while self._next in self._results:
            self._print(self._results[self._next])
            self._next += 1

    def in_order(self) -> list[RunResult]:
        """The results so far, in the order of the inputs."""
        return [self._results[number] for number in sorted(self._results)]

    def _print(self, result: RunResult) -> None:
        if self._as_json:
            click.echo(as_json(result, self._seeds_honoured, self._simulated))
        elif self._inputs > 1:
            click.echo("" if result.error else one_line(result))
        elif result.error is None:
            click.echo(answer_of(result))


def engine_lines(engines: Mapping[str, Engine]) -> list[str]:
    """Each engine with its model; where there are several, the roles that it serves."""
    served: dict[int, list[str]] = {}
    for role, engine in engines.items():
        served.setdefault(id(engine), []).append(role)
    lines = []
    for info, roles in [(engines[roles[0]].info, roles) for roles in served.values()]:
        model = Path(info.model).name if info.model.startswith("/") else info.model
        for_roles = f" for {', '.join(roles)}" if len(served) > 1 else ""
        lines.append(f"engine    {info.name} with {model}{f' on {info.device}' if info.device else ''}{for_roles}")
    return lines


def price_lines(prices: Mapping[str, Price]) -> list[str]:
    """What the prices that a budget counts by are taken from; where there are several, the roles that have them."""
    by_source: dict[str, list[str]] = {}
    for role, price in prices.items():
        by_source.setdefault(price.source, []).append(role)
    for_roles = {
        source: f" for {', '.join(roles)}" if len(by_source) > 1 else "" for source, roles in by_source.items()
    }
    return [f"prices    by {source}{roles}" for source, roles in for_roles.items()]


def journal_line(journal: Journal, inputs: int) -> str:
    """What a journal has of a run."""
    if not journal.resumed:
        return f"journal   {journal.path}: begun"
    return f"journal   {journal.path}: {journal.ended_before} of {inputs} inputs had ended"


def exit_code(results: Sequence[RunResult]) -> int:
    """What some results mean for the command: failed before cut before done; 5 if only the engine was to blame."""
    failures = [result.error for result in results if result.error is not None]
    if failures:
        return ENGINE_UNAVAILABLE if all(failure.code in _UNAVAILABLE for failure in failures) else FAILED
    return BUDGET_CUT if any(result.cut for result in results) else DONE


def offline_lines(events: Sequence[OfflineTaken]) -> None:
    """How many offline values were computed and how many were there, and what was wrong with what is kept."""
    if not events:
        return
    counts = {source: sum(event.source == source for event in events) for source in ("computed", "kept", "shared")}
    counts["computed"] += sum(event.source == "repaired" for event in events)
    say("offline   " + ", ".join(f"{count} {source}" for source, count in counts.items() if count))
    for note in dict.fromkeys(event.note for event in events if event.note):
        say(f"offline   {note}")


def summary(results: Sequence[RunResult], seeds_honoured: bool, wall_s: float, passed_s: float | None = None) -> None:
    """The figures at the end of a run, on standard error; for one input its failure, too. `passed_s`: seconds of a
    virtual clock; None where time is real.
    """
    if len(results) == 1 and results[0].error is not None:
        failure = results[0].error
        complain(failure.code, failure.message, failure.hint)
    for result in results:
        if result.cut and result.error is None and len(results) == 1:
            say(f"cut       {result.reason}; the answer is the best so far")
    usage = total([result.usage for result in results])
    say(
        f"tokens    prefill {usage.prefill_tokens} computed, {usage.cached_tokens} cached; "
        f"decoded {usage.decoded_tokens}, of which {usage.lost_tokens} lost"
    )
    if usage.priced:
        said = [amount(name, round(value / UNITS[name])) for name, value in usage.priced.items()]
        say(f"spent     {', '.join(said)}")
    details = [f"{usage.requests} sent", f"{usage.aborted} aborted {'loser' if usage.aborted == 1 else 'losers'}"]
    details += [f"{count} {word}" for count, word in ((usage.failed, "failed"), (usage.retries, "retried")) if count]
    counted = (
        (usage.extern_calls, "extern call", "extern calls"),
        (usage.scored_tokens, "token scored", "tokens scored"),
        (usage.rewards, "reward", "rewards"),
        (usage.embeddings, "embedding", "embeddings"),
    )
    details += [f"{count} {one if count == 1 else many}" for count, one, many in counted if count]
    say(f"requests  {', '.join(details)}")
    if usage.taken_requests or usage.taken_calls:
        calls = f" and {usage.taken_calls} extern calls" if usage.taken_calls else ""
        say(f"journal   {usage.taken_requests} requests of {usage.taken_tokens} tokens{calls} were not made again")
    for name in sorted({name for result in results for name in result.appended}):
        count = sum(len(result.appended.get(name, ())) for result in results)
        if count:
            say(f"store     {count} item{'' if count == 1 else 's'} added to {name}")
    honoured = "honoured: equal seeds give equal tokens" if seeds_honoured else "not honoured by this engine"
    seed = results[0].seed if results else 0
    took = f"{wall_s:.1f} s" if passed_s is None else f"{passed_s:.2f} s simulated, computed in {wall_s:.1f} s"
    say(f"time      {took}; seed {seed}, {honoured}")
    failed = sum(result.error is not None for result in results)
    if len(results) > 1:
        others = (
            ("abstained", sum(result.abstained for result in results)),
            ("cut", sum(result.cut for result in results)),
        )
        rest = "".join(f", {count} {word}" for word, count in others if count)
        say(f"inputs    {len(results)} ended, {failed} failed{rest}")
