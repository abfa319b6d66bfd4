"""The journal's file: how it is opened, to write and to read."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ..gateway.errors import SetupError
from . import tables
from .place import require_own_disk, unusable

JournalError = sqlite3.Error
"""What the verbs and reads raise when the file cannot be read or written."""

_WRITER_WAITS_SECONDS = 20.0
_READER_WAITS_SECONDS = 5.0


def open_database(path: Path) -> sqlite3.Connection:
    """The file, sound and of this version. Raises SetupError for a newer one, one on a network drive and one that
    cannot be opened, sqlite3.DatabaseError for a damaged one.

    WAL with `synchronous=FULL`: what was committed survives a power cut.
    """
    require_own_disk(path.parent)
    try:
        return _open(path)
    except sqlite3.OperationalError as problem:
        raise unusable(path, problem) from None


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


def open_to_read(path: Path) -> sqlite3.Connection:
    """The file as it is, never written: in WAL mode that neither waits for a writer nor holds one up."""
    address = path.absolute().as_uri() + "?mode=ro"
    connection = sqlite3.connect(address, uri=True, timeout=_READER_WAITS_SECONDS, isolation_level=None)
    connection.row_factory = sqlite3.Row
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
        for statement in script.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
    connection.execute("COMMIT")
