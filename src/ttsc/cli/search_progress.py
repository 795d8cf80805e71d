"""What is shown while settings are simulated for more than a few seconds: a line on standard error that moves on a
terminal, now and then a plain line elsewhere.
"""

from __future__ import annotations

import sys
import time

import click

_AFTER_S = 3.0
_EVERY_S = 10.0


class SearchProgress:
    """Counts simulations from when it is made, and shows them from the third second on."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._live = sys.stderr.isatty()
        self._next = _AFTER_S
        self._simulations = 0
        self._requests = 0.0

    def report(self, requests: float) -> None:
        """One more simulation, of so many requests."""
        self._simulations += 1
        self._requests += requests
        elapsed = time.monotonic() - self._start
        if elapsed < self._next:
            return
        self._next = elapsed + (0.2 if self._live else _EVERY_S)
        said = f"plan  {elapsed:5.1f} s  {self._simulations} simulations of {self._requests:,.0f} requests"
        if self._live:
            click.echo(f"\r\x1b[2K{said}", nl=False, err=True)
        else:
            click.echo(said, err=True)

    def done(self) -> None:
        """Clear the line."""
        if self._live and self._next > _AFTER_S:
            click.echo("\r\x1b[2K", nl=False, err=True)
