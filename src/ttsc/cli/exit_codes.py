"""Exit codes of `ttsc`, and how an error becomes one. No traceback leaves this module."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click

DONE = 0
FAILED = 1
USAGE = 2
PROGRAM_HAS_ERRORS = 3
BUDGET_CUT = 4
ENGINE_UNAVAILABLE = 5
INTERNAL = 70
INTERRUPTED = 130
TERMINATED = 143

EPILOG = (
    "Exit codes: 0 done, 1 run failed, 2 usage, 3 program has errors, 4 budget cut, 5 engine unavailable "
    "(or model not found), 70 a bug in ttsc, 130 interrupted, 143 terminated."
)


def report(error: BaseException) -> int:
    """Say on standard error what went wrong and what to do, and give the exit code."""
    from ttsc.backends.protocol import EngineError, EngineUnavailable, ModelNotFound
    from ttsc.errors import UsageError
    from ttsc.grammar.diagnostics import CompileError

    match error:
        case click.ClickException():
            error.show()
            return USAGE
        case click.Abort() | KeyboardInterrupt():
            say("interrupted")
            return INTERRUPTED
        case CompileError():
            from ttsc.grammar.render import render_all

            click.echo(render_all(error.diagnostics, color=sys.stderr.isatty()).rstrip("\n"), err=True)
            return PROGRAM_HAS_ERRORS
        case UsageError():
            for problem in error.problems:
                complain(problem.code, problem.message, problem.hint)
            return USAGE
        case EngineError():
            complain(error.code, error.message, error.hint)
            return ENGINE_UNAVAILABLE if isinstance(error, EngineUnavailable | ModelNotFound) else FAILED
        case BrokenPipeError():
            # Whoever read our output has gone: nothing more can be said there, nor does anyone want to hear it.
            sys.stdout = open(os.devnull, "w", encoding="utf-8")
            return DONE
    return _internal(error)


def say(text: str) -> None:
    """One plain line on standard error."""
    click.echo(text, err=True)


def complain(code: str, message: str, hint: str) -> None:
    """One error on standard error, in the shape of the compiler's own messages."""
    click.echo(click.style(f"error[{code}]", fg="red", bold=True) + f": {message}", err=True)
    if hint:
        click.echo(click.style("hint", fg="cyan") + f": {hint}", err=True)


def _internal(error: BaseException) -> int:
    """A bug of ours: the details go to a file, the user gets its path."""
    complain("R0900", f"ttsc itself failed: {type(error).__name__}: {_first_line(error)}", "")
    try:
        say(f"The details are in {_write_report(error)}; please report the bug with that file.")
    except OSError as reason:
        say(f"The details could not be written to a file ({reason}).")
    return INTERNAL


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or "no message").splitlines()[0][:200]


def _write_report(error: BaseException) -> Path:
    import platform
    import traceback

    import platformdirs

    from ttsc import __version__

    override = os.environ.get("TTSC_STATE_DIR")
    folder = Path(override or platformdirs.user_state_dir("ttsc", appauthor=False)) / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    head = f"ttsc {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}\n"
    command = f"command: ttsc {' '.join(sys.argv[1:])}\n\n"
    path.write_text(head + command + "".join(traceback.format_exception(error)), encoding="utf-8")
    return path
