"""Profiles on disk."""

from __future__ import annotations

from pathlib import Path

from ttsc.compiler.cost.profile import Profile, ProfileUnreadable, profile_text, read_profile
from ttsc.errors import Problem, UsageError

_AGAIN = "`ttsc engine profile -o FILE` measures an engine and writes one"


def load_profile(path: str | Path) -> Profile:
    """The profile in a file. Raises `UsageError`: E0509 without the file, E0570 if it is no profile."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(Problem("E0509", f"cannot read {path}: {reason}", _AGAIN)) from error
    try:
        return read_profile(text)
    except ProfileUnreadable as error:
        raise UsageError(Problem("E0570", f"{path} is no profile: {error.message}", _AGAIN)) from error


def save_profile(path: str | Path, profile: Profile) -> None:
    """Write it. Raises `UsageError` (E0509) where it can't."""
    try:
        Path(path).write_text(profile_text(profile), encoding="utf-8", newline="\n")
    except OSError as error:
        raise UsageError(Problem("E0509", f"cannot write {path}: {error.strerror}", "choose another file")) from error
