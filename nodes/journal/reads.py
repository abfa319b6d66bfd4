"""What may be read from the journal: pages, sums, estimates. Never writes, and never keeps the writer waiting.

Every question opens the file anew, read-only: in WAL mode that neither waits for the runner nor holds it up.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from ..gateway.errors import Charge
from .rows import PROBLEM_COLUMNS, Delivery, Job, Kind, Parking, Problem, Run, State
from .sqlite_file import Reader, Row, Select, marks

PAGE_JOBS = 30
MOST_PAGE_JOBS = 100
ESTIMATE_RUNS = 6
_BEFORE_ALL = (1 << 63) - 1
_CHUNK_JOBS = 1000
_DAY_SECONDS = 86_400.0

# The words must stand here as in the indexes, or SQLite does not see that they apply.
UNFINISHED = (
    "(state IN ('sent', 'running') OR state = 'completed' AND delivered_at IS NULL"
    " OR state = 'intended' AND parked IS NULL)"
)
UNCOLLECTED = "(state = 'completed' AND delivered_at IS NOT NULL AND collected_at IS NULL)"
REFUND_DUE = (
    "(state = 'failed' AND (credits_refunded IS NULL OR credits_used IS NULL OR credits_refunded < credits_used))"
)
_UNFINISHED_IDS = f"SELECT id FROM jobs INDEXED BY jobs_unfinished WHERE account = :account AND {UNFINISHED}"
_ENDED_BADLY_IDS = (
    "SELECT id FROM jobs INDEXED BY jobs_ended_badly WHERE account = :account AND id < :before"
    " AND state IN ('failed', 'rejected', 'expired') ORDER BY id DESC LIMIT :limit"
)


_HOLDS_TEXT = "prompt LIKE :text ESCAPE '!' OR task_id LIKE :text ESCAPE '!'"


class Only(str, Enum):
    """Which jobs of an account to show."""

    ALL = "all"
    UNFINISHED = "unfinished"
    UNCERTAIN = "uncertain"
    FAILED = "failed"
    STARRED = "starred"


_CONDITIONS = {
    Only.ALL: "",
    Only.UNFINISHED: f" AND id IN ({_UNFINISHED_IDS})",
    # Only a job that was sent and not answered is uncertain.
    Only.UNCERTAIN: f" AND id IN ({_UNFINISHED_IDS} AND state = 'sent')",
    Only.FAILED: f" AND id IN ({_ENDED_BADLY_IDS})",
    Only.STARRED: " AND starred_at IS NOT NULL",
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
class Day:
    """One of several days: `credits` and `refunded` as in Sum; `uncertain`: its jobs sent and not answered."""

    credits: float
    refunded: float
    uncertain: int


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

    def page(
        self,
        account: str,
        *,
        before: int | None = None,
        limit: int = PAGE_JOBS,
        only: Only = Only.ALL,
        text: str = "",
        type: str = "",
        day: float | None = None,
    ) -> Page:
        """At most `limit` jobs with an id below `before`; with `text`, those whose prompt or task id holds it.

        `day`: when the 24 hours began in which they were asked for, in seconds since the epoch.
        """
        found = f" AND ({_HOLDS_TEXT})" if text else ""
        found += " AND type = :type" if type else ""
        found += f" AND created_at >= :day AND created_at < :day + {_DAY_SECONDS}" if day is not None else ""
        statement = (
            f"SELECT * FROM jobs WHERE account = :account AND id < :before{_CONDITIONS[only]}{found}"
            " ORDER BY id DESC LIMIT :limit"
        )
        pattern = "%" + re.sub(r"([!%_])", r"!\1", text) + "%"
        values = {"account": account, "before": before or _BEFORE_ALL, "text": pattern, "type": type, "day": day}
        values["limit"] = limit + 1
        jobs = [job_of(row) for row in self._select(statement, values)]
        more = len(jobs) > limit
        return Page(tuple(jobs[:limit]), jobs[limit - 1].id if more else None)

    def unfinished(self, account: str) -> int:
        """How many jobs of the account have not ended."""
        return int(self._select(f"SELECT COUNT(*) AS n FROM ({_UNFINISHED_IDS})", {"account": account})[0]["n"])

    def job(self, account: str, job_id: int) -> Job | None:
        """One job, if it is this account's."""
        return one(self._select("SELECT * FROM jobs WHERE id = ? AND account = ?", (job_id, account)))

    def by_task(self, account: str, task_id: str) -> Job | None:
        """The job with this task id."""
        statement = "SELECT * FROM jobs WHERE account = ? AND task_id = ? ORDER BY id DESC LIMIT 1"
        return one(self._select(statement, (account, task_id)))

    def is_anything_due(self, account: str) -> bool:
        """Whether there is something to ask the gateway: a job that has not ended, a refund that is not complete."""
        statement = (
            f"SELECT EXISTS ({_UNFINISHED_IDS}) OR EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_refund_due"
            f" WHERE account = :account AND {REFUND_DUE}) AS due"
        )
        return bool(self._select(statement, {"account": account})[0]["due"])

    def latest(self, account: str, *identities: str) -> Job | None:
        """The newest attempt at a job, under whichever of its names, or None when it was never asked for."""
        return latest(attempts(self._select, account, identities))

    def steps(self, job_id: int) -> list[tuple[float, str, str]]:
        """The history of a job: (time, step, detail), oldest first."""
        rows = self._select("SELECT at, step, detail FROM steps WHERE job_id = ? ORDER BY rowid", (job_id,))
        return [(row["at"], row["step"], row["detail"]) for row in rows]

    def deliveries(self, job_id: int) -> list[Delivery]:
        """Where the clip of a job was delivered to."""
        return deliveries(self._select, job_id)

    def uploads_among(self, account: str, urls: Sequence[str]) -> frozenset[str]:
        """Those of `urls` that this pack uploaded itself, so far as the journal still knows."""
        statement = f"SELECT url FROM uploads WHERE account = ? AND url IN ({marks(urls)})"
        return frozenset(str(row["url"]) for row in self._select(statement, (account, *urls)))

    def sum_since(self, account: str, moment: float) -> Sum:
        """What was charged for jobs that the gateway took after `moment` (seconds since the epoch)."""
        statement = (
            "SELECT COUNT(*) AS jobs, TOTAL(credits_used) AS used, TOTAL(credits_refunded) AS refunded"
            " FROM jobs INDEXED BY jobs_by_acceptance WHERE account = ? AND accepted_at >= ?"
        )
        row = self._select(statement, (account, moment))[0]
        return Sum(row["used"] - row["refunded"], row["refunded"], row["jobs"])

    def days(self, account: str, begin: float, count: int) -> list[Day]:
        """`count` days from `begin` (seconds since the epoch) on, each of 24 hours."""
        used, refunded, uncertain = ([0.0] * count for _ in range(3))
        taken = (
            "SELECT accepted_at, credits_used, credits_refunded FROM jobs INDEXED BY jobs_by_acceptance"
            " WHERE account = ? AND accepted_at >= ?"
        )
        for row in self._select(taken, (account, begin)):
            day = min(count - 1, int((row["accepted_at"] - begin) // _DAY_SECONDS))
            used[day] += row["credits_used"] or 0.0
            refunded[day] += row["credits_refunded"] or 0.0
        for row in self._select(
            f"SELECT created_at FROM jobs WHERE account = ? AND state = 'sent' AND {UNFINISHED}", (account,)
        ):
            day = int((row["created_at"] - begin) // _DAY_SECONDS)
            if 0 <= day < count:
                uncertain[day] += 1
        return [Day(used[day] - refunded[day], refunded[day], int(uncertain[day])) for day in range(count)]

    def estimate(self, account: str, kind: Kind) -> Estimate:
        """What the newest finished jobs of a kind took in credits and seconds."""
        found = runs(self._select, account, kind, ESTIMATE_RUNS)
        seconds = [run.seconds for run in found if run.seconds is not None]
        return Estimate(len(found), _price(found), statistics.median(seconds) if seconds else None)

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

    def _select(self, statement: str, values: Sequence[object] | dict[str, object] = ()) -> list[Row]:
        with closing(Reader(self._path)) as reader:
            return reader.select(statement, values)


# What verbs and records both ask


def attempts(select: Select, account: str, identities: Sequence[str]) -> list[Job]:
    """All attempts at a job, under whichever of its names, newest first."""
    # The sign keeps SQLite from walking the account from its newest job back.
    statement = f"SELECT * FROM jobs WHERE account = ? AND identity IN ({marks(identities)}) ORDER BY +id DESC"
    return [job_of(row) for row in select(statement, (account, *identities))]


def latest(found: Sequence[Job]) -> Job | None:
    """The attempt that counts: one that is or was paid, wherever it is, else the newest; None when there is none.

    Under two names of an account both may have been begun, before its owner said that they are one.
    """
    paid = (job for job in found if job.charge is not Charge.NOT_SENT and not job.may_be_attempted_anew)
    return next(paid, found[0] if found else None)


def runs(select: Select, account: str, kind: Kind, most: int) -> list[Run]:
    """What the newest finished jobs of a kind cost and took, newest first."""
    statement = (
        "SELECT credits_used, ended_at - accepted_at AS seconds FROM jobs WHERE account = ? AND model = ?"
        " AND type = ? AND duration = ? AND resolution = ? AND state IN (?, ?) ORDER BY id DESC LIMIT ?"
    )
    values = (account, kind.model, kind.type, kind.duration, kind.resolution, State.COMPLETED, State.EXPIRED, most)
    return [
        Run(row["credits_used"], row["seconds"] if (row["seconds"] or 0.0) > 0 else None)
        for row in select(statement, values)
    ]


def price(select: Select, account: str, kind: Kind) -> float | None:
    """What a job of this kind costs, learned from the newest finished ones; None when none of them says."""
    return _price(runs(select, account, kind, ESTIMATE_RUNS))


def _price(found: Sequence[Run]) -> float | None:
    credits = [run.credits for run in found if run.credits is not None]
    return statistics.median(credits) if credits else None


def deliveries(select: Select, job_id: int) -> list[Delivery]:
    """Where the clip of a job was delivered to, newest first."""
    statement = (
        "SELECT folder, file, size_bytes, mtime_ns, sha256 FROM deliveries WHERE job_id = ? ORDER BY delivered_at DESC"
    )
    return [Delivery(*row) for row in select(statement, (job_id,))]


def one(rows: Sequence[Row]) -> Job | None:
    """The first of some rows of `jobs`, if there is one."""
    return job_of(rows[0]) if rows else None


def job_of(row: Row) -> Job:
    """A row of `jobs` as a value."""
    columns: dict[str, Any] = dict(row)
    for what in ("problem", "ending"):
        parts = [columns.pop(f"{what}_{name}") for name in PROBLEM_COLUMNS]
        columns[what] = Problem(*parts) if parts[0] is not None else None
    columns["state"] = State(columns["state"])
    columns["parked"] = columns["parked"] and Parking(columns["parked"])
    return Job(**columns)
