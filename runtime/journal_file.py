"""The file of a journal: an SQLite database that one process holds, written by one thread.

Writes are handed over and committed together a moment later, so that nothing on the event loop waits for the disk. A
commit is in the file when it returns: a process that is killed loses what was handed over in the last moment, and
never more, and what is there is whole (write-ahead log). The database is locked for others as long as it is open.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ttsc.runtime.outside import outside

APPLICATION = 0x74747363
"""`ttsc`, in the database's header."""
SCHEMA = 2
GATHER_S = 0.02
"""How long a write may wait for others to be committed with it, unless somebody waits for it."""
MOST_BEHIND = 16
"""Statements handed over and not yet taken up at which the event loop commits them itself. While it is busy the
writer's thread gets its turn only every few milliseconds, and what is not committed is lost when the process is killed.
"""

_TABLES = """
CREATE TABLE header (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE inputs (input INTEGER PRIMARY KEY, digest TEXT NOT NULL, seed INTEGER NOT NULL, state TEXT NOT NULL,
                     result TEXT, stores TEXT);
CREATE TABLE answers (input INTEGER, site TEXT, prompt TEXT NOT NULL, body TEXT NOT NULL, tokens INTEGER NOT NULL,
                      spent INTEGER NOT NULL, priced TEXT NOT NULL, calls INTEGER NOT NULL,
                      elapsed_s REAL NOT NULL,
                      PRIMARY KEY (input, site)) WITHOUT ROWID;
CREATE TABLE calls (input INTEGER, site TEXT, name TEXT NOT NULL, arguments TEXT NOT NULL, body TEXT,
                    PRIMARY KEY (input, site)) WITHOUT ROWID;
"""

Row = tuple[Any, ...]
Statement = tuple[str, Sequence[Any]]


class JournalRefused(Exception):
    """The file can't be used as this run's journal. `hint`: a way out."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class JournalFile:
    """The open database. `new`: it holds nothing yet."""

    def __init__(self, path: Path, *, create: bool = True) -> None:
        """Open and lock it. Raises `JournalRefused`: no journal, of another version, held by another process."""
        self.path = path
        if not create and not path.is_file():
            raise JournalRefused(f"there is no journal '{path}'", "name the file that `ttsc run --journal` wrote")
        try:
            self._database = sqlite3.connect(path, timeout=0, check_same_thread=False, isolation_level=None)
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        try:
            self.new = self._prepare()
        except sqlite3.Error as error:
            self._database.close()
            raise self._unusable(error) from error
        except JournalRefused:
            self._database.close()
            raise
        self._lock = threading.Lock()
        self._file = threading.Lock()
        """Held while a batch is taken and committed, so that batches are committed in order."""
        self._handed: list[Statement] = []
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._something = threading.Event()
        self._urgent = threading.Event()
        self._closing = False
        self.error: JournalRefused | None = None
        """Why nothing can be written any more."""
        self._writer = threading.Thread(target=self._write, name="ttsc-journal", daemon=True)
        self._writer.start()

    def _prepare(self) -> bool:
        run = self._database.execute
        run("PRAGMA locking_mode=EXCLUSIVE")
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=NORMAL")
        run("BEGIN IMMEDIATE")
        try:
            (application,), (version,) = run("PRAGMA application_id").fetchone(), run("PRAGMA user_version").fetchone()
            (tables,) = run("SELECT count(*) FROM sqlite_master").fetchone()
            if tables and application != APPLICATION:
                raise JournalRefused(f"'{self.path}' is another program's database", "name another file")
            if tables and version != SCHEMA:
                raise JournalRefused(
                    f"'{self.path}' is a journal of format {version}, and this ttsc writes format {SCHEMA}",
                    "resume it with the ttsc that began it, or name another file",
                )
            if not tables:
                for statement in filter(str.strip, _TABLES.split(";")):
                    run(statement)
                run(f"PRAGMA application_id={APPLICATION}")
                run(f"PRAGMA user_version={SCHEMA}")
            run("COMMIT")
        except BaseException:
            run("ROLLBACK")
            raise
        return not tables

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Row]:
        """What a query finds, of what has been committed."""
        return self._database.execute(query, values).fetchall()

    def hand(self, *statements: Statement) -> None:
        """Have statements committed soon, all of them together."""
        if self.error is not None:
            return
        with self._lock:
            self._handed += statements
            behind = len(self._handed)
        if behind >= MOST_BEHIND:
            self._save()
        else:
            self._something.set()

    async def flush(self) -> None:
        """Until everything handed over is in the file. Raises `JournalRefused` if it can't be written."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        with self._lock:
            self._waiting.append((loop, done))
        self._urgent.set()
        self._something.set()
        with outside():
            await done
        self.check()

    def check(self) -> None:
        """Raise why nothing can be written any more, if so."""
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Commit what was handed over, and let go of the file."""
        self._closing = True
        self._urgent.set()
        self._something.set()
        self._writer.join()
        self._database.close()

    def _write(self) -> None:
        while True:
            self._something.wait()
            self._urgent.wait(GATHER_S)
            self._something.clear()
            self._urgent.clear()
            closing = self._closing
            with self._lock:
                waiting, self._waiting = self._waiting, []
            self._save()
            for loop, done in waiting:
                _tell(loop, done)
            if closing:
                return

    def _save(self) -> None:
        """Commit what was handed over, together."""
        with self._file:
            with self._lock:
                handed, self._handed = self._handed, []
            if handed and self.error is None:
                try:
                    self._commit(handed)
                except sqlite3.Error as error:
                    self.error = self._unusable(error)

    def _commit(self, statements: Sequence[Statement]) -> None:
        self._database.execute("BEGIN")
        try:
            for statement, values in statements:
                self._database.execute(statement, [each() if callable(each) else each for each in values])
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def _unusable(self, error: sqlite3.Error) -> JournalRefused:
        said = str(error)
        if "locked" in said:
            hint = "wait until it has ended, or name another file"
            return JournalRefused(f"the journal '{self.path}' is in use by another run", hint)
        if "not a database" in said:
            return JournalRefused(f"'{self.path}' is no journal", "name another file")
        return JournalRefused(f"the journal '{self.path}' can't be used: {said}", "name a file that can be written")


def _tell(loop: asyncio.AbstractEventLoop, done: asyncio.Future[None]) -> None:
    def settle() -> None:
        if not done.done():
            done.set_result(None)

    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:  # the loop has ended: nobody waits any more
        return
