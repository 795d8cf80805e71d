"""What is shown while an engine starts: one line that moves on a terminal, plain lines elsewhere; always on standard
error.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

import click


class EngineProgress:
    """Shows `update`d messages with the seconds since it was entered. Without messages it shows nothing."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._live = sys.stderr.isatty()
        self._shown = ""

    def __enter__(self) -> Self:
        self._start = time.monotonic()
        return self

    def update(self, message: str) -> None:
        """Show what is going on now. May be called from any thread."""
        if message == self._shown:
            return
        self._shown = message
        elapsed = f"{time.monotonic() - self._start:5.1f} s"
        if self._live:
            click.echo(f"\r\x1b[2Kengine  {elapsed}  {message[:100]}", nl=False, err=True)
        else:
            click.echo(f"engine  {elapsed}  {message}", err=True)

    def done(self) -> None:
        """Clear the line: the engine is there."""
        if self._live and self._shown:
            click.echo("\r\x1b[2K", nl=False, err=True)
        self._shown = ""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.done()
