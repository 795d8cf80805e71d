"""State that a program changes where it stands: stores, and the world behind environment externs.

A store is a variable that outlives the run; an environment is a variable that orders the calls of its externs. Both
change in statements only. What is computed for each element, on one side of a condition, or once for many runs has no
place in that order, so there they may be read and not changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.reporter import Reporter
from ttsc.compiler.values.types import BOOL
from ttsc.grammar.source import NOWHERE, Span

ENVIRONMENT = typed.Symbol("environment", BOOL, "environment", NOWHERE)
"""One world: calls of all environment externs are in one order."""


class State:
    """Where the checker is, as far as state is concerned."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._forks: list[str] = []

    @contextmanager
    def forked(self, where: str) -> Iterator[None]:
        """Inside of this nothing may change: `where` says in words what it is (`'each'`, `offline`)."""
        self._forks.append(where)
        try:
            yield
        finally:
            self._forks.pop()

    def change(self, what: str, span: Span) -> None:
        """Report a change of state where there can be none."""
        if self._forks:
            self._reporter.error(
                "E0407",
                f"{what} can't stand inside {self._forks[-1]}",
                span,
                "its place in the order is not defined",
                "make it a statement of its own: let x = …, or a loop: for x in xs { … }",
            )
