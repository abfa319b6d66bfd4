"""What a day's limit leaves: asked in the transaction that sends, so that two jobs cannot both take it (rule 11)."""

from __future__ import annotations

from dataclasses import replace

from .reads import price
from .rows import Allowance, Held, Hindrance, Job, Kind, State
from .sqlite_file import Select


def hindrance(select: Select, job: Job, allowance: Allowance) -> Held | None:
    """Why `job` may not be sent under `allowance`; None when it may.

    A job counts on the day it is sent, by its bill, or by what the newest like it cost as long as it has none. A job of
    unknown price that is on its way counts as unknown: nothing else is sent before its bill is there.
    """
    statement = (
        "SELECT model, type, duration, resolution, state, parked, task_id, credits_used, credits_refunded FROM jobs"
        " WHERE account = ? AND sent_at >= ? AND sent_at < ? AND id != ? AND state != 'rejected'"
    )
    prices: dict[Kind, float | None] = {job.kind: price(select, job.account, job.kind)}
    spent, on_its_way, unsettled = 0.0, 0, 0
    for row in select(statement, (job.account, allowance.since, allowance.until, job.id)):
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
        elif row["state"] == State.SENT:
            unsettled += 1
    own = prices[job.kind]
    found = Held(Hindrance.LIMIT, spent, own, unsettled)
    if spent >= allowance.credits or spent + (own or 0.0) > allowance.credits or unsettled:
        return found
    return replace(found, by=Hindrance.PRICE) if on_its_way else None
