"""The gateway's memory: tasks, charges and uploads, as JSON lines that are on disk before a reply leaves.

Several servers may share a folder (two ComfyUI processes of one user): whoever opens the ledger holds the file's lock
and has read what the others wrote.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

log = logging.getLogger("apimall_video.rehearsal")


@dataclass(frozen=True)
class Fate:
    """How a task is bound to fail: `refund` is all, part, later (all of it, one look late) or none."""

    refund: str
    message: str
    message_field: str = "error_message"


@dataclass(frozen=True)
class Task:
    """An accepted and charged task. Times are seconds of the server's clock; `media` are the URLs as they were sent."""

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
    fate: Fate | None = None
    status: str = "running"
    ended_at: float | None = None
    error: str | None = None
    message_field: str = "error_message"
    credits_refunded: int = 0
    refund_due: int = 0
    seen_failed: bool = False

    @property
    def running(self) -> bool:
        return self.status == "running"


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


class Book:
    """The ledger's content while it is open; every change goes through `write`."""

    def __init__(self, credits: int) -> None:
        self.granted = credits
        self.tasks: dict[str, Task] = {}
        self.uploads: dict[str, Upload] = {}
        self.pending: list[dict[str, Any]] = []
        self._by_key: dict[tuple[str, str], str] = {}
        self._token_of: dict[str, str] = {}
        self._net_charges: dict[str, int] = {}
        self._running: dict[str, set[str]] = {}
        self._takes: dict[str, int] = {}

    def credits(self, account: str) -> int:
        """What an account has left."""
        return self.granted - self._net_charges.get(account, 0)

    def running(self, account: str) -> list[Task]:
        return [self.tasks[task_id] for task_id in sorted(self._running.get(account, ()))]

    def unfinished(self) -> list[Task]:
        return [self.tasks[task_id] for group in self._running.values() for task_id in sorted(group)]

    def task_with_key(self, account: str, key: str | None) -> Task | None:
        task_id = self._by_key.get((account, key or ""))
        return self.tasks[task_id] if key and task_id else None

    def upload_with_key(self, key: str) -> Upload | None:
        token = self._token_of.get(key)
        return self.uploads[token] if token else None

    def takes(self, asked_scene: str) -> int:
        """How many tasks that did not fail have asked for this very scene."""
        return self._takes.get(asked_scene, 0)

    def write(self, row: Task | Upload) -> None:
        """Adds a task or an upload, or replaces the one with the same id."""
        what = "task" if isinstance(row, Task) else "upload"
        self._record({"what": what, **asdict(row)})

    def grant(self, credits: int) -> None:
        """Adds credits to every account."""
        self._record({"what": "grant", "credits": credits})

    def end(self, task: Task, at: float, fate: Fate | None) -> Task:
        """Ends a running task: completed without a fate, failed and refunded as the fate says."""
        refunds = {"all": task.credits_used, "part": task.credits_used // 2}
        ended = replace(task, status="completed", ended_at=at)
        if fate is not None:
            ended = replace(
                ended,
                status="failed",
                error=fate.message,
                message_field=fate.message_field,
                credits_refunded=refunds.get(fate.refund, 0),
                refund_due=task.credits_used if fate.refund == "later" else 0,
            )
        self.write(ended)
        return ended

    def look_at_failed(self, task: Task) -> Task:
        """Posts a late refund, from the second look on."""
        if task.status != "failed" or not task.refund_due:
            return task
        due = task.refund_due
        posted = replace(task, credits_refunded=due, refund_due=0)
        looked = posted if task.seen_failed else replace(task, seen_failed=True)
        self.write(looked)
        return looked

    def _record(self, event: dict[str, Any]) -> None:
        self.pending.append(event)
        self.apply(event)

    def apply(self, event: Mapping[str, Any]) -> None:
        """Takes over one line of the file."""
        fields = {name: value for name, value in event.items() if name != "what"}
        if event["what"] == "grant":
            self.granted += int(fields["credits"])
        elif event["what"] == "upload":
            upload = Upload(**fields)
            self.uploads[upload.token] = upload
            self._token_of[upload.key] = upload.token
        elif event["what"] == "task":
            fate = fields.pop("fate", None)
            self._apply_task(Task(**{**fields, "media": tuple(fields["media"])}, fate=Fate(**fate) if fate else None))

    def _apply_task(self, task: Task) -> None:
        before = self.tasks.get(task.task_id)
        self.tasks[task.task_id] = task
        if task.idempotency_key:
            self._by_key[(task.account, task.idempotency_key)] = task.task_id
        was = before.credits_used - before.credits_refunded if before else 0
        change = task.credits_used - task.credits_refunded - was
        self._net_charges[task.account] = self._net_charges.get(task.account, 0) + change
        group = self._running.setdefault(task.account, set())
        (group.add if task.running else group.discard)(task.task_id)
        counted_before = before is not None and before.status != "failed"
        self._takes[task.scene] = self._takes.get(task.scene, 0) + (task.status != "failed") - counted_before


class Ledger:
    """The durable file. `with ledger.open() as book` is one transaction: read, decide, write, synced at the end."""

    def __init__(self, folder: Path, credits: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "ledger.jsonl"
        self._lock_path = folder / "ledger.lock"
        self._threads = threading.RLock()
        self._credits = credits
        self._book = Book(credits)
        self._read_to = 0

    @contextmanager
    def open(self) -> Iterator[Book]:
        """The book, locked against other threads and processes; what was written is on disk when the block is left."""
        with self._threads, _locked(self._lock_path), self._path.open("a+b") as file:
            self._catch_up(file)
            try:
                yield self._book
            finally:
                self._flush(file)

    def _catch_up(self, file: IO[bytes]) -> None:
        if os.fstat(file.fileno()).st_size < self._read_to:
            # Somebody emptied the folder to begin anew.
            self._book, self._read_to = Book(self._credits), 0
        file.seek(self._read_to)
        news = file.read()
        whole = news.rfind(b"\n") + 1
        if whole < len(news):
            # A process died while it wrote: nothing was answered from that half line, so it never happened.
            file.truncate(self._read_to + whole)
        for line in news[:whole].splitlines():
            try:
                self._book.apply(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError):
                log.warning("a line of the rehearsal ledger could not be read and is skipped")
        self._read_to += whole

    def _flush(self, file: IO[bytes]) -> None:
        if not self._book.pending:
            return
        lines = b"".join(json.dumps(event).encode() + b"\n" for event in self._book.pending)
        self._book.pending = []
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())
        self._read_to += len(lines)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a+b") as file:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
            try:
                yield
            finally:
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        else:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            yield
