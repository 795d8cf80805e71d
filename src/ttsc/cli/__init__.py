"""The `ttsc` command."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

_COLLECT_AFTER = (50_000, 20, 20)
"""Importing and compiling make many objects that stay. With Python's own thresholds (700, 10, 10) a short command
spends a sixth of its time on looking for garbage among them.
"""


def main(args: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code (see `ttsc --help`). Never shows a traceback."""
    gc.set_threshold(*_COLLECT_AFTER)
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
