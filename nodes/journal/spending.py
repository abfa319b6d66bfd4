"""What a day's limit leaves: asked in the transaction that sends, so that two jobs cannot both take it (rule 11)."""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa

from .reads import OURS, price
from .rows import Allowance, Held, Hindrance, Job, Kind, State
from .statements import Given, Select, Statement
from .tables import jobs

_COUNTED = ("model", "type", "duration", "resolution", "state", "parked", "task_id", "credits_used", "credits_refunded")
_AHEAD_SECONDS = 2 * 86_400.0
"""What is dated so little after today was sent by a clock that has been set back since."""
_OF_THE_DAY = Statement(
    lambda say: sa.select(*(jobs.c[name] for name in _COUNTED)).where(
        OURS,
        jobs.c.sent_at >= Given("since"),
        jobs.c.sent_at < Given("until"),
        jobs.c.id != Given("job_id"),
        jobs.c.state != State.REJECTED.value,
    )
)


def hindrance(select: Select, job: Job, allowance: Allowance) -> Held | None:
    """Why `job` may not be sent under `allowance`; None when it may.

    A job counts on the day it is sent, by its bill, or by what the newest like it cost as long as it has none. A job of
    unknown price that is on its way counts as unknown: nothing else is sent before its bill is there.
    """
    prices: dict[Kind, float | None] = {job.kind: price(select, job.account, job.kind)}
    spent, on_its_way, unsettled = 0.0, 0, 0
    until = allowance.until + _AHEAD_SECONDS
    for row in select(_OF_THE_DAY, account=job.account, since=allowance.since, until=until, job_id=job.id):
        kind = Kind(row["model"], row["type"], row["duration"], row["resolution"])
        if row["credits_used"] is not None:
            spent += max(0.0, row["credits_used"] - (row["credits_refunded"] or 0.0))
            continue
        if row["state"] == State.CLOSED and row["task_id"] is None:
            continue
        if kind not in prices:
            prices[kind] = price(select, job.account, kind)
        known = prices[kind]
        if known is not None:
            spent += known
        elif row["state"] in (State.SENT, State.RUNNING) and row["parked"] is None:
            on_its_way += 1
        elif row["state"] != State.CLOSED:
            unsettled += 1
    own = prices[job.kind]
    found = Held(Hindrance.LIMIT, spent, own, unsettled)
    if spent >= allowance.credits or spent + (own or 0.0) > allowance.credits or unsettled:
        return found
    return replace(found, by=Hindrance.PRICE) if on_its_way else None
