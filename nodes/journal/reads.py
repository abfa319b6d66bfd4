"""What may be read from the journal: pages, sums, estimates. Never writes, and never keeps the writer waiting.

Of a file every question opens it anew, read-only: in WAL mode that neither waits for the runner nor holds it up.
"""

from __future__ import annotations

import functools
import re
import statistics
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ..gateway.errors import Charge
from .postgres import Address
from .rows import DELIVERY_COLUMNS, PAGE_JOBS, PROBLEM_COLUMNS, Delivery, Job, Kind, Only, Parking, Problem, Run, State
from .shared_database import Reader as Shared
from .sqlite_file import Reader
from .statements import Given, Row, Select, Statement
from .store import Place
from .tables import accounts, jobs, steps, uploads
from .tables import deliveries as deliveries_table

ESTIMATE_RUNS = 6
_BEFORE_ALL = (1 << 63) - 1
_CHUNK_JOBS = 1000
_DAY_SECONDS = 86_400.0

# The words must stand here as in the indexes, or a database does not see that they apply.
UNFINISHED = sa.text(
    "(state IN ('sent', 'running') OR state = 'completed' AND delivered_at IS NULL"
    " OR state = 'intended' AND parked IS NULL)"
)
UNCOLLECTED = sa.text("(state = 'completed' AND delivered_at IS NOT NULL AND collected_at IS NULL)")
REFUND_DUE = sa.text(
    "(state = 'failed' AND (credits_refunded IS NULL OR credits_used IS NULL OR credits_refunded < credits_used))"
)
OURS = jobs.c.account == Given("account")
_THIS_ACCOUNT = accounts.alias("this_account")
OTHER_NAMES = sa.select(accounts.c.account).where(
    accounts.c.account != Given("account"),
    accounts.c.same_as
    == sa.select(_THIS_ACCOUNT.c.same_as).where(_THIS_ACCOUNT.c.account == Given("account")).scalar_subquery(),
)
"""What else the account that is asked about is called, by its owner's word."""
OURS_BY_ANY_NAME = jobs.c.account.in_(sa.select(Given("account", type_=sa.Text)).union_all(OTHER_NAMES))
"""Another process that uses another name of the account may have gathered its jobs there."""


def through(index: str, *columns: Any) -> sa.Select[Any]:
    """A question about jobs for which SQLite is to use this index: by itself it would walk another."""
    return sa.select(*(columns or (jobs,))).with_hint(jobs, f"INDEXED BY {index}", "sqlite")


_OTHER_NAMES_OF = Statement(lambda say: OTHER_NAMES)
_UNFINISHED_IDS = through("jobs_unfinished", jobs.c.id).where(OURS, UNFINISHED)
_ENDED_BADLY_IDS = (
    through("jobs_ended_badly", jobs.c.id)
    .where(OURS, jobs.c.id < Given("before"), sa.text("state IN ('failed', 'rejected', 'expired')"))
    .order_by(jobs.c.id.desc())
    .limit(Given("limit"))
)
_SHOWN: dict[Only, tuple[sa.ColumnElement[bool], ...]] = {
    Only.ALL: (),
    Only.UNFINISHED: (jobs.c.id.in_(_UNFINISHED_IDS),),
    # Only a job that was sent and not answered is uncertain.
    Only.UNCERTAIN: (jobs.c.id.in_(_UNFINISHED_IDS.where(jobs.c.state == State.SENT.value)),),
    Only.FAILED: (jobs.c.id.in_(_ENDED_BADLY_IDS),),
    Only.STARRED: (jobs.c.starred_at.is_not(None),),
}
_HOLDS_TEXT = sa.or_(*(column.ilike(Given("text"), escape="!") for column in (jobs.c.prompt, jobs.c.task_id)))


_FOUND = {
    "text": (_HOLDS_TEXT,),
    "type": (jobs.c.type == Given("type"),),
    "day": (jobs.c.created_at >= Given("day"), jobs.c.created_at < Given("day", type_=sa.Double) + _DAY_SECONDS),
}


@functools.cache
def _page(only: Only, *narrowed: str) -> Statement:
    found = [condition for name in narrowed for condition in _FOUND[name]]
    return Statement(
        lambda say: (
            sa.select(jobs)
            .where(OURS, jobs.c.id < Given("before"), *_SHOWN[only], *found)
            .order_by(jobs.c.id.desc())
            .limit(Given("limit"))
        )
    )


_UNFINISHED_COUNT = Statement(lambda say: sa.select(sa.func.count().label("n")).select_from(_UNFINISHED_IDS.subquery()))
_JOB = Statement(lambda say: sa.select(jobs).where(jobs.c.id == Given("job_id"), OURS))
_DUE = Statement(
    lambda say: sa.select(
        sa.or_(
            _UNFINISHED_IDS.exists(),
            through("jobs_refund_due", jobs.c.id).where(OURS, REFUND_DUE).exists(),
        ).label("due")
    )
)
_STEPS = Statement(
    lambda say: (
        sa.select(steps.c.at, steps.c.step, steps.c.detail)
        .where(steps.c.job_id.in_(sa.select(jobs.c.id).where(jobs.c.idempotency_key == Given("key"))))
        .order_by(steps.c.rowid)
    )
)
_UPLOADS_AMONG = Statement(
    lambda say: sa.select(uploads.c.url).where(
        uploads.c.account == Given("account"), uploads.c.url.in_(say.each("urls"))
    )
)
_SUM = Statement(
    lambda say: through(
        "jobs_by_acceptance",
        sa.func.count().label("jobs"),
        sa.func.coalesce(sa.func.sum(jobs.c.credits_used), 0.0).label("used"),
        sa.func.coalesce(sa.func.sum(jobs.c.credits_refunded), 0.0).label("refunded"),
    ).where(OURS, jobs.c.accepted_at >= Given("moment"))
)
_TAKEN = Statement(
    lambda say: through("jobs_by_acceptance", jobs.c.accepted_at, jobs.c.credits_used, jobs.c.credits_refunded).where(
        OURS, jobs.c.accepted_at >= Given("moment")
    )
)
_UNCERTAIN_TIMES = Statement(
    lambda say: sa.select(jobs.c.created_at).where(OURS, jobs.c.state == State.SENT.value, UNFINISHED)
)
_ATTEMPTS = Statement(
    lambda say: (
        sa.select(jobs)
        .where(OURS_BY_ANY_NAME, jobs.c.identity.in_(say.each("identities")))
        # The sign keeps SQLite from walking the account from its newest job back.
        .order_by(sa.text("+id DESC"))
    )
)
_RUNS = Statement(
    lambda say: (
        sa.select((jobs.c.ended_at - jobs.c.accepted_at).label("seconds"))
        .where(
            OURS,
            *(jobs.c[name] == Given(name) for name in ("model", "type", "duration", "resolution")),
            sa.text("state IN ('completed', 'expired')"),
        )
        .order_by(jobs.c.id.desc())
        .limit(Given("most"))
    )
)
_BILLS = Statement(
    lambda say: (
        sa.select(jobs.c.credits_used)
        .where(
            OURS,
            *(jobs.c[name] == Given(name) for name in ("model", "type", "duration", "resolution")),
            jobs.c.credits_used.is_not(None),
            sa.text("state IN ('running', 'completed', 'expired', 'closed')"),
        )
        .order_by(jobs.c.id.desc())
        .limit(Given("most"))
    )
)
_DELIVERY_COLUMNS = [deliveries_table.c[name] for name in DELIVERY_COLUMNS]
_DELIVERIES = Statement(
    lambda say: (
        sa.select(*_DELIVERY_COLUMNS)
        .where(deliveries_table.c.job_id.in_(sa.select(jobs.c.id).where(jobs.c.idempotency_key == Given("key"))))
        .order_by(deliveries_table.c.delivered_at.desc())
    )
)
BY_TASK = Statement(
    lambda say: (
        sa.select(jobs).where(OURS_BY_ANY_NAME, jobs.c.task_id == Given("task_id")).order_by(jobs.c.id.desc()).limit(1)
    )
)


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
    """The middle of the newest bills of a kind, and of how long its newest finished jobs took: `runs` of them."""

    runs: int
    credits: float | None
    seconds: float | None


class Records:
    """The journal, for reading. Thread-safe; every method reads the disk or asks a server: keep it off event loops."""

    def __init__(self, place: Place) -> None:
        self._shared: Shared | None = None
        self._ask: Select
        if isinstance(place, Address):
            self._shared = Shared(place)
            self._ask = self._shared.select
        else:
            self._ask = _of_file(place)

    def close(self) -> None:
        """Let go of a server's connection; the next question asks for another."""
        if self._shared is not None:
            self._shared.close()

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
        pattern = "%" + re.sub(r"([!%_])", r"!\1", text) + "%"
        narrowed: dict[str, Any] = {"text": text and pattern, "type": type or None, "day": day}
        narrowed = {name: value for name, value in narrowed.items() if value}
        rows = self._select(
            _page(only, *narrowed), account=account, before=before or _BEFORE_ALL, limit=limit + 1, **narrowed
        )
        found = [job_of(row) for row in rows]
        more = len(found) > limit
        return Page(tuple(found[:limit]), found[limit - 1].id if more else None)

    def unfinished(self, account: str) -> int:
        """How many jobs of the account have not ended."""
        return int(self._select(_UNFINISHED_COUNT, account=account)[0]["n"])

    def job(self, account: str, job_id: int) -> Job | None:
        """One job, if it is this account's."""
        return one(self._select(_JOB, job_id=job_id, account=account))

    def by_task(self, account: str, task_id: str) -> Job | None:
        """The job with this task id."""
        return one(self._select(BY_TASK, account=account, task_id=task_id))

    def is_anything_due(self, account: str) -> bool:
        """Whether there is something to ask the gateway: a job that has not ended, a refund that is not complete.

        Also of an account that is the same, where the key was changed since.
        """
        names = (account, *(row["account"] for row in self._select(_OTHER_NAMES_OF, account=account)))
        return any(self._select(_DUE, account=name)[0]["due"] for name in names)

    def latest(self, account: str, *identities: str) -> Job | None:
        """The newest attempt at a job, under whichever of its names, or None when it was never asked for."""
        return latest(attempts(self._select, account, identities))

    def steps(self, job: Job) -> list[tuple[float, str, str]]:
        """The history of a job: (time, step, detail), oldest first."""
        rows = self._select(_STEPS, key=job.idempotency_key)
        return [(row["at"], row["step"], row["detail"]) for row in rows]

    def deliveries(self, job: Job) -> list[Delivery]:
        """Where the clip of a job was delivered to."""
        return deliveries(self._select, job)

    def uploads_among(self, account: str, urls: Sequence[str]) -> frozenset[str]:
        """Those of `urls` that this pack uploaded itself, so far as the journal still knows."""
        return frozenset(str(row["url"]) for row in self._select(_UPLOADS_AMONG, account=account, urls=urls))

    def sum_since(self, account: str, moment: float) -> Sum:
        """What was charged for jobs that the gateway took after `moment` (seconds since the epoch)."""
        row = self._select(_SUM, account=account, moment=moment)[0]
        return Sum(row["used"] - row["refunded"], row["refunded"], row["jobs"])

    def days(self, account: str, begin: float, count: int) -> list[Day]:
        """`count` days from `begin` (seconds since the epoch) on, each of 24 hours."""
        used, refunded, uncertain = ([0.0] * count for _ in range(3))
        for row in self._select(_TAKEN, account=account, moment=begin):
            day = min(count - 1, int((row["accepted_at"] - begin) // _DAY_SECONDS))
            used[day] += row["credits_used"] or 0.0
            refunded[day] += row["credits_refunded"] or 0.0
        for row in self._select(_UNCERTAIN_TIMES, account=account):
            day = int((row["created_at"] - begin) // _DAY_SECONDS)
            if 0 <= day < count:
                uncertain[day] += 1
        return [Day(used[day] - refunded[day], refunded[day], int(uncertain[day])) for day in range(count)]

    def estimate(self, account: str, kind: Kind) -> Estimate:
        """What the newest finished jobs of a kind took in credits and seconds."""
        found = runs(self._select, account, kind, ESTIMATE_RUNS)
        seconds = [run.seconds for run in found if run.seconds is not None]
        return Estimate(len(found), price(self._select, account, kind), statistics.median(seconds) if seconds else None)

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

    def _select(self, statement: Statement, **values: object) -> list[Row]:
        return self._ask(statement, **values)


def _of_file(path: Path) -> Select:
    def select(statement: Statement, **values: object) -> list[Row]:
        with closing(Reader(path)) as reader:
            return reader.select(statement, **values)

    return select


# What verbs and records both ask


def attempts(select: Select, account: str, identities: Sequence[str]) -> list[Job]:
    """All attempts at a job, under whichever of its names and the account's, newest first."""
    return [job_of(row) for row in select(_ATTEMPTS, account=account, identities=identities)]


def latest(found: Sequence[Job]) -> Job | None:
    """The attempt that counts: one that is or was paid, wherever it is, else the newest; None when there is none.

    Under two names of an account both may have been begun, before its owner said that they are one.
    """
    paid = (job for job in found if job.charge is not Charge.NOT_SENT and not job.may_be_attempted_anew)
    return next(paid, found[0] if found else None)


def runs(select: Select, account: str, kind: Kind, most: int) -> list[Run]:
    """What the newest finished jobs of a kind took, newest first."""
    return [
        Run(row["seconds"] if (row["seconds"] or 0.0) > 0 else None)
        for row in select(_RUNS, account=account, most=most, **asdict(kind))
    ]


def price(select: Select, account: str, kind: Kind) -> float | None:
    """What a job of this kind costs: the middle of its newest bills, also of jobs that still run; None without any."""
    bills = select(_BILLS, account=account, most=ESTIMATE_RUNS, **asdict(kind))
    return statistics.median(row["credits_used"] for row in bills) if bills else None


def deliveries(select: Select, job: Job) -> list[Delivery]:
    """Where the clip of a job was delivered to, newest first."""
    return [Delivery(**dict(row)) for row in select(_DELIVERIES, key=job.idempotency_key)]


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
