"""Takes the jobs of one journal along into another: from a file into a database, and back. Deletes nothing.

A job is known by its idempotency key, so that whoever does it twice, or from ten machines, has every job once.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from .presence import machine, machine_of
from .statements import Given, Row, Statement
from .store import Store
from .tables import accounts, deliveries, jobs, steps, strangers, uploads

_BATCH_JOBS = 200

_NEXT = Statement(lambda say: sa.select(jobs).where(jobs.c.id > Given("after")).order_by(jobs.c.id).limit(_BATCH_JOBS))
_BEYOND = Statement(
    lambda say: sa.select(
        sa.func.count().label("jobs"), sa.func.coalesce(sa.func.max(jobs.c.id), 0).label("newest")
    ).where(jobs.c.id > Given("after"), jobs.c.account.not_like("rehearsal%"))
)
_KNOWN = Statement(lambda say: sa.select(jobs.c.idempotency_key).where(jobs.c.idempotency_key.in_(say.each("keys"))))
_ID = Statement(lambda say: sa.select(jobs.c.id).where(jobs.c.idempotency_key == Given("key")))
_ATTEMPTS = Statement(
    lambda say: sa.select(sa.func.coalesce(sa.func.max(jobs.c.attempt), 0).label("most")).where(
        jobs.c.account == Given("account"), jobs.c.identity == Given("identity")
    )
)
_TAKEN = Statement(
    lambda say: sa.select(jobs.c.id).where(
        jobs.c.account == Given("account"), jobs.c.identity == Given("identity"), jobs.c.attempt == Given("attempt")
    )
)
_JOB_COLUMNS = [column for column in jobs.columns if column.name != "id"]
_PUT_JOB = Statement(
    lambda say: sa.insert(jobs).values({each.name: Given(f"new_{each.name}", type_=each.type) for each in _JOB_COLUMNS})
)
_STEPS = Statement(lambda say: sa.select(steps).where(steps.c.job_id == Given("job_id")).order_by(steps.c.rowid))
_PUT_STEP = Statement(
    lambda say: sa.insert(steps).values(
        {each.name: Given(f"new_{each.name}") for each in steps.columns if each.name != "rowid"}
    )
)
_DELIVERIES = Statement(lambda say: sa.select(deliveries).where(deliveries.c.job_id == Given("job_id")))
_PUT_DELIVERY = Statement(lambda say: say.put(deliveries, "job_id", "folder"))


def _whole(table: sa.Table, *key: str) -> tuple[Statement, Statement]:
    """What reads a small table whole, and what puts a row of it where there is none."""
    return Statement(lambda say: sa.select(table)), Statement(lambda say: say.put(table, *key))


_SMALL = (_whole(accounts, "account"), _whole(strangers, "account", "other"), _whole(uploads, "account", "digest"))


def beyond(source: Store, job_id: int) -> tuple[int, int]:
    """How many jobs of real accounts come after this one, and the number of the newest."""
    row = source.select(_BEYOND, after=job_id)[0]
    return row["jobs"], row["newest"]


def copy(source: Store, target: Store) -> int:
    """Have `target` know every job of `source`, with its history and where its clip lies; gives how many were new."""
    for read, put in _SMALL:
        rows = source.select(read)
        with target.transaction():
            for row in rows:
                target.execute(put, **_new(row))
    copied, after = 0, 0
    while rows := source.select(_NEXT, after=after):
        after = rows[-1]["id"]
        with target.transaction():
            keys = [row["idempotency_key"] for row in rows]
            known = {row["idempotency_key"] for row in target.select(_KNOWN, keys=keys)}
            for row in rows:
                if row["idempotency_key"] not in known:
                    _copy_job(source, target, row)
                    copied += 1
    return copied


def _copy_job(source: Store, target: Store, row: Row) -> None:
    columns = dict(row)
    old = columns.pop("id")
    # Who had it in hand is known to the journal it comes from alone.
    columns["machine"] = columns["machine"] or machine_of(columns["holder"] or "") or machine()
    columns["holder"] = None
    named = {name: columns[name] for name in ("account", "identity")}
    if target.select(_TAKEN, attempt=columns["attempt"], **named):
        # Two machines paid for the same job before they knew of each other: both stay known.
        columns["attempt"] = target.select(_ATTEMPTS, **named)[0]["most"] + 1
    target.execute(_PUT_JOB, **_new(columns))
    job_id = target.select(_ID, key=columns["idempotency_key"])[0]["id"]
    for step in source.select(_STEPS, job_id=old):
        told = {name: step[name] for name in ("at", "step", "detail")}
        target.execute(_PUT_STEP, **_new({**told, "job_id": job_id}))
    for delivery in source.select(_DELIVERIES, job_id=old):
        target.execute(_PUT_DELIVERY, **_new({**dict(delivery), "job_id": job_id}))


def _new(row: Row) -> dict[str, Any]:
    return {f"new_{name}": value for name, value in dict(row).items()}
