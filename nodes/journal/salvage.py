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

_ENDINGS = ("", "-wal")
_PINNED = ("account", "identity", "idempotency_key", "state", "charge")
"""A row without these as text cannot keep its job from being paid again."""


def readable_jobs(damaged: Path) -> list[dict[str, object]]:
    """The rows of `jobs` that a damaged journal still gives out, by column name; the file itself is not touched."""
    with tempfile.TemporaryDirectory(prefix="salvage-", dir=damaged.parent) as folder:
        copy = Path(folder) / "journal.sqlite3"
        for ending in _ENDINGS:
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(damaged.with_name(damaged.name + ending), copy.with_name(copy.name + ending))
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            connection.row_factory = sqlite3.Row
            # From both ends, so that one bad page in the middle hides nothing on either side of it.
            found = {row["id"]: row for order in ("DESC", "ASC") for row in _rows(connection, order)}
    return [found[key] for key in sorted(found, key=str) if _is_whole(found[key])]


def _rows(connection: sqlite3.Connection, order: str) -> Iterator[dict[str, object]]:
    with contextlib.suppress(sqlite3.Error):
        for row in connection.execute(f"SELECT * FROM jobs ORDER BY id {order}"):
            yield dict(row)


def _is_whole(row: Mapping[str, object]) -> bool:
    return isinstance(row["id"], int) and all(isinstance(row.get(name), str) for name in _PINNED)


def set_aside(path: Path, now: float) -> Path:
    """Rename a damaged journal, with what belongs to it, so that a new one can begin; gives its new name."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    kept = path.with_name(f"{path.stem}-damaged-{stamp}-{uuid.uuid4().hex[:6]}{path.suffix}")
    for ending in ("", "-wal", "-shm"):
        part = path.with_name(path.name + ending)
        if part.exists():
            part.rename(kept.with_name(kept.name + ending))
    return kept
