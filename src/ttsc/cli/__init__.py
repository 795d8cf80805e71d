"""The `ttsc` command."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code (see `ttsc --help`). Never shows a traceback."""
    sys.exit(run(args))


def run(args: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    from ttsc.cli.app import app
    from ttsc.cli.exit_codes import DONE, report

    try:
        result = app.main(args=None if args is None else list(args), prog_name="ttsc", standalone_mode=False)
    except BaseException as error:
        if isinstance(error, SystemExit | GeneratorExit):
            raise
        return report(error)
    return result if isinstance(result, int) else DONE
