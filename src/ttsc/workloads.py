"""Workload files on disk: read for the simulator, explain and plan; written by calibrate."""

from __future__ import annotations

from pathlib import Path

from ttsc.compiler.cost.workload import Workload
from ttsc.compiler.cost.workload_file import WorkloadInvalid, parse_workload, workload_text
from ttsc.errors import Problem, UsageError


def read_workload(path: Path | str) -> Workload:
    """Raises `UsageError`: E0550 if the file can't be read, E0551 with everything that is wrong in it."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        hint = "give the name of a TOML file: one that `ttsc calibrate` wrote, or one of your own"
        raise UsageError(Problem("E0550", f"the workload {path} can't be read: {reason}", hint)) from None
    try:
        return parse_workload(text, path.stem)
    except WorkloadInvalid as error:
        raise UsageError(
            *(Problem("E0551", f"{path}: {each.place}: {each.message}", each.hint) for each in error.faults)
        ) from None


def write_workload(workload: Workload, path: Path | str) -> None:
    """Raises `UsageError` E0550 if it can't be written."""
    try:
        Path(path).write_text(workload_text(workload), encoding="utf-8")
    except OSError as error:
        problem = Problem("E0550", f"the workload can't be written to {path}: {error.strerror}", "give another file")
        raise UsageError(problem) from None
