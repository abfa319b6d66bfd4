"""Who has a job in hand: taken up, let go of, parked (rule 4)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from .columns import is_behind
from .job_statements import BY_KEY
from .presence import machine_of
from .reads import OURS, UNFINISHED, one
from .rows import Job, Parking, State
from .statements import Given, Saying, Statement, Tongue
from .store import Store
from .tables import jobs
from .writer import Writer


def _held_by_none(say: Saying) -> sa.ColumnElement[bool]:
    return sa.and_(
        OURS,
        UNFINISHED,
        sa.or_(
            jobs.c.holder.is_(None),
            jobs.c.holder.not_in(say.each("alive")),
            sa.and_(jobs.c.holder == Given("own"), jobs.c.idempotency_key.not_in(say.each("keys"))),
        ),
    )


_ANY_LEFT = Statement(lambda say: sa.select(jobs.c.id).where(_held_by_none(say)).limit(1))
_LET_GO = Statement(
    lambda say: (
        sa.update(jobs)
        .where(_held_by_none(say))
        .values(
            holder=sa.null(),
            parked=sa.case((jobs.c.state == State.INTENDED.value, Parking.WITHDRAWN.value), else_=jobs.c.parked),
        )
    )
)
_RELEASE = Statement(
    lambda say: (
        sa.update(jobs)
        .where(jobs.c.idempotency_key == Given("key"), jobs.c.holder == Given("holder"))
        .values(holder=sa.null())
    )
)


def _take_free(say: Saying) -> sa.ClauseElement:
    free = sa.and_(jobs.c.idempotency_key == Given("key"), jobs.c.holder.is_(None), say.in_turn())
    taken = sa.update(jobs).where(free).values(holder=Given("holder"), parked=sa.null(), machine=Given("machine"))
    return taken.returning(*jobs.c) if say.tongue is Tongue.POSTGRES else taken


_TAKE_FREE = Statement(_take_free)


def tidy(store: Store, account: str, alive: Collection[str], own: str, keys: Collection[str]) -> None:
    """Let go of what dead processes held, and of what `own` is said to hold beside the jobs with these `keys`."""
    asked = {"account": account, "alive": alive, "own": own, "keys": keys}
    if store.select(_ANY_LEFT, **asked):
        with store.transaction():
            store.execute(_LET_GO, **asked)


def claim(writer: Writer, job: Job, holder: str, alive: Collection[str] | None) -> Job | None:
    """The row, now held by `holder`; None while another one has it that is among the `alive` (None: all are)."""
    if alive is None:
        told = {"key": job.idempotency_key, "holder": holder, "machine": machine_of(holder)}
        found = one(writer.store.change_alone(_TAKE_FREE, BY_KEY, **told))
        if found is not None and not is_behind(found, job):
            return found if found.holder == holder else None
    with writer.store.transaction():
        now = writer.now(job)
        if now.holder == holder:
            return now
        if now.holder is not None and (alive is None or now.holder in alive):
            return None
        return writer.change(now.id, holder=holder, parked=None, machine=machine_of(holder))


def release(store: Store, job: Job, holder: str) -> None:
    """Let any process take the job up."""
    with store.transaction():
        store.execute(_RELEASE, key=job.idempotency_key, holder=holder)


def park(writer: Writer, job: Job, holder: str, why: Parking, detail: str, told: Mapping[str, Any]) -> Job | None:
    """`told`: columns of the problem. None, and nothing is written, when it has ended or somebody else has it."""
    with writer.store.transaction():
        now = writer.by_key(job)
        if now is None or not now.unfinished or now.holder != holder:
            return None
        return writer.change(now.id, step="parked", detail=detail, holder=None, parked=why, **told)
