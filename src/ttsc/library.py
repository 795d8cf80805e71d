"""Where `use` finds files: the standard library, and the folder of the program that is compiled.

`use std.answers (boxed)` is `stdlib/tools/answers.tts`. `use lib.scoring (grade)` is `lib/scoring.tts` below the folder
of the file that says so, and nothing outside of it: no absolute path, no `..`, no symbolic link that leads out.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from ttsc import stdlib
from ttsc.errors import Problem, UsageError, did_you_mean
from ttsc.grammar.source import Source

PREFIX = stdlib.ROOT + ":"
"""`std:name` names a file of the standard library wherever a file is expected."""

TASK = "task"
"""The name of what a task stands in for: `std.task`."""


class FileLibrary:
    """Resolves `use` for one program. `root` is its folder; without one (a text, the library itself) only `std` is
    known. `task` stands in for `std.task`; it may be a file from elsewhere, and use files below its own folder.
    """

    def __init__(self, root: Path | None = None, task: Source | None = None) -> None:
        self._root = None if root is None else root.resolve()
        self._task = task
        own = task is not None and not task.path.startswith((PREFIX, "<"))
        self._task_root = Path(task.path).parent.resolve() if own and task is not None else None

    @property
    def task(self) -> Source | None:
        """What stands in for `std.task`, or None."""
        return self._task

    def find(self, path: tuple[str, ...], user: Source) -> Source | None:
        """The source that a `use` path names in the file `user`, or None."""
        if not path or not all(part.isidentifier() for part in path):
            return None
        if path[0] == stdlib.ROOT:
            return _std(path[1]) if len(path) == 2 else None
        roots = [root for root in (self._root, self._task_root) if root is not None]
        if not roots or user.path.startswith((PREFIX, "<")):
            return None
        folder = Path(user.path).parent
        file = folder.joinpath(*path[:-1], path[-1] + ".tts")
        real = file.resolve()
        inside = real.is_relative_to(folder.resolve()) and any(real.is_relative_to(root) for root in roots)
        if not inside or not real.is_file():
            return None
        found = _read(file)
        return _source(found.path, found.text)

    def names(self) -> tuple[str, ...]:
        """Dotted names that `find` knows, for suggestions."""
        near = () if self._root is None else tuple(sorted(file.stem for file in self._root.glob("*.tts")))
        return (*(f"{stdlib.ROOT}.{name}" for name in stdlib.names()), *near)


def open_source(file: str | Path, task: str | Path | None = None) -> tuple[Source, FileLibrary]:
    """A file (or `std:name`) as a source, and the library for what it uses, with `task` as `read_task` takes it.

    Raises `UsageError` (E0509).
    """
    given = read_task(task)
    if isinstance(file, str) and file.startswith(PREFIX):
        return _named(file), FileLibrary(None, given)
    path = Path(file)
    return _read(path), FileLibrary(path.parent, given)


def every_file(files: Iterable[str]) -> list[str]:
    """The files, with all of the library's in the place of `std:`; each once."""
    library = [PREFIX + name for name in stdlib.names()]
    return list(dict.fromkeys(each for file in files for each in (library if file == PREFIX else [file])))


def read_task(task: str | Path | None) -> Source | None:
    """What stands in for `std.task`: a file, `std:name`, or a text; None for `std.task` itself. Raises `UsageError`
    (E0509).
    """
    if task is None or task == f"{PREFIX}{TASK}":
        return None
    if isinstance(task, str) and task.startswith(PREFIX):
        return _named(task)
    if isinstance(task, str) and is_text(task):
        return Source("<task>", task)
    return _read(Path(task))


def _named(file: str) -> Source:
    name = file.removeprefix(PREFIX)
    source = _std(name)
    if source is None:
        hint = did_you_mean(name, stdlib.names(), "see `ttsc list`")
        raise UsageError(Problem("E0509", f"the standard library has no '{name}'", hint))
    return source


def is_text(path_or_source: str) -> bool:
    """Whether a string is a program's text rather than the name of a file."""
    return "\n" in path_or_source or "{" in path_or_source


def _std(name: str) -> Source | None:
    text = stdlib.text(name)
    return None if text is None else _source(PREFIX + name, text)


@lru_cache(maxsize=128)
def _source(path: str, text: str) -> Source:
    """One `Source` for one text of a library, so that what is known of it is found again."""
    return Source(path, text)


def _read(path: Path) -> Source:
    try:
        return Source(str(path), path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        siblings = [str(file) for file in path.parent.glob("*.tts")] if path.parent.is_dir() else []
        hint = did_you_mean(str(path), siblings, "`ttsc list` shows the programs at hand")
        raise UsageError(Problem("E0509", f"there is no file '{path}'", hint)) from None
    except IsADirectoryError:
        raise UsageError(Problem("E0509", f"'{path}' is a folder", "name one of its .tts files")) from None
    except UnicodeDecodeError as error:
        hint = f"byte {error.start} isn't; is it another kind of file?"
        raise UsageError(Problem("E0509", f"'{path}' is not UTF-8 text", hint)) from None
    except OSError as error:
        raise UsageError(Problem("E0509", f"can't read '{path}': {error.strerror or error}", "")) from None
