"""What the journal's verbs ask of the rows of jobs, and change in them."""

from __future__ import annotations

import functools

import sqlalchemy as sa

from .reads import OURS, REFUND_DUE, UNCOLLECTED, UNFINISHED, through
from .rows import FIRST_DAY
from .statements import Given, Saying, Statement, Tongue
from .tables import deliveries as deliveries_table
from .tables import jobs, steps

_THIS = jobs.c.id == Given("job_id")
_NEWEST = jobs.c.id.desc()
TIMES = ("created_at", "sent_at", "accepted_at", "ended_at", "delivered_at")
"""A job is as old as what happened to it last: what was written down may wait for weeks until it is sent."""


GET = Statement(lambda say: sa.select(jobs).where(_THIS))
BY_KEY = Statement(lambda say: sa.select(jobs).where(jobs.c.idempotency_key == Given("key")))
AWAY = Statement(
    lambda say: (
        sa.select(jobs).where(OURS, sa.text("state IN ('running', 'completed')"), UNFINISHED).order_by(_NEWEST).limit(1)
    )
)
WAITING = Statement(lambda say: sa.select(jobs).where(OURS, UNCOLLECTED).order_by(_NEWEST).limit(1))
RESUMABLE = Statement(
    lambda say: (
        sa.select(jobs)
        .where(
            OURS,
            sa.text(
                "(state IN ('running', 'completed')"
                " OR state = 'sent' AND parked = 'uncertain' AND problem_kind = 'KeyConflict')"
            ),
            UNFINISHED,
            sa.or_(
                *(jobs.c[name] >= Given("since") for name in TIMES),
                jobs.c.created_at < FIRST_DAY,
                jobs.c.parked.is_(None),
            ),
        )
        .order_by(jobs.c.id)
    )
)
REFUNDS_DUE = Statement(
    lambda say: (
        through("jobs_refund_due").where(OURS, REFUND_DUE, jobs.c.ended_at >= Given("since")).order_by(jobs.c.ended_at)
    )
)
DELIVER = Statement(lambda say: say.put(deliveries_table, "job_id", "folder", keep=(), given="delivery"))
NOTE = Statement(
    lambda say: sa.insert(steps).values(
        {each.name: Given(f"new_{each.name}") for each in steps.c if each.name != "rowid"}
    )
)


@functools.cache
def changing(names: tuple[str, ...]) -> Statement:
    """Write these columns of a row."""
    values = {name: Given(f"new_{name}", type_=jobs.c[name].type) for name in names}

    def say(saying: Saying) -> sa.ClauseElement:
        # SQLite learned to give the row only of late (3.35).
        change = sa.update(jobs).where(_THIS).values(values)
        return change.returning(*jobs.c) if saying.tongue is Tongue.POSTGRES else change

    return Statement(say)


@functools.cache
def inserting(names: tuple[str, ...]) -> Statement:
    """A new row of these columns."""
    values = {name: Given(f"new_{name}", type_=jobs.c[name].type) for name in names}

    def say(saying: Saying) -> sa.ClauseElement:
        insertion = sa.insert(jobs).values(values)
        return insertion.returning(*jobs.c) if saying.tongue is Tongue.POSTGRES else insertion

    return Statement(say)
