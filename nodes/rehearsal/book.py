"""The gateway's own book: tasks, charges, refunds and uploads, in one SQLite file.

Several servers may share it (two ComfyUI processes of one user): `with book.open() as page` is one transaction, alone
among threads and processes, and outlives this process when it is left.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path

FILE = "book.sqlite3"
BUSY_SECONDS = 30.0
SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS entries (at REAL, account TEXT, what TEXT, credits INTEGER, task_id TEXT, key TEXT);
CREATE INDEX IF NOT EXISTS entries_of_task ON entries (task_id);
CREATE TABLE IF NOT EXISTS tasks (
    task_id TEXT PRIMARY KEY, account TEXT, key TEXT, scene TEXT, status TEXT, document TEXT, UNIQUE (account, key)
);
CREATE INDEX IF NOT EXISTS tasks_of_scene ON tasks (scene);
CREATE INDEX IF NOT EXISTS tasks_by_status ON tasks (status, account);
CREATE TABLE IF NOT EXISTS uploads (token TEXT PRIMARY KEY, key TEXT, document TEXT);
CREATE INDEX IF NOT EXISTS uploads_of_key ON uploads (key);
COMMIT;
"""
# Only a refund may be due later; a clock that is set back makes no charge undone.
POSTED = "(what != 'refund' OR at <= ?)"
RUNNING, COMPLETED, FAILED = "running", "completed", "failed"
ENDLESS = "endless"
"""The fate of a task that runs for ever."""


class What(str, Enum):
    """What a line of the book is about."""

    GRANT = "grant"
    CHARGE = "charge"
    REFUND = "refund"


@dataclass(frozen=True)
class Entry:
    """A line of the book. A grant is everybody's and has no account; `key` is the task's Idempotency-Key."""

    at: float
    account: str
    what: What
    credits: int
    task_id: str = ""
    key: str | None = None


@dataclass(frozen=True)
class Fate:
    """How a task fails. `refund` is all, part, none, or later: all, posted by the second look at the failed task.

    It is posted `lag_seconds` after the end; until then it is told as 0, or as null where it is `untold`.
    """

    refund: str = "all"
    lag_seconds: float = 0.0
    untold: bool = False

    @staticmethod
    def of(text: str) -> Fate:
        """From words: `all`, `part`, `later`, `all/60`, `all/60/null`. Raises ValueError."""
        refund, lag, untold = (*text.split("/"), "", "")[:3]
        if refund not in ("all", "part", "none", "later") or untold not in ("", "null"):
            raise ValueError(f"{text!r} is no refund: all, part, none or later, then /seconds, then /null.")
        return Fate(refund, float(lag or 0), untold == "null")


@dataclass(frozen=True)
class Task:
    """An accepted and charged task. Times are seconds of the server's clock; `media` are the URLs as they were sent.

    `fate` is None for a task that will be completed, ENDLESS, or how it fails, in the words of `Fate`.
    `busy_until`: until then its Idempotency-Key is answered as one whose first request is still in work.
    """

    task_id: str
    request_id: str
    provider_request_id: str
    account: str
    idempotency_key: str | None
    body_sha256: str
    model: str
    type: str
    prompt: str
    duration: str
    resolution: str
    media: tuple[str, ...]
    scene: str
    variation: int
    credits_used: int
    remaining_credits: int
    beside: int
    created_at: float
    busy_until: float = 0.0
    fate: str | None = None
    status: str = RUNNING
    ended_at: float | None = None
    error: str | None = None
    looked_at: bool = False
    credits_refunded: int = 0

    @property
    def running(self) -> bool:
        return self.status == RUNNING

    @property
    def refund_told(self) -> int | None:
        """The refund as the gateway tells it; null is "not told yet"."""
        waits = self.status == FAILED and not self.credits_refunded and self.fate is not None
        return None if waits and Fate.of(self.fate or "all").untold else self.credits_refunded


@dataclass(frozen=True)
class Upload:
    """An upload, from the moment its address was handed out; `sha256` is None until its bytes are here."""

    token: str
    signature: str
    key: str
    content_type: str
    file_size: int
    expires_at: float
    sha256: str | None = None


class Page:
    """The book while it is open, at the time `now`: refunds that are due later are not in it yet."""

    def __init__(self, connection: sqlite3.Connection, credits: int, now: float) -> None:
        self._connection, self._credits, self.now = connection, credits, now

    def entries(self) -> list[Entry]:
        """Every grant, charge and refund, oldest first."""
        rows = self._connection.execute(f"SELECT * FROM entries WHERE {POSTED} ORDER BY rowid", (self.now,))
        return [Entry(at, account, What(what), *rest) for at, account, what, *rest in rows]

    def credits(self, account: str) -> int:
        """What an account has left."""
        (change,) = self._connection.execute(
            "SELECT COALESCE(SUM(CASE what WHEN 'charge' THEN -credits ELSE credits END), 0) FROM entries"
            f" WHERE {POSTED} AND (account = ? OR what = 'grant')",
            (self.now, account),
        ).fetchone()
        return self._credits + int(change)

    def tasks(self, where: str = "1", *values: str | None) -> list[Task]:
        """Tasks in the order of their creation, with the refunds that have been posted."""
        rows = self._connection.execute(
            "SELECT document, (SELECT COALESCE(SUM(credits), 0) FROM entries WHERE entries.task_id = tasks.task_id"
            f" AND what = 'refund' AND at <= ?) FROM tasks WHERE {where} ORDER BY rowid",
            (self.now, *values),
        )
        return [_task(document, refunded) for document, refunded in rows]

    def task(self, task_id: str) -> Task | None:
        return next(iter(self.tasks("task_id = ?", task_id)), None)

    def task_with_key(self, account: str, key: str | None) -> Task | None:
        return next(iter(self.tasks("account = ? AND key = ?", account, key)), None)

    def running(self, account: str | None = None) -> list[Task]:
        """Unfinished tasks, of one account or of all."""
        if account is None:
            return self.tasks("status = 'running'")
        return self.tasks("status = 'running' AND account = ?", account)

    def takes(self, scene: str) -> int:
        """How many tasks that did not fail have asked for this very scene."""
        query = "SELECT COUNT(*) FROM tasks WHERE scene = ? AND status != 'failed'"
        return int(self._connection.execute(query, (scene,)).fetchone()[0])

    def upload(self, token: str) -> Upload | None:
        return self._upload("token", token)

    def upload_with_key(self, key: str) -> Upload | None:
        """The newest upload that is found under a key."""
        return self._upload("key", key)

    def _upload(self, column: str, value: str) -> Upload | None:
        query = f"SELECT document FROM uploads WHERE {column} = ? ORDER BY rowid DESC LIMIT 1"
        row = self._connection.execute(query, (value,)).fetchone()
        return Upload(**json.loads(row[0])) if row else None

    def grant(self, credits: int) -> None:
        """Adds credits to every account."""
        self._post(Entry(self.now, "", What.GRANT, credits))

    def accept(self, task: Task) -> None:
        """Takes a new task in and charges it."""
        self._write(task)
        self._post(Entry(self.now, task.account, What.CHARGE, task.credits_used, task.task_id, task.idempotency_key))

    def end(self, task: Task, fate: str | None, error: str | None = None) -> Task:
        """Ends a running task: completed without a fate, else failed, and refunded as the fate says."""
        if fate is None:
            return self._write(replace(task, status=COMPLETED, ended_at=self.now))
        how = Fate.of(fate)
        share = {"all": task.credits_used, "part": task.credits_used // 2}.get(how.refund, 0)
        failed = self._write(replace(task, status=FAILED, ended_at=self.now, fate=fate, error=error))
        return self._refund(failed, share, how.lag_seconds)

    def look_at(self, task: Task) -> Task:
        """Notes that a failed task was looked at: the second look posts a refund that is to come later."""
        if task.status != FAILED or task.fate is None or Fate.of(task.fate).refund != "later":
            return task
        if task.looked_at and not task.credits_refunded:
            return self._refund(task, task.credits_used)
        return self._write(replace(task, looked_at=True))

    def write_upload(self, upload: Upload) -> None:
        row = (upload.token, upload.key, json.dumps(asdict(upload)))
        self._connection.execute("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?)", row)

    def _write(self, task: Task) -> Task:
        row = (task.task_id, task.account, task.idempotency_key, task.scene, task.status, json.dumps(asdict(task)))
        self._connection.execute(
            "INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (task_id) DO UPDATE SET status = excluded.status, document = excluded.document",
            row,
        )
        return task

    def _refund(self, task: Task, credits: int, lag_seconds: float = 0.0) -> Task:
        if not credits:
            return task
        due = self.now + lag_seconds
        self._post(Entry(due, task.account, What.REFUND, credits, task.task_id, task.idempotency_key))
        return task if lag_seconds else replace(task, credits_refunded=credits)

    def _post(self, entry: Entry) -> None:
        row = (entry.at, entry.account, entry.what.value, entry.credits, entry.task_id, entry.key)
        self._connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", row)


class Book:
    """The file. `credits` is what every account begins with. Raises OSError when it cannot be used."""

    def __init__(self, folder: Path, credits: int, clock: Callable[[], float]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path, self._credits, self._clock = folder / FILE, credits, clock
        self._alone = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        try:
            with self.open():
                pass
        except sqlite3.DatabaseError as error:
            raise OSError(f"{self._path} cannot be used ({error}); without it the rehearsal begins anew") from error

    @contextmanager
    def open(self) -> Iterator[Page]:
        """One transaction; an exception takes it back."""
        with self._alone:
            connection = self._connect()
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                yield Page(connection, self._credits, self._clock())

    def close(self) -> None:
        """Lets the file go; whoever opens the book again gets it back."""
        with self._alone:
            self._let_go()

    def _connect(self) -> sqlite3.Connection:
        if not self._path.exists():
            # A folder that was emptied is begun anew.
            self._let_go()
        if self._connection is None:
            self._connection = sqlite3.connect(
                self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.executescript(SCHEMA)
        return self._connection

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _task(document: str, refunded: int) -> Task:
    fields = json.loads(document)
    return Task(**{**fields, "media": tuple(fields["media"]), "credits_refunded": refunded})
