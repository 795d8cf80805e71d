"""`ttsc doctor`: what is installed, which devices there are, what is missing and how to get it."""

from __future__ import annotations

import click

from ttsc.cli.exit_codes import DONE


@click.command(short_help="Say what is installed, what is missing and how to get it.")
@click.option("--engine", "url", metavar="URL", help="Look at this engine as well.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def doctor(url: str | None, as_json: bool) -> int:
    """Look at this machine: Python packages, devices, models, engines; say what is missing and how to get it."""
    return DONE
