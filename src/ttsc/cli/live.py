"""How a run looks while it runs: a table that moves on a terminal, plain lines elsewhere. Always on standard error."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import click

from ttsc.cli.view import MARKS, SCORED, Candidate, View, decided_line
from ttsc.runtime.events import Event, RunResult

if TYPE_CHECKING:
    from rich.console import RenderableType

_ROWS_PER_NODE = 12
_NODES = 3
_QUIET_S = 10.0
"""Plain lines of several inputs: the longest silence, in seconds, as long as anything happens."""
_STYLES = {
    "running": "cyan",
    "eos": "green",
    "stop": "green",
    "done": "green",
    "length": "yellow",
    "abort": "dim",
    "below": "dim",
    "error": "red",
}


class Display(Protocol):
    """Shows a run; a context manager around it."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def feed(self, event: Event) -> None:
        """Show an event."""

    def result(self, result: RunResult, label: str) -> None:
        """Show that one input of several has ended."""


def choose_display(inputs: int, quiet: bool) -> Display:
    """The live table on a terminal, plain lines elsewhere, nothing if `quiet`."""
    if quiet:
        return Quiet()
    return Live(inputs) if sys.stderr.isatty() else Plain(inputs)


class Quiet:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def feed(self, event: Event) -> None:
        """Show an event: nothing."""

    def result(self, result: RunResult, label: str) -> None:
        """Show an ended input: nothing."""


class Plain(Quiet):
    """One line per event of a single input; of several one line per input, and now and then how far it has come."""

    def __init__(self, inputs: int) -> None:
        self._inputs = inputs
        self._view = View()
        self._start = self._said = time.monotonic()

    def feed(self, event: Event) -> None:
        """Write the event's line, if it has one."""
        line = self._view.feed(event)
        if line is not None and self._inputs == 1:
            click.echo(line, err=True)
        elif self._inputs > 1 and time.monotonic() - self._said > _QUIET_S:
            self._said = time.monotonic()
            click.echo(status_line(self._view, self._inputs, self._said - self._start), err=True)

    def result(self, result: RunResult, label: str) -> None:
        """Write one line for an input that has ended."""
        self._said = time.monotonic()
        self._view.forget(result.input)
        if self._inputs > 1:
            click.echo(result_line(result, label, self._inputs), err=True)


class Live(Quiet):
    """A table of candidates as they run, with decisions; for several inputs a compact progress."""

    def __init__(self, inputs: int) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        self._inputs = inputs
        self._view = View()
        self._start = time.monotonic()
        self._console = Console(stderr=True)
        self._live = RichLive(get_renderable=self._render, console=self._console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self._start = time.monotonic()
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        if self._inputs == 1 and error is None:
            self._console.print(self._render())

    def feed(self, event: Event) -> None:
        """Take an event into the picture."""
        self._view.feed(event)

    def result(self, result: RunResult, label: str) -> None:
        """Write one line above the picture for an input that has ended."""
        if self._inputs > 1:
            self._view.forget(result.input)
            self._console.print(result_line(result, label, self._inputs), markup=False, highlight=False)

    def _render(self) -> RenderableType:
        from rich.console import Group

        lines = [self._status()] if self._inputs > 1 else [*self._nodes(), self._status()]
        return Group(*lines)

    def _nodes(self) -> list[RenderableType]:
        from rich.text import Text

        shown: list[RenderableType] = []
        for (_, node), candidates in list(self._view.order.items())[-_NODES:]:
            if candidates[0].kind in SCORED:
                shown.append(Text(scored_line(node, candidates), style="bold"))
                continue
            shown.append(Text(f"{candidates[0].op}  {node}  {_requests(len(candidates))}", style="bold"))
            shown += [self._row(candidate) for candidate in candidates[:_ROWS_PER_NODE]]
            if len(candidates) > _ROWS_PER_NODE:
                rest = candidates[_ROWS_PER_NODE:]
                counts = ", ".join(
                    f"{sum(item.state == state for item in rest)} {MARKS[state]}"
                    for state in MARKS
                    if any(item.state == state for item in rest)
                )
                shown.append(Text(f"  and {len(rest)} more: {counts}", style="dim"))
        for decision in list(self._view.decisions.values())[-_NODES:]:
            shown.append(Text(decided_line(decision), style="bold green", overflow="ellipsis", no_wrap=True))
        return shown

    def _row(self, candidate: Candidate) -> RenderableType:
        from rich.text import Text

        tail = " ".join(candidate.tail.split())
        room = max(10, self._console.width - 24)
        mark = MARKS.get(candidate.state, "?")
        text = f"  {mark} {candidate.index:>3} {candidate.tokens:>6} tok  {tail[-room:]}"
        return Text(text, style=_STYLES.get(candidate.state, ""), overflow="crop", no_wrap=True)

    def _status(self) -> RenderableType:
        from rich.text import Text

        return Text(status_line(self._view, self._inputs, time.monotonic() - self._start), style="dim")


def scored_line(node: str, candidates: Sequence[Candidate]) -> str:
    """The requests of a node that decode nothing, in one line: `reward  reward1  6 requests: 4 rated, 2 running`."""
    counts = Counter(SCORED[item.kind] if item.state == "done" else item.state for item in candidates)
    told = ", ".join(f"{count} {word}" for word, count in counts.items())
    return f"{candidates[0].op}  {node}  {_requests(len(candidates))}: {told}"


def _requests(count: int) -> str:
    return f"{count} request{'' if count == 1 else 's'}"


def status_line(view: View, inputs: int, elapsed_s: float) -> str:
    """How far a run has come, in one line."""
    ended = f"{view.ended}/{inputs} inputs  " if inputs > 1 else ""
    return (
        f"{ended}{view.running()} running  {view.aborted} aborted  {view.tokens()} tokens decoded  "
        f"{view.cached_tokens} cached  {elapsed_s:.1f} s"
    )


def result_line(result: RunResult, label: str, inputs: int) -> str:
    """One ended input in one line."""
    from ttsc.cli.output import one_line

    usage = result.usage
    head = f"[{result.input + 1}/{inputs}] {label}"
    if result.error is not None:
        return f"{head} -> error[{result.error.code}]: {result.error.message}"
    cut = f", cut: {result.reason}" if result.cut else ""
    aborted = f", {usage.aborted} aborted" if usage.aborted else ""
    return f"{head} -> {one_line(result)}  ({usage.decoded_tokens} tokens, {result.duration_s:.1f} s{aborted}{cut})"
