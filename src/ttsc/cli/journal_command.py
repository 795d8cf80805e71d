"""`ttsc journal`: what the journal of a run holds."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Show what a journal holds.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--forget", "forgotten", multiple=True, type=click.IntRange(0), metavar="INPUT",
              help="Let this input start over, its calls of environments too. May be given often.")  # fmt: skip
def journal(file: Path, forgotten: tuple[int, ...]) -> int:
    """Show what FILE holds, the journal of `ttsc run --journal`: inputs that ended, failed and are under way.

    Inputs are numbered from 0.
    """
    from ttsc.cli.exit_codes import DONE
    from ttsc.journals import forget, overview

    if forgotten:
        forget(file, forgotten)
    for line in overview(file):
        click.echo(line)
    return DONE
