"""What may be read from the journal: pages, sums, estimates. Never writes, and never keeps the writer waiting.

Every question opens the file anew, read-only: in WAL mode that neither waits for the runner nor holds it up.
"""

from __future__ import annotations

import sqlite3
import statistics
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from .rows import COMPLETED, DELIVERED, Job, Kind, Run
from .sqlite_file import open_to_read

PAGE_JOBS = 30
MOST_PAGE_JOBS = 100
ESTIMATE_RUNS = 6
_BEFORE_ALL = (1 << 63) - 1
_CHUNK_JOBS = 1000
_DAY_SECONDS = 86_400.0

# The words must stand here as in the index, or SQLite does not see that it applies.
_UNFINISHED_IDS = (
    "SELECT id FROM jobs INDEXED BY jobs_unfinished"
    " WHERE account = :account AND state IN ('intended', 'sent', 'running', 'completed')"
)
_ENDED_BADLY_IDS = (
    "SELECT id FROM jobs INDEXED BY jobs_ended_badly"
    " WHERE account = :account AND id < :before AND state IN ('failed', 'rejected') ORDER BY id DESC LIMIT :limit"
)


class Only(str, Enum):
    """Which jobs of an account to show."""

    ALL = "all"
    UNFINISHED = "unfinished"
    UNCERTAIN = "uncertain"
    FAILED = "failed"


_CONDITIONS = {
    Only.ALL: "",
    Only.UNFINISHED: f" AND id IN ({_UNFINISHED_IDS})",
    # Only a job that was sent and not answered is uncertain, and such a job is unfinished.
    Only.UNCERTAIN: f" AND id IN ({_UNFINISHED_IDS} AND charge = 'uncertain')",
    Only.FAILED: f" AND id IN ({_ENDED_BADLY_IDS})",
}


@dataclass(frozen=True)
class Page:
    """Some jobs, newest first; `next_before` continues them and is None on the last page."""

    jobs: tuple[Job, ...]
    next_before: int | None


@dataclass(frozen=True)
class Sum:
    """`credits`: charged, refunds taken off. `refunded`: what came back. `jobs`: those the gateway took."""

    credits: float
    refunded: float
    jobs: int


@dataclass(frozen=True)
class Estimate:
    """The middle of the newest finished jobs of a kind: `runs` of them; None where none of them says."""

    runs: int
    credits: float | None
    seconds: float | None


class Records:
    """The journal at `path`, for reading. Thread-safe; every method reads the disk, so keep it off event loops."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def page(self, account: str, *, before: int | None = None, limit: int = PAGE_JOBS, only: Only = Only.ALL) -> Page:
        """At most `limit` jobs with an id below `before`."""
        statement = (
            f"SELECT * FROM jobs WHERE account = :account AND id < :before{_CONDITIONS[only]}"
            " ORDER BY id DESC LIMIT :limit"
        )
        values = {"account": account, "before": before or _BEFORE_ALL, "limit": limit + 1}
        with closing(self._open()) as connection:
            jobs = [_job(row) for row in connection.execute(statement, values)]
        more = len(jobs) > limit
        return Page(tuple(jobs[:limit]), jobs[limit - 1].id if more else None)

    def unfinished(self, account: str) -> int:
        """How many jobs of the account have not ended."""
        with closing(self._open()) as connection:
            row = connection.execute(f"SELECT COUNT(*) FROM ({_UNFINISHED_IDS})", {"account": account}).fetchone()
        return int(row[0])

    def job(self, account: str, job_id: int) -> Job | None:
        """One job, if it is this account's."""
        with closing(self._open()) as connection:
            row = connection.execute("SELECT * FROM jobs WHERE id = ? AND account = ?", (job_id, account)).fetchone()
        return None if row is None else _job(row)

    def latest(self, account: str, identity: str) -> Job | None:
        """The newest attempt at a job, or None when it was never asked for."""
        with closing(self._open()) as connection:
            return latest(connection, account, identity)

    def steps(self, job_id: int) -> list[tuple[float, str, str]]:
        """The history of a job: (time, step, detail), oldest first."""
        with closing(self._open()) as connection:
            rows = connection.execute("SELECT at, step, detail FROM steps WHERE job_id = ? ORDER BY rowid", (job_id,))
            return [(row["at"], row["step"], row["detail"]) for row in rows]

    def uploads_among(self, account: str, urls: Sequence[str]) -> frozenset[str]:
        """Those of `urls` that this pack uploaded itself, so far as the journal still knows."""
        marks = ",".join("?" * len(urls))
        with closing(self._open()) as connection:
            rows = connection.execute(
                f"SELECT url FROM uploads WHERE account = ? AND url IN ({marks})", (account, *urls)
            )
            return frozenset(str(row["url"]) for row in rows)

    def sum_since(self, account: str, moment: float) -> Sum:
        """What was charged for jobs that the gateway took after `moment` (seconds since the epoch)."""
        # Ids grow with time. A job is accepted after it is written down, but seldom much later: a day is looked back,
        # and the account's newest rows are read until they are older than that.
        statement = (
            "SELECT created_at, accepted_at, credits_used, credits_refunded FROM jobs"
            " WHERE account = ? ORDER BY id DESC"
        )
        used = refunded = 0.0
        jobs = 0
        with closing(self._open()) as connection:
            for created_at, accepted_at, credits, back in connection.execute(statement, (account,)):
                if created_at < moment - _DAY_SECONDS:
                    break
                if accepted_at is not None and accepted_at >= moment:
                    used += credits or 0.0
                    refunded += back or 0.0
                    jobs += 1
        return Sum(used - refunded, refunded, jobs)

    def unbilled(self, account: str, before: int) -> list[Job]:
        """Jobs that were sent and not answered, and those older than `before` that somebody is about to send."""
        statement = (
            "SELECT * FROM jobs WHERE account = ? AND (state = 'sent' OR state = 'intended' AND holder IS NOT NULL"
            " AND body IS NOT NULL AND id < ?) AND state IN ('intended', 'sent', 'running', 'completed')"
        )
        with closing(self._open()) as connection:
            return [_job(row) for row in connection.execute(statement, (account, before))]

    def estimate(self, account: str, kind: Kind) -> Estimate:
        """What the newest finished jobs of a kind took in credits and seconds."""
        with closing(self._open()) as connection:
            found = runs(connection, account, kind, ESTIMATE_RUNS)
        credits = [run.credits for run in found if run.credits is not None]
        seconds = [run.seconds for run in found if run.seconds is not None]
        return Estimate(
            len(found),
            statistics.median(credits) if credits else None,
            statistics.median(seconds) if seconds else None,
        )

    def chunks(self, account: str) -> Iterator[tuple[Job, ...]]:
        """All jobs of the account in order of age, newest first, a chunk at a time; one read each."""
        before: int | None = None
        while True:
            page = self.page(account, before=before, limit=_CHUNK_JOBS)
            if page.jobs:
                yield page.jobs
            if page.next_before is None:
                return
            before = page.next_before

    def _open(self) -> sqlite3.Connection:
        return open_to_read(self._path)


def latest(connection: sqlite3.Connection, account: str, identity: str) -> Job | None:
    """The newest attempt at a job, or None when it was never asked for."""
    statement = "SELECT * FROM jobs WHERE account = ? AND identity = ? ORDER BY attempt DESC LIMIT 1"
    row = connection.execute(statement, (account, identity)).fetchone()
    return None if row is None else _job(row)


def runs(connection: sqlite3.Connection, account: str, kind: Kind, most: int) -> list[Run]:
    """What the newest finished jobs of a kind cost and took, newest first."""
    statement = (
        "SELECT credits_used, ended_at - accepted_at AS seconds FROM jobs WHERE account = ? AND type = ?"
        " AND duration = ? AND resolution = ? AND model = ? AND state IN (?, ?) ORDER BY id DESC LIMIT ?"
    )
    values = (account, kind.type, kind.duration, kind.resolution, kind.model, COMPLETED, DELIVERED, most)
    return [
        Run(row["credits_used"], row["seconds"] if (row["seconds"] or 0.0) > 0 else None)
        for row in connection.execute(statement, values)
    ]


def _job(row: sqlite3.Row) -> Job:
    return Job(**dict(row))
