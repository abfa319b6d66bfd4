"""The journal: every job on disk before it is paid, and after every step that matters.

SQLite in WAL mode with `synchronous=FULL`: a committed row survives a power cut. All writing goes through
short `BEGIN IMMEDIATE` transactions, so that several ComfyUI processes on one folder agree (money rule 4).
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from ..gateway.contract import Accepted, Task
from ..gateway.errors import APIMallError, Charge
from .place import make_folder
from .reads import latest, runs
from .rows import (
    COLUMNS,
    COMPLETED,
    DELIVERED,
    FAILED,
    INTENDED,
    REJECTED,
    RUNNING,
    SENT,
    Delivery,
    Intent,
    Job,
    Kind,
    Run,
    Slots,
)
from .salvage import readable_jobs, set_aside
from .sqlite_file import open_database

_log = logging.getLogger("apimall_video.jobs")


class Journal:
    """The jobs of all accounts of one ComfyUI user folder. Thread-safe; open one per process.

    Raises SetupError when the file was written by a newer version of the pack, or cannot be opened. A corrupt
    file is set aside under a name of its own (`set_aside` tells which), never deleted; the `salvaged` jobs that can
    still be read from it go on in the new one.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        make_folder(path.parent)
        self.path = path
        self.set_aside: Path | None = None
        self.salvaged = 0
        self._clock = clock
        self._lock = threading.RLock()
        try:
            self._connection = open_database(path)
        except sqlite3.DatabaseError as damage:
            self.set_aside = set_aside(path, clock())
            self._connection = open_database(path)
            self.salvaged = self._take_over(readable_jobs(self.set_aside))
            _log.error(
                "the journal was damaged (%s); it is kept as %s, a new one begins with the %s jobs it still gave out",
                damage,
                self.set_aside,
                self.salvaged,
            )

    @property
    def notice(self) -> str | None:
        """What its users should know of the file, in a sentence; None as long as all is well."""
        if self.set_aside is None:
            return None
        return (
            f"The journal was damaged: it is kept as {self.set_aside.name}, and {self.salvaged} jobs were taken over. "
            "Jobs that it no longer tells of would be paid again."
        )

    def close(self) -> None:
        """Close the file; the journal cannot be used afterwards."""
        with self._lock:
            self._connection.close()

    # Reading

    def get(self, job_id: int) -> Job:
        """The row as it is now."""
        found = self._one("SELECT * FROM jobs WHERE id = ?", job_id)
        if found is None:
            raise KeyError(job_id)
        return found

    def by_task(self, account: str, task_id: str) -> Job | None:
        """The job with this task id."""
        return self._one("SELECT * FROM jobs WHERE account = ? AND task_id = ? ORDER BY id DESC", account, task_id)

    def newest_unfinished(self, account: str) -> Job | None:
        """The newest job of the account that has a task id and no file yet."""
        return self._one(
            "SELECT * FROM jobs WHERE account = ? AND state IN (?, ?) ORDER BY id DESC LIMIT 1",
            account,
            RUNNING,
            COMPLETED,
        )

    def resumable(self, account: str, since: float) -> list[Job]:
        """Jobs that the gateway has and this disk has not, begun after `since`, oldest first."""
        return self._all(
            "SELECT * FROM jobs WHERE account = ? AND (state = ? AND error IS NULL OR state = ?) AND created_at >= ?"
            " ORDER BY id",
            account,
            RUNNING,
            COMPLETED,
            since,
        )

    def runs(self, account: str, kind: Kind, most: int = 20) -> list[Run]:
        """What the newest finished jobs of a kind cost and took, newest first."""
        with self._lock:
            return runs(self._connection, account, kind, most)

    # The life of a job, in the order of its steps

    def intend(self, intent: Intent) -> Job:
        """The row for what is asked for, made if need be; a failed or rejected attempt is followed by a new one."""
        with self._transaction():
            before = latest(self._connection, intent.account, intent.identity)
            if before is not None and before.state not in (FAILED, REJECTED):
                return before
            return self._insert(
                **asdict(intent),
                attempt=before.attempt + 1 if before else 1,
                state=INTENDED,
                charge=Charge.NOT_SENT.value,
            )

    def adopt_task(self, account: str, task_id: str) -> Job:
        """The row for a task id from anywhere; a new one when this journal did not make the job."""
        with self._transaction():
            return self.by_task(account, task_id) or self._insert(
                account=account,
                identity=f"task:{task_id}",
                attempt=1,
                model="",
                type="",
                prompt="",
                duration="",
                resolution="",
                take=0,
                body=None,
                state=RUNNING,
                charge=Charge.RUNNING.value,
                task_id=task_id,
            )

    def forget_task(self, job: Job) -> None:
        """Drop a row of `adopt_task` whose id the gateway does not know; jobs of our own are never dropped."""
        with self._transaction():
            self._connection.execute("DELETE FROM steps WHERE job_id = ?", (job.id,))
            self._connection.execute("DELETE FROM jobs WHERE id = ? AND posts = 0 AND type = ''", (job.id,))

    def claim(self, job_id: int, holder: str, alive: Collection[str]) -> Job | None:
        """The row, now held by `holder`; None while another living holder has it."""
        with self._transaction():
            job = self.get(job_id)
            if job.holder == holder:
                return job
            if job.holder in alive:
                return None
            return self._change(job, holder=holder)

    def release(self, job_id: int, holder: str) -> None:
        """Let any process take the job up."""
        with self._transaction():
            self._connection.execute("UPDATE jobs SET holder = NULL WHERE id = ? AND holder = ?", (job_id, holder))

    def slots(self, job: Job, limit: int, alive: Collection[str]) -> Slots:
        """Whether `job` may be sent now: slots go to the oldest waiting job first."""
        with self._lock:
            marks = ",".join("?" * len(alive))
            row = self._connection.execute(
                f"SELECT COALESCE(SUM(state IN ('sent', 'running')), 0) AS running,"
                f" COALESCE(SUM(state = 'intended' AND body IS NOT NULL AND id < ?), 0) AS ahead"
                f" FROM jobs WHERE account = ? AND state IN ('intended', 'sent', 'running') AND id != ?"
                f" AND holder IN ({marks})",
                (job.id, job.account, job.id, *alive),
            ).fetchone()
        running, ahead = row["running"], row["ahead"]
        return Slots(free=running + ahead < limit, running=running, limit=limit, ahead=ahead)

    def clear_body(self, job: Job) -> Job:
        """Forget the body of a job that was certainly not sent: its uploads may have expired since."""
        with self._transaction():
            now = self.get(job.id)
            return self._change(now, body=None) if now.state == INTENDED else now

    def set_body(self, job: Job, body: bytes) -> Job:
        """Fix the bytes of the paid request, once; from here on they never change."""
        with self._transaction():
            now = self.get(job.id)
            return now if now.body is not None else self._change(now, body=body)

    def begin_post(self, job: Job, limit: int, alive: Collection[str]) -> Job | None:
        """Commit that the POST is about to leave; None when the last slot was taken meanwhile."""
        with self._transaction():
            now = self.get(job.id)
            if now.state == INTENDED and not self.slots(now, limit, alive).free:
                return None
            return self._change(
                now,
                step=f"post {now.posts + 1}",
                state=SENT,
                charge=Charge.UNCERTAIN.value,
                posts=now.posts + 1,
                sent_at=now.sent_at or self._clock(),
            )

    def not_sent(self, job: Job) -> Job:
        """Take `begin_post` back: it is certain that nothing left this machine, now or before."""
        with self._transaction():
            return self._change(job, step="not sent", state=INTENDED, charge=Charge.NOT_SENT.value, sent_at=None)

    def accepted(self, job: Job, reply: Accepted) -> Job:
        """The gateway has the job, and the account is charged."""
        with self._transaction():
            return self._change(
                job,
                step="accepted",
                state=RUNNING,
                charge=Charge.RUNNING.value,
                task_id=reply.task_id,
                request_id=reply.request_id,
                provider_request_id=reply.provider_request_id,
                credits_used=reply.credits_used,
                accepted_at=self._clock(),
            )

    def rejected(self, job: Job, refusal: APIMallError) -> Job:
        """The gateway never took the job."""
        with self._transaction():
            return self._change(
                job,
                step="rejected",
                state=REJECTED,
                charge=Charge.REJECTED.value,
                ended_at=self._clock(),
                holder=None,
                **_described(job, refusal),
            )

    def completed(self, job: Job, task: Task) -> Job:
        """The gateway finished the job; also renews the address of its file."""
        with self._transaction():
            ended_at = job.ended_at or self._clock()
            if job.accepted_at and task.run_seconds:
                # We may have looked hours later: what later jobs are expected to take is learned from this.
                ended_at = job.accepted_at + task.run_seconds
            return self._change(
                job,
                step="completed",
                state=COMPLETED,
                charge=Charge.CHARGED.value,
                ended_at=ended_at,
                error=None,
                reason=None,
                **_credits(job, task),
            )

    def delivered(self, job: Job, delivery: Delivery, video_url: str) -> Job:
        """The file is on disk, whole."""
        with self._transaction():
            return self._change(
                job,
                step="delivered",
                state=DELIVERED,
                charge=Charge.CHARGED.value,
                holder=None,
                video_url=video_url,
                file=str(delivery.path),
                file_bytes=delivery.size_bytes,
                file_mtime_ns=delivery.mtime_ns,
                file_sha256=delivery.sha256,
                delivered_at=self._clock(),
                error=None,
                reason=None,
            )

    def lost_file(self, job: Job) -> Job:
        """The file is gone from disk: back to where it has to be fetched."""
        with self._transaction():
            return self._change(job, step="file gone", state=COMPLETED)

    def failed(self, job: Job, task: Task, failure: APIMallError) -> Job:
        """The gateway ended the job."""
        with self._transaction():
            return self._change(
                job,
                step="failed",
                state=FAILED,
                charge=Charge.REFUNDED.value,
                ended_at=self._clock(),
                holder=None,
                **_described(job, failure),
                **_credits(job, task),
            )

    def refunded(self, job: Job, task: Task) -> Job:
        """A later look at a failed job: refunds lag."""
        with self._transaction():
            return self._change(job, step="refund read again", **_credits(job, task))

    def stalled(self, job: Job, failure: APIMallError) -> Job | None:
        """Nobody follows the job for now; what became of it at the gateway is not settled. None if it has ended."""
        with self._transaction():
            now = self._one("SELECT * FROM jobs WHERE id = ?", job.id)
            if now is None or not now.unfinished:
                return None
            return self._change(now, step="stalled", holder=None, **_described(now, failure))

    # Uploads

    def uploaded(self, account: str, digest: str, since: float) -> str | None:
        """The public URL of a file uploaded after `since`."""
        with self._lock:
            row = self._connection.execute(
                "SELECT url FROM uploads WHERE account = ? AND digest = ? AND uploaded_at >= ?",
                (account, digest, since),
            ).fetchone()
        return None if row is None else str(row["url"])

    def remember_upload(self, account: str, digest: str, url: str) -> None:
        """Keep an upload for other jobs with the same medium."""
        with self._transaction():
            self._connection.execute(
                "INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?)", (account, digest, url, self._clock())
            )

    def forget_upload(self, account: str, digest: str) -> None:
        """The gateway or the world can no longer read this upload."""
        with self._transaction():
            self._connection.execute("DELETE FROM uploads WHERE account = ? AND digest = ?", (account, digest))

    # Plumbing

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                # A full disk has rolled back already; a second rollback would fail and hide why.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _take_over(self, rows: list[dict[str, object]]) -> int:
        with self._transaction():
            before = self._connection.total_changes
            for row in rows:
                known = {name: value for name, value in row.items() if name in COLUMNS}
                marks = ",".join("?" * len(known))
                with suppress(sqlite3.IntegrityError):
                    self._connection.execute(
                        f"INSERT INTO jobs ({','.join(known)}) VALUES ({marks})", tuple(known.values())
                    )
            return self._connection.total_changes - before

    def _one(self, statement: str, *values: object) -> Job | None:
        found = self._all(statement, *values)
        return found[0] if found else None

    def _all(self, statement: str, *values: object) -> list[Job]:
        with self._lock:
            return [Job(**dict(row)) for row in self._connection.execute(statement, values)]

    def _insert(self, **columns: object) -> Job:
        columns |= {"idempotency_key": str(uuid.uuid4()), "created_at": self._clock()}
        marks = ",".join("?" * len(columns))
        cursor = self._connection.execute(
            f"INSERT INTO jobs ({','.join(columns)}) VALUES ({marks})", tuple(columns.values())
        )
        job = self.get(int(cursor.lastrowid or 0))
        self._note(job.id, job.state)
        return job

    def _change(self, job: Job, *, step: str | None = None, **columns: object) -> Job:
        assert columns.keys() <= COLUMNS
        assignments = ",".join(f"{name} = ?" for name in columns)
        self._connection.execute(f"UPDATE jobs SET {assignments} WHERE id = ?", (*columns.values(), job.id))
        if step is not None:
            self._note(job.id, step, str(columns.get("reason") or ""))
        return self.get(job.id)

    def _note(self, job_id: int, step: str, detail: str = "") -> None:
        self._connection.execute("INSERT INTO steps VALUES (?, ?, ?, ?)", (job_id, self._clock(), step, detail))


def _credits(job: Job, task: Task) -> dict[str, object]:
    """Credits as last told; the create's figure stands where a query says nothing."""
    return {
        "credits_used": job.credits_used if task.credits_used is None else task.credits_used,
        "credits_refunded": job.credits_refunded if task.credits_refunded is None else task.credits_refunded,
    }


def _described(job: Job, failure: APIMallError) -> dict[str, object]:
    return {
        "request_id": failure.request_id or job.request_id,
        "error": type(failure).__name__,
        "reason": failure.what,
        "http_status": failure.status,
        "code": failure.code,
    }
