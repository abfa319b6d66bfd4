"""What can still be read of a damaged journal: a paid job that is forgotten would be paid again."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from . import migrations
from .rows import State

_ENDINGS = ("", "-wal")
_PINNED = ("account", "identity", "idempotency_key")
"""A row without these as text cannot keep its job from being paid again."""
_WITH_JOBS = ("deliveries", "accounts", "strangers")
"""Small tables that go along as far as they can be read."""


def set_aside(path: Path, now: float) -> Path:
    """Rename a damaged journal, with what belongs to it, so that a new one can begin; gives its new name."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    kept = path.with_name(f"{path.stem}-damaged-{stamp}-{uuid.uuid4().hex[:6]}{path.suffix}")
    for ending in ("", "-wal", "-shm"):
        part = path.with_name(path.name + ending)
        if part.exists():
            part.rename(kept.with_name(kept.name + ending))
    return kept


def rebuild(damaged: Path, path: Path) -> int:
    """Begin a new journal at `path`, of the version that the damaged one had, with what can still be read of it.

    Gives how many jobs that are. The damaged file itself is not touched.
    """
    with _copied(damaged) as old, contextlib.closing(sqlite3.connect(path)) as new:
        version = _version(old)
        for script in migrations.SQLITE[:version]:
            for statement in migrations.statements(script):
                new.execute(statement)
        new.execute(f"PRAGMA user_version = {version}")
        # From both ends, so that one bad page in the middle hides nothing on either side of it.
        found = {row["id"]: row for order in ("DESC", "ASC") for row in _rows(old, f"jobs ORDER BY id {order}")}
        jobs = sum(_insert(new, "jobs", found[key]) for key in sorted(found, key=str) if _is_whole(found[key]))
        for table in _WITH_JOBS:
            for row in _rows(old, table):
                _insert(new, table, row)
        new.commit()
    return jobs


@contextlib.contextmanager
def _copied(damaged: Path) -> Iterator[sqlite3.Connection]:
    with tempfile.TemporaryDirectory(prefix="salvage-", dir=damaged.parent) as folder:
        copy = Path(folder) / "journal.sqlite3"
        for ending in _ENDINGS:
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(damaged.with_name(damaged.name + ending), copy.with_name(copy.name + ending))
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            connection.row_factory = sqlite3.Row
            # A table whose description can be read is read even where another's cannot.
            connection.execute("PRAGMA writable_schema = ON")
            yield connection


def _version(connection: sqlite3.Connection) -> int:
    newest = len(migrations.SQLITE)
    with contextlib.suppress(sqlite3.Error):
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        return version if 0 < version < newest else newest
    return newest


def _rows(connection: sqlite3.Connection, source: str) -> Iterator[dict[str, object]]:
    with contextlib.suppress(sqlite3.Error):
        for row in connection.execute(f"SELECT * FROM {source}"):
            yield dict(row)


def _insert(connection: sqlite3.Connection, table: str, row: Mapping[str, object]) -> int:
    marks = ",".join("?" * len(row))
    with contextlib.suppress(sqlite3.Error):
        return connection.execute(
            f"INSERT INTO {table} ({','.join(row)}) VALUES ({marks})", tuple(row.values())
        ).rowcount
    return 0


def _is_whole(row: Mapping[str, object]) -> bool:
    known = row.get("state") in (*State, "delivered")
    return known and isinstance(row["id"], int) and all(isinstance(row.get(name), str) for name in _PINNED)
