"""Takes the jobs of one journal along into another: from a file into a database, and back. Deletes nothing.

A job is known by its idempotency key, so that whoever does it twice, or from ten machines, has every job once. How it
went on where it was taken from is told the next time: it would be paid again where nobody knows that it was sent.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from .presence import machine, machine_of
from .rows import State
from .statements import Given, Row, Statement
from .store import Store
from .tables import accounts, deliveries, jobs, steps, strangers, uploads

_BATCH_JOBS = 200
_TURN_SECONDS = 0.5
"""How long all others who want to write are kept waiting at a time: to a database far away, each job takes a while."""

_NEXT = Statement(lambda say: sa.select(jobs).where(jobs.c.id > Given("after")).order_by(jobs.c.id).limit(_BATCH_JOBS))
_BEYOND = Statement(
    lambda say: sa.select(
        sa.func.count().label("jobs"), sa.func.coalesce(sa.func.max(jobs.c.id), 0).label("newest")
    ).where(jobs.c.id > Given("after"), jobs.c.account.not_like("rehearsal%"))
)
_KNOWN = Statement(
    lambda say: sa.select(
        *(jobs.c[name] for name in ("id", "idempotency_key", "state", "posts", "sent_at", "task_id"))
    ).where(jobs.c.idempotency_key.in_(say.each("keys")))
)
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
_OWN = ("idempotency_key", "account", "identity", "attempt", "starred_at", "holder", "machine", "created_at")
_TOLD = [column for column in _JOB_COLUMNS if column.name not in _OWN]
# Whoever has it in hand looks at it again before anything is sent: it is not its own any more.
_GO_ON = Statement(
    lambda say: (
        sa.update(jobs)
        .where(jobs.c.id == Given("job_id"))
        .values({each.name: Given(f"new_{each.name}", type_=each.type) for each in _TOLD} | {"holder": sa.null()})
    )
)
_WITH_TASK = (State.RUNNING, State.CLOSED, State.COMPLETED, State.EXPIRED, State.FAILED)
"""What a job with a task may be, in the order in which one thing comes after another."""
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
        known = {row["idempotency_key"]: row for row in _known(target, rows)}
        waiting = [row for row in rows if _tells_more(row, known.get(row["idempotency_key"]))]
        while waiting:
            with target.transaction():
                turn_ends = time.monotonic() + _TURN_SECONDS
                copied += _take_along(source, target, waiting.pop(0))
                while waiting and time.monotonic() < turn_ends:
                    copied += _take_along(source, target, waiting.pop(0))
    return copied


def _known(target: Store, rows: Sequence[Row]) -> list[Row]:
    return target.select(_KNOWN, keys=[row["idempotency_key"] for row in rows])


def _tells_more(row: Row, known: Row | None) -> bool:
    """Whether a job went on after `known`, what the other journal knows of it, was written.

    What may be paid there is never told to be anything less.
    """
    if known is None or (row["task_id"] is not None and known["task_id"] is None):
        return True
    if row["task_id"] != known["task_id"]:
        return False
    if row["task_id"] is None:
        return bool(known["sent_at"] is None and row["posts"] > known["posts"])
    return _WITH_TASK.index(State(row["state"])) > _WITH_TASK.index(State(known["state"]))


def _take_along(source: Store, target: Store, row: Row) -> bool:
    """Whether the job was new there. Asked again: another machine may do the same, or have it in hand."""
    known = next(iter(_known(target, [row])), None)
    if _tells_more(row, known):
        job_id = _put(target, row) if known is None else _go_on(target, known, row)
        _put_beside(source, target, row["id"], job_id)
    return known is None


def _put(target: Store, row: Row) -> int:
    columns = dict(row)
    del columns["id"]
    # Who had it in hand is known to the journal it comes from alone.
    columns["machine"] = columns["machine"] or machine_of(columns["holder"] or "") or machine()
    columns["holder"] = None
    named = {name: columns[name] for name in ("account", "identity")}
    if target.select(_TAKEN, attempt=columns["attempt"], **named):
        # Two machines paid for the same job before they knew of each other: both stay known.
        columns["attempt"] = target.select(_ATTEMPTS, **named)[0]["most"] + 1
    target.execute(_PUT_JOB, **_new(columns))
    return int(_known(target, [row])[0]["id"])


def _go_on(target: Store, known: Row, row: Row) -> int:
    told = {column.name: row[column.name] for column in _TOLD}
    target.execute(_GO_ON, job_id=known["id"], **_new(told))
    return int(known["id"])


def _put_beside(source: Store, target: Store, old: int, job_id: int) -> None:
    """Its history, as far as it is not known there, and where its clip lies."""
    there = {(step["at"], step["step"]) for step in target.select(_STEPS, job_id=job_id)}
    for step in source.select(_STEPS, job_id=old):
        if (step["at"], step["step"]) not in there:
            told = {name: step[name] for name in ("at", "step", "detail")}
            target.execute(_PUT_STEP, **_new({**told, "job_id": job_id}))
    for delivery in source.select(_DELIVERIES, job_id=old):
        target.execute(_PUT_DELIVERY, **_new({**dict(delivery), "job_id": job_id}))


def _new(row: Row) -> dict[str, Any]:
    return {f"new_{name}": value for name, value in dict(row).items()}
