"""The slots of the plan, and whether there is one, and credits, for a job that is about to be sent (rules 8 and 11)."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from . import accounts, spending
from .reads import OURS, UNFINISHED
from .rows import Allowance, Held, Hindrance, Job, Slots, State
from .statements import Given, Select, Statement
from .store import Store
from .tables import jobs

_SLOTS = Statement(
    lambda say: (
        sa.select(jobs.c.id, jobs.c.task_id, jobs.c.holder, jobs.c.state)
        .where(
            OURS,
            jobs.c.id != Given("job_id"),
            sa.text("state IN ('intended', 'sent', 'running')"),
            UNFINISHED,
            jobs.c.holder.in_(say.each("alive")),
            sa.or_(
                sa.and_(jobs.c.state == State.INTENDED.value, jobs.c.body.is_not(None), jobs.c.id < Given("job_id")),
                sa.and_(jobs.c.state != State.INTENDED.value, jobs.c.yielded_at.is_(None)),
            ),
        )
        .order_by(jobs.c.id)
    )
)


def slots(select: Select, job: Job, limit: int, alive: Collection[str]) -> Slots:
    """Whether `job` may be sent now: slots go to the oldest waiting job first."""
    rows = select(_SLOTS, account=job.account, job_id=job.id, alive=alive)
    holders = tuple((row["id"], row["task_id"], row["holder"]) for row in rows if row["state"] != State.INTENDED)
    running, ahead = len(holders), len(rows) - len(holders)
    return Slots(running + ahead < limit, running, limit, ahead, holders)


def hindrance(
    store: Store, now: Job, moment: float, *, limit: int, alive: Collection[str], allowance: Allowance | None
) -> Held | None:
    """What keeps a job here that would be sent at this `moment`; within the transaction that sends it."""
    # What was begun under the account's other names takes slots and credits of the same plan.
    accounts.gather_within(store, now.account)
    if not slots(store.select, now, limit, alive).free:
        return Held(Hindrance.SLOT)
    if allowance is None:
        return None
    if not allowance.since <= moment < allowance.until:
        # Whoever waits for this very transaction may wait over midnight.
        return Held(Hindrance.DAY)
    return spending.hindrance(store.select, now, allowance)
