"""The journal's file: how it is opened, read and written. The only module that speaks to SQLite, beside salvage."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..gateway.errors import SetupError
from . import tables
from .errors import JournalDamaged, JournalError
from .place import require_own_disk, unusable

Row = Any
"""A row by column name; plain values inside."""

_WRITER_WAITS_SECONDS = 20.0
_READER_WAITS_SECONDS = 5.0


class Database:
    """One connection for all threads of a process. What SQLite raises leaves it as JournalError.

    WAL with `synchronous=FULL`: what was committed survives a power cut. Raises SetupError for a file of a newer
    version, one on a network drive and one that cannot be opened, JournalDamaged for a damaged one.
    """

    def __init__(self, path: Path) -> None:
        require_own_disk(path.parent)
        self._lock = threading.RLock()
        try:
            with _told():
                self._connection = _open(path)
        except JournalDamaged:
            raise
        except JournalError as problem:
            raise unusable(path, problem.__cause__ or problem) from None

    def select(self, statement: str, values: Sequence[object] | dict[str, object] = ()) -> list[Row]:
        """All rows of a question."""
        with self._lock, _told():
            return self._connection.execute(statement, values).fetchall()

    def execute(self, statement: str, values: Sequence[object] = ()) -> int:
        """Change something, inside `transaction`; gives the id of a row that was inserted."""
        with self._lock, _told():
            return int(self._connection.execute(statement, values).lastrowid or 0)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and no other process in between."""
        with self._lock, _told():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                # A full disk has rolled back already; a second rollback would fail and hide why.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        with self._lock, _told():
            self._connection.close()


class Reader:
    """The file as it is, never written: in WAL mode that neither waits for a writer nor holds one up."""

    def __init__(self, path: Path) -> None:
        address = path.absolute().as_uri() + "?mode=ro"
        with _told():
            self._connection = sqlite3.connect(address, uri=True, timeout=_READER_WAITS_SECONDS, isolation_level=None)
            self._connection.row_factory = sqlite3.Row

    def select(self, statement: str, values: Sequence[object] | dict[str, object] = ()) -> list[Row]:
        """All rows of a question."""
        with _told():
            return self._connection.execute(statement, values).fetchall()

    def close(self) -> None:
        self._connection.close()


Select = Callable[..., list[Row]]
"""`Database.select` or `Reader.select`."""


def marks(values: Collection[object]) -> str:
    """Placeholders for that many values."""
    return ",".join("?" * len(values))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as problem:
        # A malformed file is told by the bare class; its children are locks, full disks and mistakes.
        kind = JournalDamaged if type(problem) is sqlite3.DatabaseError else JournalError
        raise kind(str(problem)) from problem


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_WRITER_WAITS_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise sqlite3.OperationalError(f"the journal mode stays {mode}")
        connection.execute("PRAGMA synchronous = FULL")
        # Before anything is written: a damaged file is kept as it was found.
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(tables.MIGRATIONS):
        connection.execute("ROLLBACK")
        raise SetupError(
            f"The journal {path} was written by a newer version of API Mall Video",
            advice="Update the pack; its jobs stay as they are.",
        )
    for number, script in enumerate(tables.MIGRATIONS[version:], version + 1):
        for statement in tables.statements(script):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
    connection.execute("COMMIT")
