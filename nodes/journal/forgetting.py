"""Jobs that were settled long ago, dropped where their owner wants so: queued again they would be paid again."""

from __future__ import annotations

import sqlalchemy as sa

from .job_statements import TIMES
from .reads import OURS, REFUND_DUE, through
from .rows import FIRST_DAY, State
from .statements import Given, Statement
from .store import Store
from .tables import deliveries, jobs, steps

_DAY_SECONDS = 86_400.0
_SETTLED_IDS = Statement(
    lambda say: (
        sa.select(jobs.c.id)
        .where(
            OURS,
            jobs.c.created_at >= FIRST_DAY,
            *(sa.or_(jobs.c[name].is_(None), jobs.c[name] < Given("moment")) for name in TIMES),
            sa.or_(
                sa.text("state IN ('expired', 'rejected', 'closed')"),
                sa.text("state = 'completed' AND delivered_at IS NOT NULL"),
                sa.and_(jobs.c.state == State.FAILED.value, sa.text(f"NOT {REFUND_DUE.text}")),
            ),
        )
        .order_by(jobs.c.id)
        .limit(Given("most"))
    )
)

_LAST_SENT = Statement(
    lambda say: through("jobs_by_sending", sa.func.max(jobs.c.sent_at).label("at")).where(
        OURS, jobs.c.sent_at <= Given("moment")
    )
)


def _dropping(column: sa.Column[int]) -> Statement:
    return Statement(lambda say: sa.delete(column.table).where(column.in_(say.each("ids"))))


_DROPS = tuple(map(_dropping, (steps.c.job_id, deliveries.c.job_id, jobs.c.id)))


def sure_moment(store: Store, account: str, now: float) -> float:
    """It is later than this: jobs were sent then, and a day after it, too. 0 where there are no two such days.

    A clock alone may be far ahead, for one start of the machine.
    """
    return _last_sent(store, account, _last_sent(store, account, now) - _DAY_SECONDS)


def forget_before(store: Store, account: str, moment: float, most: int) -> int:
    """Drop up to `most` jobs that were settled before `moment`; gives how many."""
    asked = {"account": account, "moment": moment, "most": most}
    if not store.select(_SETTLED_IDS, **asked):
        return 0
    with store.transaction():
        # Asked again: numbers are good only as long as nobody can put another journal in the place of this one.
        ids = [row["id"] for row in store.select(_SETTLED_IDS, **asked)]
        for drop in _DROPS if ids else ():
            store.execute(drop, ids=ids)
    return len(ids)


def _last_sent(store: Store, account: str, moment: float) -> float:
    return float(store.select(_LAST_SENT, account=account, moment=moment)[0]["at"] or 0.0)
