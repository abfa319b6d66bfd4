"""What all processes that share a journal have asked of the gateway lately, in a small file beside it.

Nothing in it is worth a wait for the disk: whoever loses it begins with full buckets. So it is a file of its own, never
synced.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

_log = logging.getLogger("apimall_video.jobs")

_WAITS_SECONDS = 2.0
_TABLE = (
    "CREATE TABLE IF NOT EXISTS tokens (account TEXT NOT NULL, bucket TEXT NOT NULL, remaining REAL NOT NULL,"
    " since REAL NOT NULL, PRIMARY KEY (account, bucket))"
)

T = TypeVar("T")


@dataclass(frozen=True)
class Tokens:
    """Requests that might go out at the moment `since` (monotonic seconds of this machine); below 0: debts."""

    left: float
    since: float


Change = Callable[[dict[str, Tokens]], T]
"""Reads and changes the tokens of an account, by the name of their bucket."""


class TokenStore(Protocol):
    """Lets one after the other change the tokens, and keeps what it changed."""

    def change(self, account: str, how: Change[T]) -> T:
        """One change. Raises JournalError where nobody can say what the others did: then nothing may go out."""

    def close(self) -> None:
        """Nothing more goes out."""


class OwnTokens:
    """The tokens of a process that shares them with no other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accounts: dict[str, dict[str, Tokens]] = {}

    def change(self, account: str, how: Change[T]) -> T:
        """One change."""
        with self._lock:
            return how(self._accounts.setdefault(account, {}))

    def close(self) -> None:
        """There is nothing to close."""


class TokenFile:
    """The tokens of all processes that name the same file. Where it cannot be used no job waits for it: the process has
    tokens of its own then.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._own: OwnTokens | None = None

    def change(self, account: str, how: Change[T]) -> T:
        """One change, among all threads and processes."""
        with self._lock:
            if self._own is None:
                try:
                    return self._change(account, how)
                except (sqlite3.Error, OSError) as problem:
                    _log.warning("the budget of requests is not shared with other processes: %s", problem)
                    self._own = OwnTokens()
        return self._own.change(account, how)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _change(self, account: str, how: Change[T]) -> T:
        connection = self._connection = self._connection or self._open()
        connection.execute("BEGIN IMMEDIATE")
        try:
            rows = connection.execute("SELECT bucket, remaining, since FROM tokens WHERE account = ?", (account,))
            tokens = {bucket: Tokens(left, since) for bucket, left, since in rows}
            before = dict(tokens)
            result = how(tokens)
            changed = [
                (account, name, each.left, each.since) for name, each in tokens.items() if before.get(name) != each
            ]
            connection.executemany("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?)", changed)
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        return result

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=_WAITS_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA journal_mode = MEMORY")
            connection.execute(_TABLE)
        except BaseException:
            connection.close()
            raise
        return connection
